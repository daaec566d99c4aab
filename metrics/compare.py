"""Show faces restored by several methods side by side, with parts enlarged, as the paper's Figures 4 and 5.

python metrics/compare.py --lq lq --method GFP-GAN=gfpgan --method Ours=results/restored_faces --gt gt \\
    --faces 00012 00345 --box eyes --box 00345:mouth --out figure.png

Columns are the degraded input, the methods in the order given, and the ground truth; all faces of a row get the size
of the ground truth, or without it of the first method. A box is x,y,w,h, in fractions of the face or in pixels of that
size, or a part of an aligned face by its name.
"""

import argparse
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path

from restoreformer.errors import RestoreFormerError
from restoreformer.images import Image, read, write
from restoreformer.metrics.comparison_figure import Row, draw_figure
from restoreformer.metrics.face_sets import FaceSet, NamedFolder, listed, named_folder, read_face_sets, sized_as
from restoreformer.metrics.zoom_boxes import PARTS, Box, parse_box
from restoreformer.program import option_parser


def parser() -> argparse.ArgumentParser:
    """The program's options."""
    parser = option_parser(__doc__)
    add = parser.add_argument
    add("--method", type=named_folder, action="append", required=True, metavar="NAME=DIR", help="a column; several")
    add("--lq", type=Path, help="folder of the degraded inputs: the first column")
    add("--gt", type=Path, help="folder of the ground truth: the last column")
    add("--faces", nargs="+", required=True, metavar="NAME", help="names without suffix: a row each")
    add(
        "--box",
        type=parse_box,
        action="append",
        default=[],
        metavar="[FACE:]BOX",
        help=f"to enlarge, of every face or one: x,y,w,h or {', '.join(PARTS)}; several",
    )
    add("--width", type=int, default=320, help="of a column in pixels (default 320)")
    add("--headings", choices=("bottom", "top"), default="bottom", help="where methods' names stand (default bottom)")
    add("--lq-heading", default="Input", help="(default Input)")
    add("--gt-heading", default="GT", help="(default GT)")
    add("--font", type=Path, help="TrueType file of the headings, for other than ASCII letters")
    add("--out", type=Path, required=True, help="picture to write, NAME.png")
    return parser


def make_row(face: str, columns: dict[str, FaceSet], reference: str, boxes: Sequence[Box]) -> tuple[Row, list[str]]:
    """A face by all methods at the reference's size, and a line for each that was resized.

    Raises:
        RestoreFormerError: a face that a method has not, cannot be read, or has in other proportions; a box beyond it.
    """
    for name, faces in columns.items():
        if face not in faces.files:
            near = difflib.get_close_matches(face, faces.files, 1) or [listed(list(faces.files))]
            raise RestoreFormerError(f"Expected {face} among the faces of {name} in {faces.folder}: is it {near[0]}?")
    images = {name: read(faces.files[face]) for name, faces in columns.items()}
    shape = images[reference]
    fitted = [sized_as(image, shape, f"in {columns[name].files[face]}") for name, image in images.items()]
    told = [
        f"{face}: {name} resized from {_size(image)} to {_size(shape)}"
        for name, image in images.items()
        if image.shape != shape.shape
    ]
    height, width = shape.shape[:2]
    return Row(fitted, [b.corners(width, height) for b in boxes if b.face in (None, face)]), told


def _size(image: Image) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"


def make_figure(args: argparse.Namespace) -> list[str]:
    """Write the figure; a line for each face that was resized.

    Raises:
        RestoreFormerError: as :func:`make_row`, names that two columns have, or options out of range.
    """
    if args.out.suffix.lower() != ".png":
        raise RestoreFormerError(f"Expected a picture to write, NAME.png, got {args.out}.")
    if not 64 <= args.width <= 4096:
        raise RestoreFormerError(f"Expected columns of 64 to 4096 pixels, got --width {args.width}.")
    if strange := {box.face for box in args.box} - {None, *args.faces}:
        raise RestoreFormerError(f"Expected boxes for faces among --faces, got one for {min(map(str, strange))}.")
    degraded = [] if args.lq is None else [NamedFolder(args.lq_heading, args.lq)]
    truth = [] if args.gt is None else [NamedFolder(args.gt_heading, args.gt)]
    columns = read_face_sets([*degraded, *args.method, *truth])
    reference = (truth or args.method)[0].name
    rows, told = [], []
    for face in args.faces:
        row, lines = make_row(face, columns, reference, args.box)
        rows.append(row)
        told += lines
    write(args.out, draw_figure(rows, list(columns), args.width, args.headings == "top", args.font))
    return told


def main() -> None:
    args = parser().parse_args()
    try:
        told = make_figure(args)
    except RestoreFormerError as error:
        sys.exit(f"error: {error}")
    sys.stderr.write("".join(f"{line}\n" for line in [*told, str(args.out)]))


if __name__ == "__main__":
    main()
