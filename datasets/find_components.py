"""Find the boxes of eyes and mouth in aligned faces, for the component losses.

python datasets/find_components.py --input datasets/FFHQ_512.lmdb --output datasets/FFHQ_512_boxes.pth
"""

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from restoreformer.datasets.components import Boxes, boxes_from_landmarks, write_boxes
from restoreformer.datasets.image_source import ImageSource
from restoreformer.detection import DETECTORS, Detector, build_detector
from restoreformer.errors import RestoreFormerError
from restoreformer.geometry import FRAME
from restoreformer.images import make_folder, resize


def find_components(source: ImageSource, detect: Detector) -> tuple[dict[str, Boxes], list[str]]:
    """Boxes of the largest face in each image, and a line for each image that has none.

    Args:
        source: aligned, square faces; each is searched at 512x512 whatever its size.
        detect: see ``restoreformer.detection``.
    """
    boxes, missed = {}, []
    for name in tqdm(source.names, desc="finding eyes and mouths", unit="image"):
        try:
            faces = detect(resize(source.read(name), FRAME, FRAME))
        except RestoreFormerError as error:
            missed.append(str(error))
            continue
        if faces:
            boxes[name] = boxes_from_landmarks(faces[0].landmarks, FRAME)
        else:
            missed.append(f"no face found: {name}")
    return boxes, missed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True, help="folder or LMDB of aligned faces")
    parser.add_argument("--output", type=Path, required=True, help="file to write, NAME.pth")
    parser.add_argument("--detector", choices=DETECTORS, default="centerface")
    parser.add_argument("--weights-dir", type=Path, help="where the detector's weights are")
    args = parser.parse_args()
    try:
        if args.output.is_dir():
            raise RestoreFormerError(f"Expected a file to write at {args.output}, there is a folder.")
        make_folder(args.output.parent)
        boxes, missed = find_components(ImageSource(args.input), build_detector(args.detector, args.weights_dir))
        if not boxes:
            raise RestoreFormerError(f"Expected faces in {args.input}, {args.detector} found none: are they aligned?")
        write_boxes(args.output, boxes)
    except RestoreFormerError as error:
        sys.exit(f"error: {error}")
    for line in missed:
        sys.stderr.write(f"{line}\n")
    sys.stderr.write(f"{len(boxes)} faces with boxes, {len(missed)} without, in {args.output}\n")


if __name__ == "__main__":
    main()
