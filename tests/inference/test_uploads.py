import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from restoreformer.archs.about import About
from restoreformer.archs.checkpoint import save_checkpoint
from restoreformer.archs.restoreformer_arch import RestoreFormer
from restoreformer.errors import RestoreFormerError
from restoreformer.inference import uploads
from restoreformer.inference.face_restorer import FaceRestorer
from restoreformer.inference.photos import read_photo
from restoreformer.inference.uploads import KeptRestorers, preview, restore_upload

# A kind of file that is read and not written to here; OpenCV reads GIF from 4.11 on.
EMPTY = "empty.gif" if cv2.haveImageWriter("empty.gif") else "empty.ppm"


@pytest.fixture
def model(model):
    """By its name, as a page has it."""
    return str(model)


@pytest.fixture
def restorers():
    return KeptRestorers(lambda model: FaceRestorer(model, "centerface", "cpu"))


def test_a_restored_upload(monkeypatch, tmp_path, model, restorers, astronaut):
    """Depth and alpha are kept; pictures to look at are 8-bit and no larger than a screen."""
    monkeypatch.setattr(uploads, "LONGEST_SIDE", 800)
    deep = np.dstack([astronaut, np.full((512, 512), 77, np.uint8)]).astype(np.uint16) * np.uint16(257)
    photo = tmp_path / "an upload.tif"
    cv2.imwrite(str(photo), deep)
    shown = restore_upload(photo, restorers, model, tmp_path, 2, 0.5, True)
    expected = restorers.get(model).restore(deep, 2, 0.5, True)
    assert shown.line.startswith("1 face restored: 1024x1024 pixels, ")
    assert shown.result.name == "an upload_restored.tif"
    result = read_photo(shown.result)
    assert result.dtype == np.uint16 and (result == expected.image).all()
    before, after = (read_photo(path).astype(int) for path in shown.pair)
    assert before.shape == after.shape == (800, 800, 3)
    for picture, meant in ((before, astronaut), (after, cv2.convertScaleAbs(expected.image[:, :, :3], alpha=1 / 257))):
        sized = cv2.resize(meant, picture.shape[:2], interpolation=cv2.INTER_AREA)
        assert np.abs(picture - sized).mean() < 3
    assert np.abs(before - after)[150:235, 310:390].mean() > 10
    assert [caption for _, caption in shown.faces] == ["face 1 before", "face 1 after"]
    for (path, _), face in zip(shown.faces, expected.faces[0][:2], strict=True):
        assert (read_photo(path) == face).all()


def test_what_goes_wrong_is_in_the_line(tmp_path, model, restorers, face):
    files = {name: tmp_path / name for name in ("broken.png", "cut.jpg", EMPTY)}
    files["broken.png"].write_bytes(b"no picture")
    _, data = cv2.imencode(".jpg", np.tile(face, (3, 3, 1)))
    files["cut.jpg"].write_bytes(data.tobytes()[: len(data) // 2])
    cv2.imwrite(str(files[EMPTY]), np.full((90, 90, 3), 100, np.uint8))
    shown = {name: restore_upload(path, restorers, model, tmp_path) for name, path in files.items()}
    assert shown["broken.png"] == (
        "Expected an image in broken.png, got 10 bytes that OpenCV does not read as one.",
        None,
        None,
        (),
    )
    assert "restored: 480x480 pixels" in shown["cut.jpg"].line and "cut.jpg, it is cut off" in shown["cut.jpg"].line
    assert shown["cut.jpg"].result.is_file() and len(shown["cut.jpg"].faces) >= 2
    assert shown[EMPTY].line.startswith(f"Expected a face in {EMPTY}, found none")
    assert shown[EMPTY].result.name == "empty_restored.png" and shown[EMPTY].faces == ()
    assert restore_upload(files["cut.jpg"], restorers, "none.pth", tmp_path).line.startswith("Expected a network file")
    assert preview(files["broken.png"], tmp_path) == shown["broken.png"]
    assert preview(files["cut.jpg"], tmp_path).line.startswith("Expected a whole photo in cut.jpg")


def test_a_preview(tmp_path, face):
    cv2.imwrite(str(tmp_path / "photo.png"), np.tile(face, (1, 20, 1)))
    shown = preview(tmp_path / "photo.png", tmp_path)
    before, after = (read_photo(path) for path in shown.pair)
    assert shown.line == "photo.png: 3200x160 pixels." and shown.result is None
    assert before.shape == (80, 1600, 3) and (before == after).all()
    assert np.abs(before[:, :80].astype(int) - cv2.resize(face, (80, 80), interpolation=cv2.INTER_AREA)).mean() < 3


def test_a_restorer_is_built_once():
    built, together = [], threading.Barrier(4)

    def build(model):
        built.append(model)
        if model == "bad":
            raise RestoreFormerError("Expected a network.")
        return object()

    restorers = KeptRestorers(build)

    def get(model):
        together.wait()
        return restorers.get(model)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(get, ["a", "b", "a", "b"]))
    assert found[0] is found[2] and found[1] is found[3] and sorted(built) == ["a", "b"]
    for _ in range(2):
        with pytest.raises(RestoreFormerError):
            restorers.get("bad")
    assert built.count("bad") == 2


def test_a_page_shows_the_notes_of_a_network_and_takes_another_colour_fix(tmp_path, small_net, astronaut):
    net = RestoreFormer(**small_net)
    net.about = About({"mine": 1}, color_fix="low")
    save_checkpoint(tmp_path / "net.pth", net)
    cv2.imwrite(str(tmp_path / "photo.png"), astronaut)
    restorers = KeptRestorers(lambda model: FaceRestorer(model, "centerface", "cpu"))
    model = str(tmp_path / "net.pth")
    shown = [
        restore_upload(tmp_path / "photo.png", restorers, model, tmp_path, color_fix=fix) for fix in (None, "none")
    ]
    assert all("trained on 1 face: expect nonsense" in s.line for s in shown)
    results = [read_photo(s.result) for s in shown]
    plain = restorers.get(model).with_color_fix("none").restore(astronaut).image
    assert (results[1] == plain).all() and (results[0] != plain).any()
