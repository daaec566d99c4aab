import argparse

import cv2
import numpy as np
import pytest

from restoreformer.errors import RestoreFormerError
from restoreformer.images import write
from restoreformer.metrics.compare import make_figure, parser
from restoreformer.metrics.comparison_figure import COLOURS, Row, draw_figure
from restoreformer.metrics.zoom_boxes import PARTS, parse_box

RED = np.array([0, 0, 255])


def face(shade, size=100, patch=None):
    """A grey face with something red in the box ``patch``."""
    image = np.full((size, size, 3), shade, np.uint8)
    if patch is not None:
        left, top, right, bottom = patch
        image[top:bottom, left:right] = RED
    return image


def test_boxes():
    assert parse_box("0.25,0.5,0.5,0.125").corners(200, 80) == (50, 40, 150, 50)
    assert parse_box("b:1:10,20,30,40") == ("b:1", (10, 20, 30, 40), True)
    assert parse_box("10,20,30,40").corners(40, 60) == (10, 20, 40, 60)
    assert parse_box("0,0,1,1").corners(7, 9) == (0, 0, 7, 9)
    assert parse_box("x:mouth") == ("x", PARTS["mouth"], False)
    for text in ("1,2,3", "nothing", "a:", "0.5,1,20,20", "1,2,x,4", "nan,0,1,1"):
        with pytest.raises(argparse.ArgumentTypeError, match=r"Expected .*got '" + text):
            parse_box(text)
    for text in ("10,20,31,40", "0.5,0.5,0.6,0.1", "-5,5,20,20", "0.5,0.5,0.01,0.5"):
        with pytest.raises(RestoreFormerError, match="two pixels or more within a face of 40x60"):
            parse_box(text).corners(40, 60)


def test_named_parts_are_around_what_they_are_called_by():
    """In FFHQ's alignment, at 512: the eyes at (193, 240) and (319, 240), the mouth from 201 to 313 at 371."""
    corners = {part: parse_box(part).corners(512, 512) for part in PARTS}
    for part, points in (("eyes", [(193, 240), (319, 240)]), ("left_eye", [(193, 240)]), ("right_eye", [(319, 240)])):
        left, top, right, bottom = corners[part]
        assert all(left + 30 < x < right - 30 and top + 40 < y < bottom - 30 for x, y in points)
    left, top, right, bottom = corners["mouth"]
    assert left < 201 - 20 and right > 313 + 20 and top + 40 < 371 < bottom - 40
    assert corners["left_eye"][2] < corners["right_eye"][0]


def test_a_row_for_each_face_a_column_for_each_method():
    rows = [Row([face(40), face(80), face(120)], []), Row([face(160), face(200), face(240)], [])]
    figure = draw_figure(rows, ["one", "two", "three"], 160)
    # A gap of 2 between columns, of 6 between rows; headings of 17 pixels in 1.4 as many.
    assert figure.shape == (2 * (160 + 6) + 24, 3 * 160 + 2 * 2, 3)
    for row, shades in enumerate(((40, 80, 120), (160, 200, 240))):
        for column, shade in enumerate(shades):
            assert (figure[row * 166 :, column * 162 :][:160, :160] == shade).all()
    on_top = draw_figure(rows, ["one", "two", "three"], 160, on_top=True)
    assert np.array_equal(on_top[:24], figure[-24:]) and np.array_equal(on_top[30:], figure[:-30])
    inked = [(figure[-24:, at : at + 160] < 128).any(2) for at in (0, 162, 324)]
    # Each heading is in the middle of its column, and no two are the same.
    assert all(abs(ink.nonzero()[1].mean() - 80) < 6 for ink in inked)
    assert not np.array_equal(inked[0], inked[1])


def test_what_is_in_a_box_is_enlarged_beneath():
    boxes = [(20, 30, 40, 50), (60, 60, 80, 80)]
    figure = draw_figure([Row([face(90, patch=boxes[0]), face(90, patch=boxes[1])], boxes)], ["a", "b"], 300)
    # 300 less a gap of 3 hold two squares of 148.5, rounded to 148; a frame is 3 wide.
    assert figure.shape[0] == 300 + 3 + 148 + 9 + 46
    for at, filled, empty in ((0, 0, 1), (303, 1, 0)):
        for part, is_red in ((filled, True), (empty, False)):
            large = figure[303:, at + 151 * part :][:148, :148]
            assert (large[0, 10] == COLOURS[part]).all() and (large[-1, -1] == COLOURS[part]).all()
            assert (large[10:-10, 10:-10] == (RED if is_red else 90)).all()
        for part, (left, top, right, bottom) in enumerate(boxes):
            assert (figure[3 * top - 1 : 3 * bottom, at + 3 * left - 1] == COLOURS[part]).all()
            assert (
                figure[3 * top + 2, at + 3 * left + 2 : at + 3 * right - 2] == (RED if part == filled else 90)
            ).all()
    # Half as wide as the face each, side by side they would not be larger: each has a line, in its own proportions.
    wide = [(0, 0, 50, 20), (0, 50, 50, 70)]
    figure = draw_figure([Row([face(90)], wide)], ["a"], 300)
    assert figure.shape[0] == 300 + 2 * (3 + 120) + 9 + 46


def arguments(tmp_path, *words):
    known = ["--lq", "lq", "--gt", "gt", "--method", "Ours=ours", "--faces", "one", "two", "--width", "160"]
    parsed = parser().parse_args([*known, *words, "--out", str(tmp_path / "figure.png")])
    parsed.method = [m._replace(folder=tmp_path / m.folder) for m in parsed.method]
    parsed.lq, parsed.gt = tmp_path / "lq", tmp_path / "gt"
    return parsed


def test_from_folders_to_a_picture(tmp_path):
    for shade, folder in ((40, "lq"), (80, "ours"), (120, "gt")):
        for name in ("one", "two", "three"):
            write(tmp_path / folder / f"{name}.png", face(shade, 50 if folder == "lq" else 100, (0, 0, 10, 10)))
    told = make_figure(arguments(tmp_path, "--box", "two:50,50,40,20"))
    assert told == [f"{name}: Input resized from 50x50 to 100x100" for name in ("one", "two")]
    figure = cv2.imread(str(tmp_path / "figure.png"))
    assert figure.shape == (160 + 6 + 160 + 2 + 80 + 6 + 24, 3 * 160 + 4, 3)
    assert [figure[100, at + 80].tolist() for at in (0, 162, 324)] == [[s] * 3 for s in (40, 80, 120)]
    for words, message in (
        (["--faces", "ones"], "Expected ones among the faces of Input in .*lq: is it one?"),
        (["--box", "three:eyes"], "boxes for faces among --faces, got one for three"),
        (["--box", "90,0,20,10"], "two pixels or more within a face of 100x100, got 90,0 to 110,10"),
        (["--gt-heading", "Ours"], "a name of its own for each folder, got Ours for .*ours and .*gt"),
        (["--lq-heading", "GT"], "a name of its own for each folder, got GT for .*lq and .*gt"),
        (["--gt-heading", "the faces as they were before"], "headings that can be read over columns of 160 pixels"),
        (["--gt-heading", "vérité"], "headings of ASCII letters, which are all that Pillow's font has, got vérité"),
        (["--font", "figure.png"], "Expected a TrueType font in figure.png, could not read it"),
        (["--width", "60"], "columns of 64 to 4096 pixels, got --width 60"),
        (["--width", "100000"], "columns of 64 to 4096 pixels, got --width 100000"),
    ):
        with pytest.raises(RestoreFormerError, match=message):
            make_figure(arguments(tmp_path, *words))
    write(tmp_path / "ours" / "one.png", face(80)[:90])
    with pytest.raises(RestoreFormerError, match="proportions of 100x100 in .*ours.one.png, got 100x90: cut it out"):
        make_figure(arguments(tmp_path))
