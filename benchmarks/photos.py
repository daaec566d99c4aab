"""Seconds for whole photos, from file to file: face by face, and in batches over photos beside reading and writing.

python benchmarks/photos.py --photos PHOTOS --model FILE --precision fp32 --json docs/benchmarks/photos_cpu.json

"plain loop" reads a photo, restores its faces one by one, writes the result and the faces, and goes on, as GFPGAN's
script does. The others are inference_restoreformer.py's way. All take turns in one process.
"""

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measuring import arguments, begin, in_turns, ratio, report

from restoreformer.archs.precision import PRECISIONS
from restoreformer.inference.face_restorer import DEFAULT_MODEL, FaceRestorer
from restoreformer.inference.file_run import FileRun, Outcome, PlacedFile
from restoreformer.inference.photo_list import list_photos


def main() -> None:
    parser = arguments(__doc__, rounds=5)
    parser.add_argument("--photos", type=Path, required=True, help="a folder of photos")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--detector", default="centerface")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4, 8], help="faces at once")
    args = parser.parse_args()
    device, about = begin(args)
    restorer = FaceRestorer(args.model, args.detector, args.device, precision=args.precision)
    files = list_photos(args.photos)
    faces = sum(len(restorer.place(file.path).crops) for file in files)

    with tempfile.TemporaryDirectory() as folder:
        run = FileRun(restorer, Path(folder), upscale=2)

        def one_by_one() -> None:
            for file in files:
                placed = run.load(file)
                assert isinstance(placed, PlacedFile), placed
                run.store(placed, restorer.restore_aligned(placed.crops))

        def in_batches(batch: int) -> Callable[[], Any]:
            def restore() -> None:
                restorer.batch_size = batch
                outcomes: list[Outcome] = []
                outcomes.extend(run.restore(files))
                restorer.batch_size = 1

            return restore

        runs = {"plain loop": one_by_one} | {f"batches of {batch}": in_batches(batch) for batch in args.batch}
        seconds = in_turns(runs, args.rounds, device, "restoring")
    rows = [
        {
            "way": name,
            "s": round(statistics.median(taken), 2),
            "s a face": round(statistics.median(taken) / faces, 2),
            "of plain loop": round(ratio(taken, seconds["plain loop"]), 2),
        }
        for name, taken in seconds.items()
    ]
    title = f"{len(files)} photos, {faces} faces, {args.precision}, medians of {args.rounds}"
    report(title, rows, about, args.json)


if __name__ == "__main__":
    main()
