import numpy as np
import pytest
import torch
from torchvision.ops import roi_align

from restoreformer.datasets.components import (
    boxes_from_landmarks,
    find_boxes,
    locations,
    nonsense,
    read_boxes,
    write_boxes,
)
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


def released_box(outline):
    """How the released boxes were made, from the outline of an eye or of the lips in a frame of 512."""
    extent = outline.max(0) - outline.min(0)
    return [*outline.mean(0), max(extent.max() / 2, 16)]


@pytest.mark.parametrize("scale", [1.0, 0.8, 1.2, 0.4])
def test_boxes_are_of_the_released_kind(scale):
    """A face drawn as ellipses, of an adult's proportions (eye 30 mm, eyes 64 mm apart, mouth 50 mm)."""
    turns = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    circle = np.stack([np.cos(turns), np.sin(turns)], 1)
    mm = scale * 126 / 64
    centres = np.array([[256 - 32 * mm, 240], [256 + 32 * mm, 240], [256, 240 + 66 * mm]])
    eye, lips = circle * (15 * mm, 5 * mm), circle * (25 * mm, 10 * mm)
    outlines = {"left_eye": eye + centres[0], "right_eye": eye + centres[1], "mouth": lips + centres[2]}
    corners = [centres[2] - (25 * mm, 0), centres[2] + (25 * mm, 0)]
    found = boxes_from_landmarks(np.array([centres[0], centres[1], [256, 240 + 38 * mm], *corners]), FRAME)
    for region, outline in outlines.items():
        assert found[region] == pytest.approx(released_box(outline), abs=0.4), region
    # Enlarged as the option files say, at 512 an eye is seen over its box times 1.4.
    wide = locations(found, FRAME, 1.4, flipped=False)
    assert wide["left_eye"][2] - wide["left_eye"][0] == pytest.approx(2 * 1.4 * found["left_eye"][2] - 1, abs=1e-3)
    assert wide["mouth"][2] - wide["mouth"][0] == pytest.approx(2 * found["mouth"][2] - 1, abs=1e-3)


@pytest.mark.parametrize(
    "region, box, reason",
    [
        (None, None, None),
        ("left_eye", [320.0, 240.0, 30.0], "left_eye at x 320 is not left of right_eye at 320"),
        ("mouth", [257.0, 239.0, 56.0], "mouth at y 239 is not below the eyes at 240 and 238"),
        ("mouth", [257.0, 470.0, 56.0], "mouth at (257, 470), 112 wide, is not within 512x512"),
        ("left_eye", [20.0, 240.0, 30.0], "left_eye at (20, 240), 60 wide, is not within 512x512"),
        ("right_eye", [320.0, 240.0, 0.0], "right_eye at (320, 240), 0 wide, is not within 512x512"),
        ("all", None, "eyes and mouth are so near each other as those of a face in the background"),
        ("right_eye", [float("nan"), 240.0, 30.0], "right_eye at (nan, 240), 60 wide, is not within 512x512"),
    ],
)
def test_boxes_without_sense(region, box, reason):
    boxes = BOXES if region is None else {**BOXES, region: box}
    if region == "all":
        boxes = {k: [256 + (v[0] - 256) / 3, v[1] / 3, 16.0] for k, v in BOXES.items()}
    assert nonsense(boxes) == reason


def test_boxes_are_written_whole_or_told(tmp_path):
    (tmp_path / "taken.pth").mkdir()
    with pytest.raises(RestoreFormerError, match="Expected to write .*taken.pth, could not"):
        write_boxes(tmp_path / "taken.pth", {"00001": BOXES})
