import numpy as np
import pytest
import torch
from torchvision.ops import roi_align

from restoreformer.datasets.components import boxes_from_landmarks, find_boxes, locations, read_boxes, write_boxes
from restoreformer.errors import RestoreFormerError
from restoreformer.geometry import FRAME, REGIONS, TEMPLATE

BOXES = {"left_eye": [190.0, 240.0, 30.0], "right_eye": [320.0, 238.0, 34.0], "mouth": [257.0, 371.0, 56.0]}


def test_written_boxes_come_back_with_weights_only(tmp_path):
    write_boxes(tmp_path / "b.pth", {"00001": BOXES})
    assert read_boxes(tmp_path / "b.pth") == {"00001": BOXES}
    assert torch.load(tmp_path / "b.pth", weights_only=True) == {"00001": BOXES}


def test_the_released_format_is_read(tmp_path):
    """numpy float64 scalars and arrays, as FFHQ_eye_mouth_landmarks_512.pth holds them."""
    released = {"00000000": {k: [np.float64(v[0]), np.float64(v[1]), v[2]] for k, v in BOXES.items()}}
    released["00000001"] = {k: np.array(v) for k, v in BOXES.items()}
    torch.save(released, tmp_path / "released.pth")
    boxes = read_boxes(tmp_path / "released.pth")
    assert boxes == {"00000000": BOXES, "00000001": BOXES}
    assert find_boxes(boxes, "00001") == find_boxes(boxes, "00000001") == BOXES
    assert find_boxes(boxes, "00002") is None and find_boxes(boxes, "other") is None


def test_files_that_are_none(tmp_path):
    with pytest.raises(RestoreFormerError, match="find_components"):
        read_boxes(tmp_path / "none.pth")
    torch.save({"a": {"left_eye": [1, 2, 3]}}, tmp_path / "half.pth")
    with pytest.raises(RestoreFormerError, match="under a in"):
        read_boxes(tmp_path / "half.pth")
    torch.save({"a": print}, tmp_path / "evil.pth")
    with pytest.raises(RestoreFormerError, match="could not read it"):
        read_boxes(tmp_path / "evil.pth")


def test_corners_by_hand():
    corners = locations(BOXES, 512, 1.5, flipped=False)
    assert corners["left_eye"].tolist() == [190 - 45 + 1, 240 - 45 + 1, 190 + 45, 240 + 45]
    assert corners["mouth"].tolist() == [202, 316, 313, 427]
    half = locations(BOXES, 256, 1.5, flipped=False)
    assert all(half[r].tolist() == (corners[r] / 2).tolist() for r in REGIONS)


def test_a_flip_changes_names_and_mirrors_but_not_the_boxes():
    before = {k: list(v) for k, v in BOXES.items()}
    plain, flipped = (locations(BOXES, 512, 1.4, f) for f in (False, True))
    assert before == BOXES
    assert locations(BOXES, 512, 1.4, False)["left_eye"].tolist() == plain["left_eye"].tolist()
    # The viewer's left eye of the mirrored face is the former right one.
    assert flipped["left_eye"][0] == 511 - plain["right_eye"][2]
    assert flipped["left_eye"][2] - flipped["left_eye"][0] == plain["right_eye"][2] - plain["right_eye"][0]
    assert all(flipped[r][0] < flipped[r][2] for r in REGIONS)


def test_crops_of_a_mirrored_image_are_mirrored_crops():
    image = torch.randn(1, 3, 512, 512)
    plain, flipped = (locations(BOXES, 512, 1.4, f) for f in (False, True))
    crop = roi_align(image, [torch.from_numpy(plain["right_eye"])[None]], 40)
    mirrored = roi_align(image.flip(3), [torch.from_numpy(flipped["left_eye"])[None]], 40)
    torch.testing.assert_close(mirrored, crop.flip(3), atol=1e-3, rtol=0)


def test_boxes_of_the_average_face():
    boxes = boxes_from_landmarks(TEMPLATE / 2, FRAME // 2)
    assert boxes["left_eye"][:2] == pytest.approx(TEMPLATE[0].tolist())
    # 0.47 of 126 pixels between the eyes.
    assert 2 * boxes["left_eye"][2] == pytest.approx(0.47 * 125.92, abs=0.1)
    assert boxes["mouth"] == pytest.approx([257.175, 371.28, 55.914], abs=0.01)
