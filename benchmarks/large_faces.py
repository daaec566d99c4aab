"""Compare three ways to paste faces that are larger in their photo than the network's size.

python benchmarks/large_faces.py --faces FACES --model small --metrics metrics/standins.yml

FACES are aligned and at least 512x512. Each is reduced to several sizes, degraded as the paper does for that size, or
not at all, restored by the network at its own size, and put back in three ways:

replace  the restored face alone is shown, enlarged
detail   what the network changed is added to the photo, which keeps its finer detail
keep     the photo stays as it is

Prints for each size and degradation the PSNR, and the distance and angle of --metrics, against the undegraded face.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml

import restoreformer.plugin  # noqa: F401
from restoreformer.datasets.degradation import STRENGTHS, file_generator
from restoreformer.geometry import FRAME
from restoreformer.image_source import list_images
from restoreformer.images import Image, read, resize
from restoreformer.inference.alignment import crop_face
from restoreformer.inference.face_restorer import FaceRestorer
from restoreformer.inference.pasting import paste_face
from restoreformer.metrics.collector import Collector, make_collector
from restoreformer.program import option_parser

SIZES = (160, 256, 384)


def pasted(photo: Image, restorer: FaceRestorer) -> dict[str, Image]:
    """One aligned face after each way of pasting."""
    size = photo.shape[0]
    # From the centres of the photo's pixels to those of the network's crop.
    factor = restorer.size / size
    matrix = np.array([[factor, 0, (factor - 1) / 2], [0, factor, (factor - 1) / 2]])
    crop = crop_face(photo, matrix, restorer.size)
    (restored,) = restorer.restore_aligned([crop])
    results = {"replace": photo.copy(), "detail": photo.copy(), "keep": photo}
    paste_face(results["replace"], restored, matrix)
    paste_face(results["detail"], restored, matrix, keep_detail_beyond=crop)
    return results


def measure(faces: list[Path], restorer: FaceRestorer, metrics: dict[str, Collector]) -> None:
    """Print a table row for each size, strength and way."""
    print("| side | degradation | pasted | " + " | ".join(metrics) + " |\n" + "| --- " * (3 + len(metrics)) + "|")
    for size in SIZES:
        for strength, ranges in {"none": None, **STRENGTHS}.items():
            photos, truths = [], []
            for path in faces:
                truth = resize(read(path), size, size)
                rng = file_generator(path.stem, 0)
                photos.append(truth if ranges is None else ranges.scaled(size / FRAME)(truth, rng))
                truths.append(truth)
            results = [pasted(photo, restorer) for photo in photos]
            for way in results[0]:
                row = []
                for collector in metrics.values():
                    collector.clear()
                    for result, truth in zip(results, truths, strict=True):
                        collector.add(result[way], truth)
                    row.append(f"{collector.result(collector.values()):.4g}")
                print(f"| {size} | {strength} | {way} | " + " | ".join(row) + " |", flush=True)


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--faces", type=Path, required=True, help="folder of aligned faces of at least 512x512")
    parser.add_argument("--count", type=int, default=20, help="how many of them, the first by name (default 20)")
    parser.add_argument("--model", default="small", help="the network (default small)")
    parser.add_argument("--metrics", type=Path, default=Path("metrics/standins.yml"), help="YAML of metrics")
    args: argparse.Namespace = parser.parse_args()
    cv2.setNumThreads(torch.get_num_threads())
    blocks = yaml.safe_load(args.metrics.read_text())
    # A Fréchet distance of so few faces says little.
    blocks = {name: block for name, block in blocks.items() if block["type"] != "calculate_fid"}
    collectors = {name: make_collector(block, torch.device("cpu")) for name, block in blocks.items()}
    measure(list_images(args.faces)[: args.count], FaceRestorer(args.model, None, "cpu", batch_size=1), collectors)


if __name__ == "__main__":
    main()
