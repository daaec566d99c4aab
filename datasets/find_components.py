"""Find the boxes of eyes and mouth in aligned faces, for the component losses.

python datasets/find_components.py --input datasets/FFHQ_512.lmdb --output datasets/FFHQ_512_boxes.pth
python datasets/find_components.py --input faces --output boxes.pth --sheet boxes.png --detector yunet.onnx
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
from tqdm import tqdm

from restoreformer.datasets.components import Boxes, boxes_from_landmarks, locations, nonsense, write_boxes
from restoreformer.detection import CHOICES, Detector, build_detector
from restoreformer.errors import RestoreFormerError
from restoreformer.geometry import FRAME
from restoreformer.image_source import ImageSource
from restoreformer.images import SUFFIXES, Image, resize, tiled, write
from restoreformer.parallel import ordered_map
from restoreformer.program import option_parser
from restoreformer.whole_file import make_folder

SHEET_FACES = 16
# As the option files enlarge them.
EYE_ENLARGE_RATIO = 1.4
COLOURS = {"left_eye": (0, 255, 0), "right_eye": (255, 128, 0), "mouth": (0, 0, 255)}


def find_components(
    source: ImageSource, detector: str, weights_dir: Path | None = None, workers: int = 0
) -> tuple[dict[str, Boxes], list[str]]:
    """Boxes of the largest face in each image, and a line for each image that has none.

    Args:
        source: aligned, square faces; each is searched at 512x512 whatever its size.
        detector, weights_dir: see ``restoreformer.detection.build_detector``.
        workers: processes, each with a detector of its own; 0 does it in this one.

    Raises:
        RestoreFormerError: a detector that cannot be had.
    """
    # Weights are missed here, once, and not by each worker.
    build_detector(detector, weights_dir)
    boxes, missed = {}, []
    results = ordered_map(_find, source.names, workers, _load, (source, detector, weights_dir))
    progress = tqdm(results, desc="finding eyes and mouths", unit="image", total=len(source))
    for name, found in zip(source.names, progress, strict=True):
        if isinstance(found, str):
            missed.append(found)
        else:
            boxes[name] = found
    return boxes, missed


_source: ImageSource
_detect: Detector


def _load(source: ImageSource, detector: str, weights_dir: Path | None) -> None:
    global _source, _detect
    _source, _detect = source, build_detector(detector, weights_dir)


def _find(name: str) -> Boxes | str:
    try:
        image = _source.read(name)
    except RestoreFormerError as error:
        return str(error)
    if image.shape[0] != image.shape[1]:
        return f"not square, {image.shape[1]}x{image.shape[0]}: {name}"
    faces = _detect(resize(image, FRAME, FRAME))
    if not faces:
        return f"no face found: {name}"
    boxes = boxes_from_landmarks(faces[0].landmarks, FRAME)
    reason = nonsense(boxes)
    return boxes if reason is None else f"no sense in what was found: {name}: {reason}"


def contact_sheet(source: ImageSource, boxes: dict[str, Boxes]) -> Image:
    """Faces from all over the set with their boxes, eyes as far as the discriminators see them."""
    names = sorted(boxes)
    count = min(len(names), SHEET_FACES)
    chosen = [names[i * len(names) // count] for i in range(count)]
    return tiled([_drawn(resize(source.read(name), FRAME, FRAME), boxes[name], name) for name in chosen])


def _drawn(face: Image, boxes: Boxes, name: str) -> Image:
    face = face.copy()
    for region, corners in locations(boxes, FRAME, EYE_ENLARGE_RATIO, flipped=False).items():
        x1, y1, x2, y2 = (round(float(c)) for c in corners)
        cv2.rectangle(face, (x1, y1), (x2, y2), COLOURS[region], 2)
    cv2.putText(face, name, (8, FRAME - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 2, cv2.LINE_AA)
    return resize(face, FRAME // 2, FRAME // 2)


def _told(lines: Sequence[str]) -> None:
    for line in lines:
        sys.stderr.write(f"{line}\n")


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--input", required=True, help="folder or LMDB of aligned faces")
    parser.add_argument("--output", type=Path, required=True, help="file to write, NAME.pth")
    parser.add_argument("--detector", default="centerface", help=f"{CHOICES} (default centerface)")
    parser.add_argument("--weights-dir", type=Path, help="where RetinaFace's weights are")
    parser.add_argument("--sheet", type=Path, help=f"picture to write, of {SHEET_FACES} faces with their boxes")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    args = parser.parse_args()
    try:
        if args.output.is_dir():
            raise RestoreFormerError(f"Expected a file to write at {args.output}, there is a folder.")
        if args.sheet is not None and args.sheet.suffix.lower() not in SUFFIXES:
            raise RestoreFormerError(f"Expected a picture's suffix, {', '.join(sorted(SUFFIXES))}, got {args.sheet}.")
        make_folder(args.output.parent)
        # Before the work rather than after it.
        if not os.access(args.output.parent, os.W_OK):
            raise RestoreFormerError(f"Expected leave to write into {args.output.parent}, there is none.")
        source = ImageSource(args.input)
        boxes, missed = find_components(source, args.detector, args.weights_dir, args.workers)
        if not boxes:
            raise RestoreFormerError(
                f"Expected faces in {args.input}, {args.detector} found none: are they aligned? {missed[0]}"
            )
        write_boxes(args.output, boxes)
        if args.sheet is not None:
            write(args.sheet, contact_sheet(source, boxes))
    except RestoreFormerError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; nothing was written")
    _told([*missed, f"{len(boxes)} faces with boxes, {len(missed)} without, in {args.output}"])


if __name__ == "__main__":
    main()
