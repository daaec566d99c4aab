"""What no learning reaches: degraded faces resampled and denoised, to stand in a table beside networks.

python metrics/baselines.py --test-set datasets/CelebA-Test --out baselines

Writes two folders of faces. bicubic: the faces are brought to the size to which they were shrunk, which the test set's
manifest tells, and enlarged again by cubic interpolation. denoised: OpenCV's non-local means (Buades et al. 2011).
"""

import csv
import sys
from pathlib import Path

import cv2
import numpy as np

from restoreformer.errors import RestoreFormerError
from restoreformer.images import Image, read, resize, write
from restoreformer.metrics.face_sets import read_face_set
from restoreformer.program import option_parser

# Of 1 to 30 the strength with the highest PSNR on 100 other faces, degraded alike at 128x128: 20.05 dB, where the input
# has 20.02, OpenCV's bilateral filter 20.04 and its median 20.02 at best.
STRENGTH = 3


def bicubic(image: Image, factor: float) -> Image:
    """A face ``(h, w, 3)`` averaged down by ``factor`` and enlarged again by cubic interpolation."""
    height, width = image.shape[:2]
    small = resize(image, max(1, round(width / factor)), max(1, round(height / factor)))
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.uint8, copy=False)


def denoised(image: Image, strength: float = STRENGTH) -> Image:
    """A face ``(h, w, 3)`` without noise, as far as non-local means of ``strength`` take it away."""
    return cv2.fastNlMeansDenoisingColored(image, None, strength, strength).astype(np.uint8, copy=False)


def factors(test_set: Path) -> dict[str, float]:
    """By how much each face of a test set of datasets/make_test_set.py was shrunk.

    Raises:
        RestoreFormerError: it has no manifest, or not such a one.
    """
    path = test_set / "manifest.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return {row["name"]: float(row["downsample"]) for row in csv.DictReader(file)}
    except (OSError, KeyError, ValueError) as error:
        raise RestoreFormerError(
            f"Expected the manifest of a test set at {path}, could not read it: make it by datasets/make_test_set.py."
        ) from error


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--test-set", type=Path, required=True, help="folder of datasets/make_test_set.py")
    parser.add_argument("--out", type=Path, required=True, help="where bicubic and denoised go")
    args = parser.parse_args()
    try:
        shrunk = factors(args.test_set)
        for name, path in read_face_set(args.test_set / "lq").files.items():
            if name not in shrunk:
                raise RestoreFormerError(f"Expected {name} in the manifest of {args.test_set}, found no line of it.")
            image = read(path)
            for folder, made in (("bicubic", bicubic(image, shrunk[name])), ("denoised", denoised(image))):
                write(args.out / folder / f"{name}.png", made)
    except RestoreFormerError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
