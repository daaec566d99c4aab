import cv2
import numpy as np
import pytest

from restoreformer.datasets.components import boxes_from_landmarks
from restoreformer.datasets.find_components import find_components
from restoreformer.datasets.image_source import ImageSource
from restoreformer.detection import build_detector
from restoreformer.geometry import FRAME, TEMPLATE
from restoreformer.inference.alignment import alignment, crop_face


@pytest.fixture
def aligned(tmp_path, astronaut):
    """An aligned face of a real photo at half the frame, and an image without one."""
    found = build_detector("centerface")(astronaut)[0]
    cv2.imwrite(str(tmp_path / "face.png"), crop_face(astronaut, alignment(found.landmarks, 256), 256))
    cv2.imwrite(str(tmp_path / "none.png"), np.full((256, 256, 3), 90, np.uint8))
    (tmp_path / "broken.png").write_bytes(b"none")
    return tmp_path


def test_boxes_are_where_the_template_says(aligned):
    boxes, missed = find_components(ImageSource(aligned), build_detector("centerface"))
    assert missed == [f"Expected an image under broken in {aligned}, got 4 bytes that are none.", "no face found: none"]
    expected = boxes_from_landmarks(TEMPLATE, FRAME)
    for region, box in boxes["face"].items():
        assert np.abs(np.subtract(box, expected[region])).max() < 16, region
