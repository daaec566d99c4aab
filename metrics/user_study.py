"""Ask people which of two restored faces is better, blind and in random order, and count their votes (Table 3).

python metrics/user_study.py page --method Ours=results/restored_faces --method GFP-GAN=gfpgan --lq lq --out study.html
python metrics/user_study.py table --key study.key.json --answers answers/*.json --out results/user_study

The first writes one HTML file to send to participants, and study.key.json to keep: without it no answer can be read,
and whoever has it can tell the methods apart. The first --method is yours, which the table compares with each other.
"""

import argparse
import sys
from pathlib import Path

from restoreformer.errors import RestoreFormerError
from restoreformer.metrics.face_sets import FaceSet, named_folder, read_face_set, read_face_sets
from restoreformer.metrics.study import draw_study, key_path, read_key
from restoreformer.metrics.study_page import QUALITY, write_study
from restoreformer.metrics.vote_table import count_votes, markdown, write_table
from restoreformer.metrics.votes import read_answers
from restoreformer.program import option_parser


def parser() -> argparse.ArgumentParser:
    """The program's two commands and their options."""
    parser = option_parser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    # A command's parser takes over nothing of this one.
    page = commands.add_parser("page", help="write the page for the participants", allow_abbrev=False)
    add = page.add_argument
    add(
        "--method", type=named_folder, action="append", required=True, metavar="NAME=DIR", help="two or more, own first"
    )
    add("--lq", type=Path, help="folder of the degraded inputs, shown beside the two")
    add("--out", type=Path, required=True, help="page to write, NAME.html")
    add("--dataset", default="", help="where the faces are from: a column of the table")
    add("--samples", type=int, help="faces, drawn at random (default all)")
    add("--seed", type=int, default=0, help="another one draws other faces (default 0)")
    add("--first-only", action="store_true", help="compare the first method with each other, not every pair")
    add("--asked", type=int, help="questions for each participant, drawn at random (default all)")
    add("--size", type=int, default=512, help="longest side of the pictures in the page (default 512)")
    table = commands.add_parser("table", help="count the answers", allow_abbrev=False)
    add = table.add_argument
    add("--key", type=Path, action="append", required=True, help="of the study; of several, a column each")
    add("--answers", type=Path, nargs="+", required=True, help="files that the participants saved")
    add("--out", type=Path, required=True, help="folder for user_study.md, .csv and .json")
    return parser


def write_page(args: argparse.Namespace) -> str:
    """Write the page and its key; a line for each thing to know.

    Raises:
        RestoreFormerError: folders that do not go together, options out of range, or files that are there already.
    """
    methods = read_face_sets(args.method)
    degraded = None if args.lq is None else read_face_set(args.lq)
    lines = _ignored([*methods.values(), *([] if degraded is None else [degraded])])
    study = draw_study(methods, degraded, args.samples, args.seed, args.first_only, args.dataset)
    lines += write_study(args.out, study, methods, degraded, args.size, args.asked)
    faces = len({picture.face for picture in study.pictures.values()})
    lines.append(
        f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB, {len(study.questions)} questions on {faces} faces, "
        f"{args.asked or len(study.questions)} for each participant; pictures of at most {args.size} pixels, WebP of "
        f"quality {QUALITY}"
    )
    lines.append(f"{key_path(args.out)}: keep it, and send it to no participant")
    return "\n".join(lines) + "\n"


def _ignored(sets: list[FaceSet]) -> list[str]:
    return [f"{s.folder}: {len(s.ignored)} files left out, which are no images" for s in sets if s.ignored]


def write_counts(args: argparse.Namespace) -> str:
    """Count the answers and write the table, which is returned as Markdown.

    Raises:
        RestoreFormerError: keys or answers that cannot be read or do not go together.
    """
    studies = [read_key(path) for path in args.key]
    result = count_votes(studies, read_answers(args.answers, studies))
    write_table(result, args.out)
    return markdown(result)


def main() -> None:
    args = parser().parse_args()
    try:
        told = {"page": write_page, "table": write_counts}[args.command](args)
    except RestoreFormerError as error:
        sys.exit(f"error: {error}")
    (sys.stdout if args.command == "table" else sys.stderr).write(told)


if __name__ == "__main__":
    main()
