"""Make a test set of degraded faces that is the same wherever it is made, as CelebA-Test (Sec. 4.1) is made.

python datasets/make_test_set.py --input CelebA-HQ/test --output datasets/CelebA-Test --size 512 --seed 0

Writes lq/NAME.png, hq/NAME.png and manifest.csv, a line for each file: how strongly it was degraded, and the two
numbers that its chance begins with. options/test_celeba.yml tests on it.
"""

import csv
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import restoreformer  # noqa: F401  # isort: skip  (first: it makes basicsr importable)

from tqdm import tqdm

from restoreformer.datasets.degradation import (
    PRESETS,
    Degradation,
    Strengths,
    build_degradation,
    file_generator,
    file_seed,
)
from restoreformer.errors import RestoreFormerError
from restoreformer.image_source import ImageSource
from restoreformer.images import squared, write
from restoreformer.parallel import ordered_map
from restoreformer.program import option_parser
from restoreformer.whole_file import make_folder, whole_file

MANIFEST = "manifest.csv"


class _Job(NamedTuple):
    source: ImageSource
    output: Path
    size: int
    seed: int
    degradation: Degradation


def make_test_set(
    folder: str | Path,
    output: str | Path,
    size: int,
    seed: int = 0,
    preset: str = "paper",
    workers: int = 0,
    reference_size: int | None = None,
) -> int:
    """Degrade every face of a folder or LMDB; each is drawn for by its name and ``seed``, and computed in float64.

    The results are what :class:`BlindFaceDataset` validates on with this seed. The manifest is written
    last: a folder without it is not finished, and the same call makes it anew.

    Args:
        folder: square faces of at least ``size`` x ``size``; larger ones are averaged down.
        output: where ``lq``, ``hq`` and the manifest go.
        size: side of both.
        seed: another number, 0 or more, gives another set.
        preset: of ``restoreformer.datasets.degradation.PRESETS``.
        workers: processes; 0 does it in this one.
        reference_size: the side of the faces that the preset's ranges are meant for; they are scaled from it to
            ``size``. None uses them as they are.

    Returns:
        The number of faces.

    Raises:
        RestoreFormerError: a test set that is there already, no images, or one that will not do: a set with
            faces missing would be another set.
    """
    output = Path(output).expanduser()
    if seed < 0 or size < 1:
        raise RestoreFormerError(f"Expected a seed from 0 and a size from 1 pixel, got {seed} and {size}.")
    degradation = build_degradation({"preset": preset, "reference_size": reference_size}, size)
    if (output / MANIFEST).exists():
        raise RestoreFormerError(f"Expected no test set in {output}, there is one: remove it or choose another name.")
    source = ImageSource(folder)
    root, target = source.root.resolve(), output.resolve()
    if root.is_relative_to(target) or target.is_relative_to(root):
        raise RestoreFormerError(f"Expected a folder apart from the faces in {folder}, got {output}.")
    for part in ("lq", "hq"):
        make_folder(output / part)
        if strange := {p.stem for p in (output / part).iterdir()} - set(source.names):
            raise RestoreFormerError(f"Expected faces of {folder} alone in {output / part}, got {min(strange)}.")
    job = _Job(source, output, size, seed, degradation)
    results = ordered_map(_degrade, source.names, workers, _start, (job,))
    drawn = list(tqdm(results, desc="degrading", unit="image", total=len(source)))
    _write_manifest(output / MANIFEST, source.names, drawn, seed)
    return len(source)


_job: _Job


def _start(job: _Job) -> None:
    global _job
    _job = job


def _degrade(name: str) -> Strengths:
    hq = squared(_job.source.read(name), _job.size, f"under {name} in {_job.source.root}")
    rng = file_generator(name, _job.seed)
    drawn = _job.degradation.draw(rng)
    write(_job.output / "hq" / f"{name}.png", hq)
    write(_job.output / "lq" / f"{name}.png", _job.degradation(hq, rng, drawn, exact=True))
    return drawn


def _write_manifest(path: Path, names: Sequence[str], drawn: Sequence[Strengths], seed: int) -> None:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["name", *Strengths._fields, "seed", "name_crc32"])
    for name, strengths in zip(names, drawn, strict=True):
        # repr gives a float back to the last bit.
        values = ["" if v is None else " ".join(map(repr, v)) if isinstance(v, tuple) else repr(v) for v in strengths]
        rows.writerow([name, *values, *file_seed(name, seed)])
    with whole_file(path) as part:
        part.write_text(text.getvalue(), encoding="utf-8", newline="\n")


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--input", required=True, help="folder or LMDB of high-quality aligned faces")
    parser.add_argument("--output", type=Path, required=True, help="folder to make")
    parser.add_argument("--size", type=int, default=512, help="side of the faces (default 512)")
    parser.add_argument("--seed", type=int, default=0, help="another one makes another set (default 0)")
    parser.add_argument("--preset", choices=PRESETS, default="paper", help="ranges (default paper)")
    parser.add_argument(
        "--reference-size",
        type=int,
        help="scale blur and shrinking from faces of this side to --size: 512 for the presets (default: do not scale)",
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    args = parser.parse_args()
    try:
        count = make_test_set(
            args.input, args.output, args.size, args.seed, args.preset, args.workers, args.reference_size
        )
    except RestoreFormerError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; there is no manifest, and the same command begins anew")
    sys.stderr.write(f"{count} faces in {args.output}\n")


if __name__ == "__main__":
    main()
