import subprocess
import sys

import cv2
import numpy as np
import pytest

from restoreformer.datasets import find_components as module
from restoreformer.datasets.components import boxes_from_landmarks, read_boxes
from restoreformer.datasets.find_components import contact_sheet, find_components
from restoreformer.detection import DetectedFace, build_detector
from restoreformer.errors import RestoreFormerError
from restoreformer.geometry import FRAME, TEMPLATE
from restoreformer.image_source import ImageSource
from restoreformer.inference.alignment import alignment, crop_face


@pytest.fixture
def aligned(tmp_path, astronaut):
    """An aligned face of a real photo at half the frame, and an image without one."""
    found = build_detector("centerface")(astronaut)[0]
    cv2.imwrite(str(tmp_path / "face.png"), crop_face(astronaut, alignment(found.landmarks, 256), 256))
    cv2.imwrite(str(tmp_path / "none.png"), np.full((256, 256, 3), 90, np.uint8))
    (tmp_path / "broken.png").write_bytes(b"none")
    return tmp_path


@pytest.mark.parametrize("workers", [0, 2])
def test_boxes_are_where_the_template_says(workers, aligned):
    boxes, missed = find_components(ImageSource(aligned), "centerface", workers=workers)
    assert missed == [f"Expected an image under broken in {aligned}, got 4 bytes that are none.", "no face found: none"]
    expected = boxes_from_landmarks(TEMPLATE, FRAME)
    for region, box in boxes["face"].items():
        assert np.abs(np.subtract(box, expected[region])).max() < 16, region


def test_what_makes_no_sense_is_a_miss(aligned, monkeypatch):
    mirrored = TEMPLATE[[1, 0, 2, 4, 3]]
    detector = lambda image: [DetectedFace(np.zeros(4), 1.0, mirrored)]  # noqa: E731
    monkeypatch.setattr(module, "build_detector", lambda *_: detector)
    boxes, missed = find_components(ImageSource(aligned), "centerface")
    assert boxes == {} and "no sense in what was found: face: left_eye at x 319 is not left of" in missed[1]


def test_images_that_are_not_square_are_missed(tmp_path, astronaut):
    cv2.imwrite(str(tmp_path / "wide.png"), astronaut[:256])
    assert find_components(ImageSource(tmp_path), "centerface") == ({}, ["not square, 512x256: wide"])


@pytest.mark.parametrize("count", [1, 16, 22, 47, 300])
def test_the_sheet_takes_faces_from_all_over(count):
    read = []

    class Source:
        def read(self, name):
            read.append(int(name))
            return np.zeros((64, 64, 3), np.uint8)

    contact_sheet(Source(), {f"{i:03d}": boxes_from_landmarks(TEMPLATE, FRAME) for i in range(count)})
    gaps = np.diff([*read, count])
    assert len(read) == min(count, 16) and read[0] == 0 and gaps.max() - gaps.min() <= 1


def test_the_sheet_draws_each_box_in_its_colour():
    boxes = boxes_from_landmarks(TEMPLATE, FRAME)

    class Grey:
        def read(self, name):
            return np.full((256, 256, 3), 90, np.uint8)

    sheet = contact_sheet(Grey(), {f"{i:02d}": boxes for i in range(40)})
    assert sheet.shape == (4 * 256, 4 * 256, 3)
    y, x = 240 // 2, round(193 - 1.4 * boxes["left_eye"][2] + 1) // 2
    edge = sheet[y, x - 1 : x + 2].astype(int)
    assert (edge[:, 1] - edge[:, 0]).max() > 100


def test_a_detector_that_cannot_be_had_is_told_once(aligned):
    with pytest.raises(RestoreFormerError, match="Expected a detector among"):
        find_components(ImageSource(aligned), "mtcnn", workers=2)


def test_as_a_command(aligned, tmp_path, forks):
    command = [sys.executable, "datasets/find_components.py", "--input", aligned, "--output", tmp_path / "b.pth"]
    done = subprocess.run([*command, "--sheet", tmp_path / "out" / "sheet.png"], capture_output=True, text=True)
    assert done.returncode == 0 and "1 faces with boxes, 2 without" in done.stderr, done.stderr
    assert list(read_boxes(tmp_path / "b.pth")) == ["face"]
    done = forks.run(*command[1:], "--sheet", tmp_path / "sheet.pdf")
    assert done.returncode == 1 and "Expected a picture's suffix" in done.stderr and "finding" not in done.stderr
    assert cv2.imread(str(tmp_path / "out" / "sheet.png")).shape == (256, 256, 3)
