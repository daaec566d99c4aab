"""What each stored format of datasets/pack_lmdb.py costs: bytes on disk, and milliseconds to decode, on one core.

python benchmarks/stored_formats.py --faces FOLDER --size 512

Prints a table in Markdown: medians over the rounds, in which the formats take turns.
"""

import statistics
import time
from pathlib import Path

import restoreformer  # noqa: F401  # isort: skip  (first: it makes basicsr importable)

import cv2
import numpy as np

from restoreformer.datasets.stored_format import StoredFormat
from restoreformer.image_source import ImageSource
from restoreformer.images import decode, squared
from restoreformer.program import option_parser

FORMATS = [
    *(StoredFormat("png", level) for level in (0, 1, 3, 6, 9)),
    StoredFormat("webp"),
    *(StoredFormat("jpeg", level) for level in (90, 95, 98, 100)),
]


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--faces", type=Path, required=True, help="folder or LMDB of square faces")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--count", type=int, default=100, help="faces to measure on (default 100)")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    source = ImageSource(args.faces)
    names = source.names[:: max(1, len(source) // args.count)][: args.count]
    images = [squared(source.read(name), args.size, f"under {name}") for name in names]

    print("| format | level | KiB | of PNG 1 | encoding, ms | decoding, ms | PSNR, dB |\n" + "| --- " * 7 + "|")
    files, encoding = {}, {}
    for stored in FORMATS:
        start = time.perf_counter()
        files[stored] = [stored.encode(image) for image in images]
        encoding[stored] = (time.perf_counter() - start) / len(images)
    decoding: dict[StoredFormat, list[float]] = {stored: [] for stored in FORMATS}
    for _ in range(args.rounds):
        for stored in FORMATS:
            start = time.perf_counter()
            for data in files[stored]:
                decode(data, "just encoded")
            decoding[stored].append((time.perf_counter() - start) / len(images))
    sizes = {stored: float(np.mean([len(data) for data in files[stored]])) for stored in FORMATS}
    for stored in FORMATS:
        psnr = np.mean([cv2.PSNR(decode(d, ""), i) for d, i in zip(files[stored], images, strict=True)])
        cells = [stored.name, stored.level if stored.name != "webp" else "lossless", f"{sizes[stored] / 1024:.0f}"]
        cells += [f"{sizes[stored] / sizes[StoredFormat()]:.2f}", f"{1e3 * encoding[stored]:.1f}"]
        cells += [f"{1e3 * statistics.median(decoding[stored]):.2f}"]
        cells += [f"{psnr:.1f}" if stored.name == "jpeg" else "∞"]
        print("| " + " | ".join(map(str, cells)) + " |")


if __name__ == "__main__":
    main()
