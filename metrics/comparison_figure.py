"""The layout of the paper's Figures 4 and 5: a row for each face, a column for each method, parts enlarged beneath."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from restoreformer.errors import RestoreFormerError
from restoreformer.images import Image, resize

Corners = tuple[int, int, int, int]
Colour = tuple[int, int, int]
Framed = tuple[Image, Colour]

# BGR: red, blue, yellow and green that differ also to eyes that do not tell red from green.
COLOURS: tuple[Colour, ...] = ((40, 40, 225), (230, 140, 0), (40, 210, 245), (110, 160, 0))
# Of headings, in pixels; smaller letters are not to be read.
LEAST_TEXT = 12
# Enlarged parts stand in one line as long as they are that much larger than in the face.
LEAST_ZOOM = 1.5
# Of an enlarged part, of the column's width: faces stay what is seen first.
MOST_HEIGHT = 0.6


class Row(NamedTuple):
    """One face by all methods, images ``(h, w, 3)`` of one size, and left, top, right, bottom of what is enlarged."""

    faces: Sequence[Image]
    boxes: Sequence[Corners]


def draw_figure(
    rows: Sequence[Row], headings: Sequence[str], width: int = 320, on_top: bool = False, font: Path | None = None
) -> Image:
    """The figure, BGR ``(h, w, 3)`` on white.

    Args:
        rows: each has a face for every heading.
        headings: of the columns.
        width: of a column, in pixels; every face and every enlarged part has the same scale in all columns.
        on_top: headings above the faces rather than below.
        font: TrueType file of the headings; None takes Pillow's own, which has ASCII letters alone.

    Raises:
        RestoreFormerError: headings too small to read or not in the font, or a font that cannot be read.
    """
    gap = max(2, width // 80)
    lines = []
    for row in rows:
        cells = [_cell(face, row.boxes, width, gap) for face in row.faces]
        lines.append(_side_by_side(cells, gap))
    heads = _headings(headings, width, gap, font)
    return _stacked([heads, *lines] if on_top else [*lines, heads], 3 * gap)


def _cell(face: Image, boxes: Sequence[Corners], width: int, gap: int) -> Image:
    """A face with its boxes, and what is in them enlarged beneath, in frames of the same colours."""
    line = max(2, width // 100)
    parts = [face[top:bottom, left:right] for left, top, right, bottom in boxes]
    scale = width / face.shape[1]
    shown = resize(face, width, round(face.shape[0] * scale)).copy()
    for colour, corners in zip(_colours(len(boxes)), boxes, strict=True):
        left, top, right, bottom = (round(c * scale) for c in corners)
        _frame(shown, (left, top, right, bottom), line, colour)
    if not parts:
        return shown
    framed = list(zip(parts, _colours(len(parts)), strict=True))
    return _stacked(
        [shown, *(_enlarged(of_line, width, gap, line) for of_line in _lines(framed, scale, width, gap))], gap
    )


def _frame(image: Image, around: Corners, line: int, colour: Colour) -> None:
    """Draw a frame around a part, which stays as it is; what would be beyond the image is left out."""
    left, top, right, bottom = around
    inside = image[top:bottom, left:right].copy()
    image[max(0, top - line) : bottom + line, max(0, left - line) : right + line] = colour
    image[top:bottom, left:right] = inside


def _lines(parts: list[Framed], scale: float, width: int, gap: int) -> list[list[Framed]]:
    """As many parts in each line as leave all enlarged, against the face that is shown at ``scale``."""
    for count in range(len(parts), 0, -1):
        lines = [parts[i : i + count] for i in range(0, len(parts), count)]
        zooms = [_height(of_line, width, gap) / (part.shape[0] * scale) for of_line in lines for part, _ in of_line]
        if min(zooms) >= LEAST_ZOOM:
            break
    return lines


def _height(parts: Sequence[Framed], width: int, gap: int) -> float:
    """At which parts side by side are as wide together as the column, or less, so that none is too high."""
    ratios = sum(part.shape[1] / part.shape[0] for part, _ in parts)
    return min(MOST_HEIGHT * width, (width - gap * (len(parts) - 1)) / ratios)


def _colours(count: int) -> list[Colour]:
    return [COLOURS[i % len(COLOURS)] for i in range(count)]


def _enlarged(parts: Sequence[Framed], width: int, gap: int, line: int) -> Image:
    """Parts side by side, framed, in the middle of a line of the column's width."""
    height = _height(parts, width, gap)
    framed = []
    for part, colour in parts:
        across, down = max(1, round(height * part.shape[1] / part.shape[0])), max(1, round(height))
        grows = across >= part.shape[1]
        large = cv2.resize(part, (across, down), interpolation=cv2.INTER_CUBIC if grows else cv2.INTER_AREA)
        framed.append(large.astype(np.uint8, copy=False))
        _frame(framed[-1], (line, line, across - line, down - line), line, colour)
    # Rounding may make it a pixel wider.
    row = _side_by_side(framed, gap)[:, :width]
    left = (width - row.shape[1]) // 2
    white = np.full((row.shape[0], width, 3), 255, np.uint8)
    white[:, left : left + row.shape[1]] = row
    return white


def _headings(headings: Sequence[str], width: int, gap: int, font: Path | None) -> Image:
    """The headings in one size, each centred over its column."""
    if font is None and (strange := [text for text in headings if not text.isascii()]):
        raise RestoreFormerError(
            f"Expected headings of ASCII letters, which are all that Pillow's font has, got {strange[0]}: name a "
            "--font."
        )
    size = width // 9
    # With a letter's width between two of them.
    while max(_font(font, size).getlength(text) for text in headings) > width - size / 2 and size >= LEAST_TEXT:
        size -= 1
    if size < LEAST_TEXT:
        longest = max(headings, key=len)
        raise RestoreFormerError(
            f"Expected headings that can be read over columns of {width} pixels, got {longest}: shorten it or take a "
            "larger --width."
        )
    letters = _font(font, size)
    across = len(headings) * (width + gap) - gap
    canvas = PIL.Image.new("RGB", (across, round(1.4 * size)), "white")
    draw = PIL.ImageDraw.Draw(canvas)
    for column, text in enumerate(headings):
        draw.text((column * (width + gap) + width / 2, canvas.height / 2), text, "black", letters, anchor="mm")
    return np.ascontiguousarray(np.asarray(canvas)[:, :, ::-1])


def _font(path: Path | None, size: int) -> PIL.ImageFont.FreeTypeFont | PIL.ImageFont.ImageFont:
    if path is None:
        return PIL.ImageFont.load_default(size)
    try:
        return PIL.ImageFont.truetype(str(path), size)
    except OSError as error:
        raise RestoreFormerError(f"Expected a TrueType font in {path}, could not read it: {error}.") from error


def _side_by_side(images: Sequence[Image], gap: int) -> Image:
    white = np.full((images[0].shape[0], gap, 3), 255, np.uint8)
    return np.hstack([part for image in images for part in (image, white)][:-1])


def _stacked(images: Sequence[Image], gap: int) -> Image:
    white = np.full((gap, images[0].shape[1], 3), 255, np.uint8)
    return np.vstack([part for image in images for part in (image, white)][:-1])
