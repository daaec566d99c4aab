"""Restore the faces of photos.

python inference/inference_restoreformer.py -i photos -o results
python inference/inference_restoreformer.py -i aligned_faces -o results --aligned

Writes restored_imgs (whole photos), cropped_faces, restored_faces and cmp (both side by side).
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from restoreformer.detection import DETECTORS
from restoreformer.errors import RestoreFormerError
from restoreformer.images import SUFFIXES, Image, decode, resize
from restoreformer.inference.face_restorer import DEFAULT_MODEL, FaceRestorer


def list_photos(path: Path) -> list[Path]:
    """The photo at ``path``, or the photos in that folder, sorted.

    Raises:
        RestoreFormerError: nothing there.
    """
    photos = [path] if path.is_file() else sorted(p for p in path.glob("*") if p.suffix.lower() in SUFFIXES)
    if not photos:
        raise RestoreFormerError(f"Expected a photo or a folder of photos at {path}, found none.")
    return photos


def write(folder: Path, name: str, image: Image) -> None:
    """Write an image; the kind follows the name."""
    folder.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(folder / name), image):
        raise RestoreFormerError(f"Expected to write {folder / name}, could not.")


def restore_file(restorer: FaceRestorer, path: Path, output: Path, aligned: bool) -> None:
    """Restore one file into the folders below ``output``.

    Raises:
        RestoreFormerError: it cannot be read, or has no face (then the photo is written as it is).
    """
    photo = decode(path.read_bytes(), f"in {path}")
    if aligned:
        restored = restorer.restore_aligned([photo])
        pairs = [(photo, restored[0])]
    else:
        result = restorer.restore(photo)
        write(output / "restored_imgs", path.name, result.image)
        pairs = [(face.crop, face.restored) for face in result.faces]
    for i, (before, after) in enumerate(pairs):
        name = f"{path.stem}.png" if aligned else f"{path.stem}_{i:02d}.png"
        before = resize(before, *after.shape[1::-1])
        write(output / "cropped_faces", name, before)
        write(output / "restored_faces", name, after)
        write(output / "cmp", name, np.hstack([before, after]))
    if not pairs:
        raise RestoreFormerError(f"Expected a face in {path}, found none: the photo is written as it is.")


def restore_all(restorer: FaceRestorer, photos: list[Path], output: Path, aligned: bool) -> Iterator[str]:
    """Restore each file; yields one line for each that failed."""
    for path in tqdm(photos, desc="restoring", unit="photo"):
        try:
            restore_file(restorer, path, output, aligned)
        except RestoreFormerError as error:
            yield str(error)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-i", "--input", type=Path, required=True, help="a photo or a folder of photos")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("results"), help="folder to write to (default results)"
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, help=f"a pretrained name or a file (default {DEFAULT_MODEL})")
    parser.add_argument("--aligned", action="store_true", help="inputs are aligned faces, as FFHQ's")
    parser.add_argument("--detector", choices=DETECTORS, default="retinaface", help="centerface needs no download")
    parser.add_argument("--device", help="cuda, mps or cpu (default: the best there is)")
    parser.add_argument("--weights-dir", type=Path, help="where pretrained files are looked for first")
    args = parser.parse_args()
    try:
        photos = list_photos(args.input)
        detector = None if args.aligned else args.detector
        restorer = FaceRestorer(args.model, detector, args.device, args.weights_dir)
        failures = list(restore_all(restorer, photos, args.output, args.aligned))
    except RestoreFormerError as error:
        sys.exit(f"error: {error}")
    for line in failures:
        sys.stderr.write(f"error: {line}\n")
    sys.stderr.write(f"{len(photos) - len(failures)} of {len(photos)} restored, in {args.output}\n")
    if failures:
        sys.exit(1)


if __name__ == "__main__":
    main()
