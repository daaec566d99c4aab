"""Restore the faces of photos.

python inference/inference_restoreformer.py -i photos -o results
python inference/inference_restoreformer.py -i aligned_faces -o results --aligned

Writes restored_imgs (whole photos), cropped_faces, restored_faces and cmp (both side by side).
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from restoreformer.archs.precision import PRECISIONS
from restoreformer.detection import CHOICES
from restoreformer.errors import RestoreFormerError
from restoreformer.images import SUFFIXES, Image, read, resize, write
from restoreformer.inference.face_restorer import DEFAULT_MODEL, FaceRestorer, check_aligned
from restoreformer.memory import keep_freed_memory


def list_photos(path: Path) -> dict[Path, str]:
    """The photo at ``path``, or the photos in that folder, sorted, each with the name of its results.

    Raises:
        RestoreFormerError: nothing there.
    """
    folder = path.glob("*") if path.is_dir() else [path]
    photos = sorted(p for p in folder if not p.is_dir() and (p == path or p.suffix.lower() in SUFFIXES))
    if not photos or not (path.is_dir() or path.exists()):
        raise RestoreFormerError(f"Expected a photo or a folder of photos at {path}, found none.")
    stems = Counter(p.stem for p in photos)
    # Two photos of one name are told apart by their suffix.
    return {p: p.stem if stems[p.stem] == 1 else p.name.replace(".", "_") for p in photos}


def write_face(output: Path, file: str, before: Image, after: Image) -> None:
    """Write a face, before and after, into the folders below ``output``.

    Raises:
        RestoreFormerError: it cannot be written.
    """
    before = resize(before, *after.shape[1::-1])
    write(output / "cropped_faces" / file, before)
    write(output / "restored_faces" / file, after)
    write(output / "cmp" / file, np.hstack([before, after]))


def restore_photo(restorer: FaceRestorer, path: Path, name: str, output: Path) -> None:
    """Restore one photo into the folders below ``output``.

    Raises:
        RestoreFormerError: it cannot be read or written, or has no face (then the photo is written as it is).
    """
    result = restorer.restore(read(path))
    suffix = path.suffix if path.suffix.lower() in SUFFIXES else ".png"
    write(output / "restored_imgs" / f"{path.stem}{suffix}", result.image)
    for i, face in enumerate(result.faces):
        write_face(output, f"{name}_{i:02d}.png", face.crop, face.restored)
    if not result.faces:
        raise RestoreFormerError(f"Expected a face in {path}, found none: the photo is written as it is.")


def restore_aligned_files(restorer: FaceRestorer, files: dict[Path, str], output: Path) -> Iterator[str]:
    """Restore aligned faces together into the folders below ``output``; yields one line for each that failed."""
    faces = {}
    for path, name in files.items():
        try:
            faces[name] = read(path)
            check_aligned(faces[name])
        except RestoreFormerError as error:
            faces.pop(name, None)
            yield str(error)
    restored = restorer.restore_aligned(list(faces.values()))
    for (name, before), after in zip(faces.items(), restored, strict=True):
        try:
            write_face(output, f"{name}.png", before, after)
        except RestoreFormerError as error:
            yield str(error)


def restore_all(restorer: FaceRestorer, photos: dict[Path, str], output: Path, aligned: bool) -> Iterator[str]:
    """Restore each file; yields one line for each that failed."""
    with tqdm(total=len(photos), desc="restoring", unit="photo") as progress:
        files = list(photos.items())
        at_once = restorer.batch_size if aligned else 1
        for i in range(0, len(files), at_once):
            chunk = dict(files[i : i + at_once])
            if aligned:
                yield from restore_aligned_files(restorer, chunk, output)
            else:
                try:
                    restore_photo(restorer, *files[i], output)
                except RestoreFormerError as error:
                    yield str(error)
            progress.update(len(chunk))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-i", "--input", type=Path, required=True, help="a photo or a folder of photos")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("results"), help="folder to write to (default results)"
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, help=f"a pretrained name or a file (default {DEFAULT_MODEL})")
    parser.add_argument("--aligned", action="store_true", help="inputs are aligned faces, as FFHQ's")
    parser.add_argument("--detector", default="retinaface", help=f"{CHOICES}; centerface needs no download")
    parser.add_argument("--device", help="cuda, mps or cpu (default: the best there is)")
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="fp32", help="bf16: faster on GPUs and on CPUs that know it"
    )
    parser.add_argument(
        "--batch_size", type=int, default=1, help="faces of a photo, or aligned files, restored at once"
    )
    parser.add_argument("--compile", action="store_true", help="torch.compile the network first: for many photos")
    parser.add_argument("--weights-dir", type=Path, help="where pretrained files are looked for first")
    args = parser.parse_args()
    keep_freed_memory()
    try:
        photos = list_photos(args.input)
        detector = None if args.aligned else args.detector
        restorer = FaceRestorer(
            args.model, detector, args.device, args.weights_dir, args.precision, args.batch_size, args.compile
        )
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
