"""Pack a folder of aligned faces into an LMDB that BasicSR's own tools read.

python datasets/pack_lmdb.py --input FFHQ/images1024x1024 --output datasets/FFHQ_512.lmdb --size 512
python datasets/pack_lmdb.py --output datasets/FFHQ_512.lmdb --verify

Stopped at any moment, the same command goes on where it was. docs/data.md says what becomes of odd images.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import restoreformer  # noqa: F401  # isort: skip  (first: it makes basicsr importable)

import PIL.Image
from tqdm import tqdm

from restoreformer.datasets.resumable_lmdb import Outcome, ResumableLmdb
from restoreformer.datasets.stored_format import CODECS, StoredFormat
from restoreformer.datasets.verify_lmdb import verify
from restoreformer.errors import RestoreFormerError
from restoreformer.image_source import list_images
from restoreformer.images import decode, read_bytes, squared
from restoreformer.parallel import ordered_map
from restoreformer.program import option_parser

LONGEST_NAME = 511  # LMDB's longest key
ORIENTATION = 0x0112  # EXIF
SHOWN = 20


class _Job(NamedTuple):
    folder: Path
    file: str
    size: int
    stored: StoredFormat


def pack(
    folder: str | Path, output: str | Path, size: int, stored: StoredFormat | None = None, workers: int = 0
) -> list[Outcome]:
    """Resize every image of ``folder`` to ``size`` x ``size`` and store it in ``output``.

    Records are named after the files without suffix. The LMDB appears under its name only when whole; until
    then the same call goes on where an earlier one was stopped.

    Args:
        folder: images, nested or flat, square.
        output: the LMDB to make; its name ends in ``.lmdb``.
        size: side of the stored images; larger images are averaged down, smaller ones are left out.
        stored: PNG of level 1 if none is given.
        workers: processes that decode, resize and encode; 0 does it in this one.

    Returns:
        What became of each file, in the order of their paths.

    Raises:
        RestoreFormerError: no images, an output that exists or has another suffix, an unfinished one with
            other settings or files, nothing packed.
    """
    folder, output, stored = Path(folder).expanduser(), Path(output).expanduser(), stored or StoredFormat()
    if size < 1:
        raise RestoreFormerError(f"Expected a size of at least 1 pixel, got {size}.")
    if output.suffix != ".lmdb":
        raise RestoreFormerError(f"Expected an output that ends in .lmdb, got {output}.")
    if output.exists():
        raise RestoreFormerError(
            f"Expected no file at {output}, there is one, which is finished: read it back with --verify alone, remove "
            "it, or choose another name."
        )
    files = [str(path.relative_to(folder)) for path in list_images(folder)]
    if not files:
        raise RestoreFormerError(f"Expected images in {folder}, found none.")
    # Noise as JPEG exceeds its pixels by two fifths; LMDB adds less than a page a record.
    map_size = len(files) * (6 * size * size + 16384) + 2**26
    settings = {"size": size, "format": stored.name, "level": stored.level, "files": _digest(folder, files)}
    with ResumableLmdb(output, settings, map_size) as packed:
        done = {outcome.file for outcome in packed.outcomes}
        _pack_rest(packed, [_Job(folder, f, size, stored) for f in files if f not in done], workers)
        kept = sorted((o.name, o.shape) for o in packed.outcomes if not o.left_out)
        if not kept:
            packed.discard()
            raise RestoreFormerError(
                f"Expected images to pack in {folder}, none would do. {packed.outcomes[0].left_out}"
            )
        packed.finish("".join(f"{n}{stored.suffix} ({h},{w},{c}) {stored.level}\n" for n, (h, w, c) in kept))
    return sorted(packed.outcomes, key=lambda o: o.file)


def _digest(folder: Path, files: Sequence[str]) -> str:
    """What tells a folder from another, or from itself with other files: their names and sizes."""
    lines = "\n".join(f"{file} {(folder / file).stat().st_size}" for file in files)
    return blake2b(lines.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def _pack_rest(packed: ResumableLmdb, jobs: Sequence[_Job], workers: int) -> None:
    by_name = {o.name: o.file for o in packed.outcomes if not o.left_out}
    by_digest = {o.digest: o.file for o in packed.outcomes if not o.left_out}
    total = len(packed.outcomes) + len(jobs)
    results = tqdm(
        ordered_map(_prepare, jobs, workers),
        desc=f"packing {packed.output.name}",
        unit="image",
        initial=len(packed.outcomes),
        total=total,
        smoothing=0.05,
    )
    for outcome, record in results:
        if record is not None:
            twin = None
            if outcome.name in by_name:
                twin = f"has the name of {by_name[outcome.name]}"
            elif outcome.digest in by_digest:
                twin = f"is the same picture as {by_digest[outcome.digest]}"
            if twin is not None:
                outcome, record = Outcome(outcome.file, outcome.name, left_out=f"{outcome.file} {twin}."), None
            else:
                by_name[outcome.name] = by_digest[outcome.digest] = outcome.file
        packed.add(outcome, record)


def _prepare(job: _Job) -> tuple[Outcome, bytes | None]:
    """One file as its record, or why it has none."""
    path, name = job.folder / job.file, Path(job.file).stem
    try:
        if not (name.isascii() and name.isprintable() and len(name) <= LONGEST_NAME):
            raise RestoreFormerError(
                f"Expected a name of up to {LONGEST_NAME} ASCII characters, as BasicSR's LMDBs have, got {name!r}."
            )
        data = read_bytes(path)
        image = squared(decode(data, f"in {path}"), job.size, f"in {path}")
        notes = list(_notes(data, job.file))
    except RestoreFormerError as error:
        return Outcome(job.file, name, left_out=str(error)), None
    record = job.stored.encode(image)
    digest = blake2b(record, digest_size=16).hexdigest()
    return Outcome(job.file, name, notes=notes, shape=list(image.shape), digest=digest), record


def _notes(data: bytes, file: str) -> Iterator[str]:
    """What decoding changed, beside the size.

    Raises:
        RestoreFormerError: the image lies on its side, and OpenCV does not turn its format.
    """
    try:
        with PIL.Image.open(BytesIO(data)) as header:
            bands, stored_as = header.getbands(), f"{header.mode} {[tile[3] for tile in header.tile]}"
            has_alpha = "A" in bands or "transparency" in header.info
            turned, kind = header.getexif().get(ORIENTATION, 1) != 1, header.format
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError):
        # OpenCV has read it; that Pillow does not is no reason to leave it out.
        bands, stored_as, has_alpha, turned, kind = ("R", "G", "B"), "", False, False, None
    if turned and kind == "TIFF":
        raise RestoreFormerError(f"Expected {file} upright, got a TIFF with a tag that turns it: turn it.")
    if ";16" in stored_as or bands in (("I",), ("F",)):
        yield "more than 8 bits a colour reduced to 8"
    if bands[0] in ("L", "1", "I", "F"):
        yield "grey repeated for each colour"
    elif bands in (("P",), ("C", "M", "Y", "K")):
        yield f"{'palette' if bands == ('P',) else 'CMYK'} converted to RGB"
    if has_alpha:
        yield "transparency dropped"
    if turned:
        yield "turned as EXIF says"
    if "." in Path(file).stem:
        yield "a dot in its name, where BasicSR's own datasets cut it"


def report(outcomes: Sequence[Outcome], output: Path) -> str:
    """Lines that sum up what became of the files."""
    left_out = [o for o in outcomes if o.left_out]
    size = (output / "data.mdb").stat().st_size / 2**20
    lines = [f"{len(outcomes) - len(left_out)} of {len(outcomes)} images in {output}, {size:,.0f} MiB"]
    lines += [f"  {count} with a note: {note}" for note, count in Counter(n for o in outcomes for n in o.notes).items()]
    lines += [f"  left out: {o.left_out}" for o in left_out[:SHOWN]]
    if left_out:
        lines.append(f"{len(left_out)} left out; each file's outcome is in {output / 'packing.jsonl'}")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--input", help="folder of images, nested or flat")
    parser.add_argument("--output", type=Path, required=True, help="the LMDB, NAME.lmdb")
    parser.add_argument("--size", type=int, default=512, help="side of the stored images (default 512)")
    parser.add_argument("--format", choices=CODECS, default="png", help="webp is without loss (default png)")
    parser.add_argument("--level", type=int, help="of PNG 0 to 9 (default 1), of JPEG 1 to 100 (default 95)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--verify", action="store_true", help="read everything back (without --input: do no more)")
    args = parser.parse_args()
    if args.input is None and not args.verify:
        parser.error("--input is missing, or --verify")
    left_out = False
    try:
        if args.input is not None:
            stored = StoredFormat(args.format, args.level)
            outcomes = pack(args.input, args.output, args.size, stored, args.workers)
            sys.stderr.write(report(outcomes, args.output))
            left_out = any(o.left_out for o in outcomes)
        faults = list(verify(args.output, args.workers)) if args.verify else []
    except RestoreFormerError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; packing goes on from here with the same command")
    if faults:
        sys.exit("".join(f"{fault}\n" for fault in faults) + f"error: {len(faults)} faults in {args.output}")
    if args.verify:
        sys.stderr.write(f"{args.output} is whole\n")
    sys.exit(1 if left_out else 0)


if __name__ == "__main__":
    main()
