"""Files into folders, in this process: starting the program takes longer than what it does here."""

import threading
import time

import cv2
import numpy as np
import pytest

from restoreformer.archs.checkpoint import save_checkpoint
from restoreformer.archs.restoreformer_arch import RestoreFormer
from restoreformer.errors import RestoreFormerError
from restoreformer.inference.face_restorer import FaceRestorer
from restoreformer.inference.file_run import FileRun
from restoreformer.inference.inference_restoreformer import make_run, parser, restore_files
from restoreformer.inference.photo_list import list_photos


@pytest.fixture
def model(tmp_path, small_net):
    save_checkpoint(tmp_path / "net.pth", RestoreFormer(**small_net))
    return tmp_path / "net.pth"


@pytest.fixture
def photos(tmp_path, astronaut):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(3):
        cv2.imwrite(str(folder / f"{i}.png"), astronaut[: 300 + 10 * i, 50:400])
    return folder


def run(restorer, photos, output, **options):
    file_run = FileRun(restorer, output, **options)
    outcomes = list(file_run.restore(list_photos(photos)))
    return {o.path.name: o.failure for o in outcomes}, sum(o.faces for o in outcomes)


def results(output):
    return sorted(str(p.relative_to(output)) for p in output.rglob("*.*"))


def test_each_file_is_what_restoring_it_gives(tmp_path, model, photos):
    restorer = FaceRestorer(model, "centerface", "cpu", batch_size=2)
    sizes = []
    restorer.net.register_forward_pre_hook(lambda net, inputs: sizes.append(len(inputs[0])))
    options = {"upscale": 1.5, "strength": 0.5, "only_center_face": True}
    outcomes, faces = run(restorer, photos, tmp_path / "out", **options, suffix="new", extension=".tif")
    assert outcomes == {"0.png": None, "1.png": None, "2.png": None} and faces == 3 and sizes == [2, 1]
    assert len(results(tmp_path / "out")) == 12
    for name in ("0", "1", "2"):
        expected = restorer.restore(photos / f"{name}.png", **options)
        written = cv2.imread(str(tmp_path / "out" / "restored_imgs" / f"{name}_new.tif"))
        assert np.abs(written.astype(int) - expected.image).max() <= 1
        faces = cv2.imread(str(tmp_path / "out" / "cmp" / f"{name}_00_new.png"))
        expected_pair = np.hstack([expected.faces[0].crop, expected.faces[0].restored])
        assert np.abs(faces.astype(int) - expected_pair).max() <= 1


def test_aligned_files_in_batches(tmp_path, model, face):
    """Bad ones are told, and the others fill the batches."""
    faces = tmp_path / "faces"
    faces.mkdir()
    for i in range(6):
        cv2.imwrite(str(faces / f"{i}.png"), np.roll(face, 9 * i, 1))
    (faces / "1.png").write_bytes(b"broken")
    cv2.imwrite(str(faces / "3.png"), face[:50])
    cv2.imwrite(str(faces / "5.png"), face[:, :, 1])
    restorer = FaceRestorer(model, None, "cpu", batch_size=2)
    sizes = []
    restorer.net.register_forward_pre_hook(lambda net, inputs: sizes.append(len(inputs[0])))
    outcomes, count = run(restorer, faces, tmp_path / "out", aligned=True)
    assert sizes == [2, 2] and count == 4
    assert outcomes.pop("1.png").endswith("got 6 bytes that are none.")
    assert outcomes.pop("3.png") == "Expected a square aligned face, got 160x50: restore it as a photo."
    assert set(outcomes.values()) == {None}
    out = tmp_path / "out" / "restored_faces"
    assert sorted(p.name for p in out.iterdir()) == ["0.png", "2.png", "4.png", "5.png"]
    (expected,) = restorer.restore_aligned([np.roll(face, 18, 1)])
    assert np.abs(cv2.imread(str(out / "2.png")).astype(int) - expected).max() <= 1
    assert np.ptp(cv2.imread(str(out / "5.png")).astype(int), 2).max() == 0


def test_what_cannot_be_written_fails_by_itself(tmp_path, model, photos):
    restorer = FaceRestorer(model, "centerface", "cpu")
    (tmp_path / "out" / "restored_imgs" / "1.png").mkdir(parents=True)
    outcomes, faces = run(restorer, photos, tmp_path / "out")
    assert faces == 2 and outcomes.pop("1.png").startswith(f"Expected to write {tmp_path / 'out' / 'restored_imgs'}")
    assert set(outcomes.values()) == {None}
    # No part of a file is left.
    assert not [r for r in results(tmp_path / "out") if r.endswith(".part")]


def test_photos_are_read_and_written_while_the_network_works(tmp_path, model, photos, monkeypatch):
    """The second photo is read, and the first written, before the network is asked for the third."""
    restorer = FaceRestorer(model, "centerface", "cpu")
    events = []
    place, restore, finish = restorer.place, restorer.restore_aligned, restorer.finish

    def note(what, function):
        def noted(*arguments, **options):
            events.append((what, threading.current_thread() is threading.main_thread()))
            if what == "restore":
                time.sleep(0.3)
            return function(*arguments, **options)

        return noted

    monkeypatch.setattr(restorer, "place", note("read", place))
    monkeypatch.setattr(restorer, "restore_aligned", note("restore", restore))
    monkeypatch.setattr(restorer, "finish", note("write", finish))
    assert run(restorer, photos, tmp_path / "out")[1] == 3
    assert {what for what, in_main in events if in_main} == {"restore"}
    order = [what for what, _ in events]
    assert order.index("restore") > 0 and order[: order.index("restore") + 3].count("read") >= 2
    assert order.index("write") < len(order) - 1 - order[::-1].index("restore")


def test_going_on_leaves_out_what_is_there(tmp_path, model, photos):
    arguments = ["-i", str(photos), "-o", str(tmp_path / "out"), "--model", str(model), "--detector", "centerface"]
    file_run = make_run(parser().parse_args(arguments))
    assert restore_files(file_run, list_photos(photos)[:2])
    first = (tmp_path / "out" / "restored_imgs" / "0.png").stat().st_mtime_ns
    (tmp_path / "out" / "restored_imgs" / "1.png").unlink()
    assert restore_files(file_run, list_photos(photos), skip_existing=True)
    assert (tmp_path / "out" / "restored_imgs" / "0.png").stat().st_mtime_ns == first
    page = (tmp_path / "out" / "index.html").read_text()
    assert "2 of 2 restored, 2 faces, 1 skipped in" in page and page.count("<figure>") == 4


@pytest.mark.parametrize(
    "option, told",
    [
        ("--ext=gif", "Expected --ext auto or one of bmp, .*, got gif"),
        ("--upscale=0", "Expected upscale from 1 to 8, got 0"),
        ("--strength=-1", "Expected a strength from 0"),
        ("--confidence=2", "Expected a confidence above 0 and up to 1, got 2"),
        ("--bg_upsampler=none.pth", "Expected realesrgan or the file"),
    ],
)
def test_options_out_of_range(model, option, told):
    arguments = ["-i", "x", "--model", str(model), "--detector", "centerface", option]
    with pytest.raises(RestoreFormerError, match=told):
        make_run(parser().parse_args(arguments))
