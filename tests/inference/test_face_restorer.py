import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from restoreformer.archs.about import About
from restoreformer.archs.checkpoint import save_checkpoint
from restoreformer.archs.hq_dictionary_arch import HQDictionary
from restoreformer.archs.restoreformer_arch import RestoreFormer, RestoreFormerPaper
from restoreformer.errors import RestoreFormerError
from restoreformer.images import to_tensor
from restoreformer.inference.color_fix import fix_color
from restoreformer.inference.face_restorer import FaceRestorer, default_model
from restoreformer.pretrained import FILES, UnavailableError


@pytest.fixture
def restorer(model):
    return FaceRestorer(model, "centerface", device="cpu")


def test_a_photo(restorer, astronaut):
    before = astronaut.copy()
    result = restorer.restore(astronaut)
    assert (astronaut == before).all()
    assert result.image.shape == astronaut.shape and result.image.dtype == np.uint8
    (face,) = result.faces
    assert face.crop.shape == face.restored.shape == (64, 64, 3)
    changed = (result.image != astronaut).any(2)
    assert changed[100:150, 200:250].mean() > 0.9 and not changed[300:].any() and not changed[:, :100].any()


def test_the_network_sees_rgb_and_its_answer_is_kept(restorer, face):
    aligned = cv2.resize(face, (64, 64), interpolation=cv2.INTER_AREA)
    (restored,) = restorer.restore_aligned([aligned])
    with torch.no_grad():
        expected = restorer.net(to_tensor(aligned)[None])[0].clamp(-1, 1)
    torch.testing.assert_close(to_tensor(restored), expected, atol=1 / 127.5, rtol=0)


def test_the_papers_network_too(tmp_path, face):
    sizes = {"n_embed": 32, "embed_dim": 64, "ch": 32, "ch_mult": [1, 1, 2], "num_res_blocks": 1, "resolution": 32}
    save_checkpoint(tmp_path / "paper.pth", RestoreFormerPaper(heads=4, **sizes))
    restorer = FaceRestorer(tmp_path / "paper.pth", None, "cpu")
    assert isinstance(restorer.net, RestoreFormerPaper) and not restorer.net.training
    assert restorer.restore_aligned([face])[0].shape == (32, 32, 3)


def test_aligned_faces_of_any_size(restorer, face):
    assert [f.shape for f in restorer.restore_aligned([face, face[:40, :40].copy()])] == [(64, 64, 3)] * 2
    assert restorer.restore_aligned([]) == []


def test_a_photo_without_a_face(restorer):
    grey = np.full((100, 120, 3), 128, np.uint8)
    result = restorer.restore(grey)
    assert result.faces == [] and (result.image == grey).all()


def test_errors(model, restorer, tmp_path, small_net, astronaut):
    with pytest.raises(
        RestoreFormerError, match=r"Expected a photo .* of uint8 or uint16, got \(512, 512, 3\) of float"
    ):
        restorer.restore(astronaut.astype(np.float32))
    with pytest.raises(RestoreFormerError, match=r"Expected a photo .*, got \(512, 512, 2\)"):
        restorer.restore(astronaut[:, :, :2])
    for wrong, told in (({"upscale": 0.5}, "upscale from 1 to 8"), ({"strength": 1.1}, "strength from 0")):
        with pytest.raises(RestoreFormerError, match=f"Expected .*{told}"):
            restorer.restore(astronaut, **wrong)
    with pytest.raises(RestoreFormerError, match=r"Expected a BGR image \(h, w, 3\) of uint8, got \(512, 512\)"):
        restorer.restore_aligned([astronaut[:, :, 0]])
    assert len(restorer.restore_aligned(face for face in [astronaut])) == 1
    for misused in (lambda: restorer.restore([astronaut]), lambda: next(restorer.restore_many(astronaut))):
        with pytest.raises(RestoreFormerError, match="Expected a photo as an array or a file|Expected several photos"):
            misused()
    with pytest.raises(RestoreFormerError, match="Expected a detector for whole photos"):
        FaceRestorer(model, None, "cpu").restore(astronaut)
    save_checkpoint(tmp_path / "dictionary.pth", HQDictionary(**small_net))
    with pytest.raises(RestoreFormerError, match="Expected RestoreFormer or .* in .*, got HQDictionary"):
        FaceRestorer(tmp_path / "dictionary.pth", None)


def test_faces_in_batches_are_faces_one_by_one(model, face):
    faces = [np.roll(face, 9 * i, 1) for i in range(5)]
    one = FaceRestorer(model, None, "cpu")
    two = FaceRestorer(model, None, "cpu", batch_size=2)
    sizes = []
    two.net.register_forward_pre_hook(lambda net, inputs: sizes.append(len(inputs[0])))
    restored = two.restore_aligned(faces)
    assert sizes == [2, 2, 1] and len(restored) == 5
    for a, b in zip(one.restore_aligned(faces), restored, strict=True):
        assert np.abs(a.astype(int) - b).max() <= 1


def test_half_precision(model, face):
    exact = FaceRestorer(model, None, "cpu").restore_aligned([face])[0]
    restorer = FaceRestorer(model, None, "cpu", precision="bf16")
    assert restorer.net.decoder.conv_out.weight.dtype == torch.bfloat16
    difference = np.abs(restorer.restore_aligned([face])[0].astype(int) - exact)
    assert 0 < difference.mean() < 4


def test_what_the_input_has_the_result_has(restorer, astronaut):
    """A photo without colours stays without, alpha and depth stay; each face is where it is in colour."""
    plain = restorer.restore(astronaut)
    grey = cv2.cvtColor(astronaut, cv2.COLOR_BGR2GRAY)
    alone = restorer.restore(grey)
    assert alone.image.shape == (512, 512) and (alone.image != grey).any()
    repeated = restorer.restore(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))
    assert (repeated.image == alone.image[:, :, None]).all()
    assert all(np.ptp(repeated.faces[0].restored.astype(int), 2).ravel() == 0)
    deep = np.dstack([astronaut, np.full((512, 512), 77, np.uint8)]).astype(np.uint16) * np.uint16(257)
    result = restorer.restore(deep).image
    assert result.dtype == np.uint16 and (result[:, :, 3] == 77 * 257).all()
    assert np.abs(np.rint(result[:, :, :3] / 257) - plain.image).max() <= 1


def test_larger_results(restorer, astronaut):
    """Faces are reported where they are in the photo as it came."""
    one, two = (restorer.restore(astronaut, upscale=u) for u in (1, 2))
    assert two.image.shape == (1024, 1024, 3)
    assert (two.faces[0].found.landmarks == one.faces[0].found.landmarks).all()
    changed = (two.image != cv2.resize(astronaut, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)).any(2)
    assert changed[200:300, 400:500].mean() > 0.9 and not changed[600:].any() and not changed[:, :200].any()


def test_strength(restorer, astronaut):
    none, half, full = (restorer.restore(astronaut, strength=s) for s in (0, 0.5, 1))
    assert (none.image == astronaut).all()
    for name, before in (("image", astronaut), ("restored", full.faces[0].crop)):
        start, middle, end = (getattr(r if name == "image" else r.faces[0], name) for r in (none, half, full))
        assert (start == before).all() and (end != before).any()
        assert np.abs(middle.astype(float) - (start.astype(float) + end) / 2).max() <= 1


def test_the_face_in_the_middle(restorer, astronaut):
    two = np.hstack([astronaut[:400], cv2.flip(astronaut[:400], 1)])
    assert len(restorer.restore(two).faces) == 2
    for photo, left in ((two[:, 100:], False), (two[:, :-100], True)):
        (face,) = restorer.restore(np.ascontiguousarray(photo), only_center_face=True).faces
        assert (face.found.landmarks[:, 0].max() < 400) == left


def test_files(restorer, astronaut, tmp_path):
    cv2.imwrite(str(tmp_path / "photo.png"), astronaut)
    expected = restorer.restore(astronaut).image
    assert (restorer.restore(tmp_path / "photo.png").image == expected).all()
    assert (restorer.restore(str(tmp_path / "photo.png")).image == expected).all()


def test_many_photos_are_restored_as_each(model, astronaut, face):
    photos = [astronaut, np.full((60, 60, 3), 90, np.uint8), astronaut[:300], cv2.flip(astronaut, 1)]
    restorer = FaceRestorer(model, "centerface", "cpu", batch_size=2)
    sizes = []
    restorer.net.register_forward_pre_hook(lambda net, inputs: sizes.append(len(inputs[0])))
    together = list(restorer.restore_many(photos, upscale=1.5))
    assert sizes == [2, 1] and [len(r.faces) for r in together] == [1, 0, 1, 1]
    for photo, result in zip(photos, together, strict=True):
        assert np.abs(result.image.astype(int) - restorer.restore(photo, upscale=1.5).image).max() <= 1


def test_several_threads_use_one(restorer, astronaut):
    photos = [astronaut, astronaut[:300], cv2.flip(astronaut, 1), astronaut[:, 100:400].copy()] * 4
    expected = [restorer.restore(photo).image for photo in photos[:4]] * 4
    with ThreadPoolExecutor(4) as pool:
        for result, image in zip(pool.map(restorer.restore, photos), expected, strict=True):
            assert (result.image == image).all()


def test_tiny_finds_are_passed_over(restorer, astronaut):
    (face,) = restorer.restore(astronaut).faces
    near = face.found._replace(landmarks=face.found.landmarks[:1] + [[0, 0], [4, 0], [2, 3], [0, 5], [4, 5]])
    restorer.detect = lambda image: [near, face.found]
    assert len(restorer.restore(astronaut).faces) == 1


@pytest.mark.parametrize("values, told", [({"batch_size": 0}, "batch_size of 1"), ({"precision": "int8"}, "precision")])
def test_values_out_of_range(model, values, told):
    with pytest.raises(RestoreFormerError, match=told):
        FaceRestorer(model, None, "cpu", **values)


def test_loading_draws_no_weights(model):
    state = torch.get_rng_state()
    restorer = FaceRestorer(model, None, "cpu")
    assert torch.equal(torch.get_rng_state(), state)
    expected = torch.load(model, weights_only=True)["params"]
    assert all(torch.equal(v, expected[k]) for k, v in restorer.net.state_dict().items())
    assert restorer.net.encoder.conv_out.weight.is_contiguous(memory_format=torch.channels_last)


def test_restoring_waits_for_no_import_of_basicsr():
    script = "import sys, restoreformer.inference.face_restorer; print({'basicsr', 'torchvision'} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "set()", done.stderr


@pytest.mark.slow
def test_compiled(model, face):
    exact = FaceRestorer(model, None, "cpu").restore_aligned([face])[0]
    compiled = FaceRestorer(model, None, "cpu", compile=True).restore_aligned([face])[0]
    assert np.abs(compiled.astype(int) - exact).max() <= 1


def test_the_colour_fix_is_the_files_or_the_one_asked_for(tmp_path, small_net, face):
    net = RestoreFormer(**small_net)
    net.about = About(color_fix="low")
    save_checkpoint(tmp_path / "net.pth", net)
    aligned = cv2.resize(face, (64, 64), interpolation=cv2.INTER_AREA)
    restorer = FaceRestorer(tmp_path / "net.pth", None, "cpu")
    plain = FaceRestorer(tmp_path / "net.pth", None, "cpu", color_fix="none").restore_aligned([aligned])[0]
    for name, restored in (
        ("low", restorer.restore_aligned([aligned])[0]),
        ("chroma", restorer.with_color_fix("chroma").restore_aligned([aligned])[0]),
    ):
        assert (restored == fix_color(aligned, plain, name)).all() and (restored != plain).any()
    assert restorer.color_fix == "low", "the other one is a copy"
    for misused in (lambda: FaceRestorer(tmp_path / "net.pth", None, color_fix="all"),
                    lambda: restorer.with_color_fix("all")):  # fmt: skip
        with pytest.raises(RestoreFormerError, match="color_fix among"):
            misused()


def test_large_faces_keep_their_detail_by_a_small_network(model, astronaut):
    large = cv2.resize(astronaut, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    large[::2, ::2] //= 2
    restorer = FaceRestorer(model, "centerface", "cpu")
    assert restorer.keep_detail, "a network of 64 pixels"
    replacing = FaceRestorer(model, "centerface", "cpu", keep_detail=False)
    placed = restorer.place(large)
    same = restorer.finish(placed, placed.crops)
    assert (same.image == large).all(), "a network that changes nothing leaves every pixel"
    assert (replacing.finish(placed, placed.crops).image != large).any()


def test_without_the_authors_model_the_small_one_is_used_and_named(tmp_path, monkeypatch, caplog, face):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RESTOREFORMER_WEIGHTS", raising=False)
    monkeypatch.setitem(FILES, "RestoreFormer.ckpt", FILES["RestoreFormer.ckpt"]._replace(url="http://127.0.0.1:9/x"))
    restorer = FaceRestorer(detector=None, device="cpu")
    (note,) = restorer.notes
    assert "using the included small model" in note and "30 to 130 pixels" in note and "http://127.0.0.1:9/x" in note
    assert note in caplog.text and restorer.size == 128 and restorer.color_fix == "low"
    with pytest.raises(UnavailableError):
        FaceRestorer("RestoreFormer.ckpt", None, "cpu")
    folder = tmp_path / "experiments" / "pretrained_models"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "RestoreFormer.ckpt").write_bytes(b"another content")
    with pytest.raises(RestoreFormerError, match="with SHA-256"):
        FaceRestorer(detector=None, device="cpu")
    monkeypatch.chdir(folder)
    assert default_model() == ("RestoreFormer.ckpt", ""), "a file in the working directory is taken as it is"
