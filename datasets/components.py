"""Boxes of eyes and mouth: the file that holds them, their scale, and what a flip does to them.

A box is ``[cx, cy, half]`` in pixels of the aligned face scaled to 512x512 (GFPGAN's format): centre
and half the side of a square. Left and right are the viewer's.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from restoreformer.errors import RestoreFormerError
from restoreformer.geometry import FRAME, REGIONS
from restoreformer.numbers_only import load_numbers
from restoreformer.pretrained import local_file
from restoreformer.whole_file import whole_file

Box = list[float]
Boxes = dict[str, Box]


def read_boxes(path: str | Path) -> dict[str, Boxes]:
    """Read ``{image name without suffix: {region: [cx, cy, half]}}``, ours or the released FFHQ file.

    Raises:
        RestoreFormerError: no such file, or an entry that is not three numbers for each region.
    """
    path = local_file(path)
    if not path.is_file():
        raise RestoreFormerError(
            f"Expected a file of eye and mouth boxes at {path} (component_path), found none: make one with "
            "python datasets/find_components.py."
        )
    content = load_numbers(path, "eye and mouth boxes")
    if not isinstance(content, Mapping):
        raise RestoreFormerError(f"Expected a dict of boxes in {path}, got {type(content).__name__}.")
    return {str(name): _entry(path, str(name), entry) for name, entry in content.items()}


def _entry(path: Path, name: str, entry: Mapping[str, object]) -> Boxes:
    try:
        boxes = {region: [float(v) for v in np.asarray(entry[region], dtype=np.float64).ravel()] for region in REGIONS}
        if any(len(box) != 3 for box in boxes.values()):
            raise ValueError
    except (KeyError, TypeError, ValueError) as error:
        raise RestoreFormerError(
            f"Expected [cx, cy, half] for each of {', '.join(REGIONS)} under {name} in {path}, got {entry}."
        ) from error
    return boxes


def write_boxes(path: str | Path, boxes: Mapping[str, Boxes]) -> None:
    """Write boxes in the released format, as plain lists that load with ``weights_only``; whole or not at all.

    Raises:
        RestoreFormerError: they cannot be written there.
    """
    path = Path(path)
    plain = {name: {region: list(box) for region, box in entry.items()} for name, entry in boxes.items()}
    with whole_file(path) as part:
        torch.save(plain, part)


def find_boxes(boxes: Mapping[str, Boxes], name: str) -> Boxes | None:
    """The entry of an image by its name; a number also matches with FFHQ's eight digits."""
    if name in boxes:
        return boxes[name]
    return boxes.get(name.zfill(8)) if name.isdigit() else None


def locations(boxes: Boxes, size: int, eye_enlarge_ratio: float, flipped: bool) -> dict[str, NDArray[np.float32]]:
    """Corners ``[x1, y1, x2, y2]`` of each region, in pixels of an image of side ``size``.

    As released, a box reaches from ``c - half + 1`` to ``c + half`` in the frame of 512, eyes enlarged
    by ``eye_enlarge_ratio``. In a mirrored image pixel x stands at ``size - 1 - x``, and the eyes change
    names, so that ``left_eye`` is the viewer's left there too. ``boxes`` is not touched.
    """
    scale = size / FRAME
    corners = {}
    for region in REGIONS:
        cx, cy, half = boxes[region]
        if region != "mouth":
            half *= eye_enlarge_ratio
        corners[region] = scale * np.array([cx - half + 1, cy - half + 1, cx + half, cy + half], dtype=np.float32)
    if flipped:
        corners = {region: mirror(box, size) for region, box in corners.items()}
        corners["left_eye"], corners["right_eye"] = corners["right_eye"], corners["left_eye"]
    return corners


def mirror(box: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """The corners of a box after the image of side ``size`` was flipped left to right."""
    x1, y1, x2, y2 = box
    return np.array([size - 1 - x2, y1, size - 1 - x1, y2], dtype=np.float32)


# Nothing smaller than half of 32 pixels is told from its surroundings (released).
SMALLEST_HALF = 16.0


def boxes_from_landmarks(landmarks: NDArray[np.floating], size: int) -> Boxes:
    """Boxes from the five landmarks of an aligned face of side ``size``, of the released boxes' kind.

    The released ones are the mean and half the larger extent, at least 16, of the outline of each eye and
    of the lips. Detectors give centres of the eyes, so the eye's half width comes from anatomy: the opening
    of an eye is about 0.47 of the distance between the eyes (30 of 64 mm). The mouth's square spans its two
    corners.

    Args:
        landmarks: ``(5, 2)``: viewer's left eye, right eye, nose, left and right corner of the mouth.
        size: side of the image that they were found in.
    """
    points = np.asarray(landmarks, dtype=np.float64) * (FRAME / size)
    left, right, _, mouth_left, mouth_right = points
    eye_half = max(SMALLEST_HALF, float(np.linalg.norm(right - left)) * 0.47 / 2)
    mouth_half = max(SMALLEST_HALF, float(np.linalg.norm(mouth_right - mouth_left)) / 2)
    mouth = (mouth_left + mouth_right) / 2
    return {
        "left_eye": [*map(float, left), eye_half],
        "right_eye": [*map(float, right), eye_half],
        "mouth": [*map(float, mouth), mouth_half],
    }


def nonsense(boxes: Boxes) -> str | None:
    """Why boxes cannot be those of an aligned face, or None: beyond the image, misplaced, or of a face too small."""
    for region, (cx, cy, half) in boxes.items():
        if not (half > 0 and half <= min(cx, cy) and max(cx, cy) + half <= FRAME):
            return f"{region} at ({cx:.0f}, {cy:.0f}), {2 * half:.0f} wide, is not within {FRAME}x{FRAME}"
    left, right, mouth = (boxes[region] for region in REGIONS)
    if left[0] >= right[0]:
        return f"left_eye at x {left[0]:.0f} is not left of right_eye at {right[0]:.0f}"
    if mouth[1] <= max(left[1], right[1]):
        return f"mouth at y {mouth[1]:.0f} is not below the eyes at {left[1]:.0f} and {right[1]:.0f}"
    # Half of what they are in the average face; of a profile the eyes are near, but not the mouth.
    if max(math.dist(left[:2], right[:2]), math.dist(left[:2], mouth[:2])) < FRAME / 8:
        return "eyes and mouth are so near each other as those of a face in the background"
    return None
