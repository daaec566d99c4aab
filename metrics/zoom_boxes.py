"""Which part of a face to enlarge: named, in fractions of the face, or in pixels."""

import argparse
import math
from typing import NamedTuple

from restoreformer.errors import RestoreFormerError
from restoreformer.geometry import FRAME, TEMPLATE

_LEFT, _RIGHT, _NOSE, _MOUTH_LEFT, _MOUTH_RIGHT = ((float(x) / FRAME, float(y) / FRAME) for x, y in TEMPLATE)
# What widths and heights below are multiples of.
_EYES_APART = _RIGHT[0] - _LEFT[0]


def _around(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    width, height = width * _EYES_APART, height * _EYES_APART
    return x - width / 2, y - height / 2, width, height


# Of faces aligned as FFHQ's: left, top, width and height in fractions. Eyes have the brows above them.
PARTS = {
    "left_eye": _around(_LEFT[0], _LEFT[1] - 0.08 * _EYES_APART, 0.85, 0.75),
    "right_eye": _around(_RIGHT[0], _RIGHT[1] - 0.08 * _EYES_APART, 0.85, 0.75),
    "eyes": _around((_LEFT[0] + _RIGHT[0]) / 2, _LEFT[1] - 0.08 * _EYES_APART, 1.85, 0.75),
    "nose": _around(_NOSE[0], _NOSE[1] - 0.1 * _EYES_APART, 0.8, 0.7),
    "mouth": _around((_MOUTH_LEFT[0] + _MOUTH_RIGHT[0]) / 2, _MOUTH_LEFT[1], 1.4, 0.8),
}


class Box(NamedTuple):
    """A box for one face, or with None for all: left, top, width and height, in fractions or in pixels."""

    face: str | None
    values: tuple[float, float, float, float]
    in_pixels: bool

    def corners(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Left, top, right and bottom in pixels of a face of that size; the last two are beyond the box.

        Raises:
            RestoreFormerError: the box is not within the face, or has not two pixels either way.
        """
        x, y, w, h = self.values
        across, down = (1, 1) if self.in_pixels else (width, height)
        left, top, right, bottom = round(x * across), round(y * down), round((x + w) * across), round((y + h) * down)
        if not (0 <= left < right - 1 < width and 0 <= top < bottom - 1 < height):
            raise RestoreFormerError(
                f"Expected a box of two pixels or more within a face of {width}x{height}, got {left},{top} to "
                f"{right},{bottom}."
            )
        return left, top, right, bottom


def parse_box(text: str) -> Box:
    """``[FACE:]x,y,w,h``, in fractions if none is above 1, else in pixels; or ``[FACE:]PART``. For argparse's ``type``.

    Raises:
        argparse.ArgumentTypeError: four numbers, or a part's name, were not to be had.
    """
    face, _, where = text.rpartition(":")
    if where in PARTS:
        return Box(face or None, PARTS[where], in_pixels=False)
    try:
        x, y, w, h = (float(v) for v in where.split(","))
        if not all(map(math.isfinite, (x, y, w, h))):
            raise ValueError(where)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"Expected x,y,w,h or one of {', '.join(PARTS)}, after FACE: if for one face, got {text!r}."
        ) from error
    in_pixels = max(x, y, w, h) > 1
    if in_pixels and not all(v.is_integer() for v in (x, y, w, h)):
        raise argparse.ArgumentTypeError(f"Expected whole pixels, or fractions up to 1, got {text!r}.")
    return Box(face or None, (x, y, w, h), in_pixels)
