"""Samples per second of the training set, beside GFPGAN's dataset class and beside bare decoding, on one core.

python benchmarks/data_loading.py --faces FACES_512.lmdb

Both read the same LMDB with the same ranges, taking turns; what is printed are medians over the rounds. GFPGAN's
class stops on OpenCV 5 because it hands over the JPEG quality as a float; here it is made an int.
"""

import statistics
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import restoreformer  # noqa: F401  # isort: skip  (first: it makes basicsr importable)

import cv2
import numpy as np
import torch
from basicsr.data import degradations
from gfpgan.data.ffhq_degradation_dataset import FFHQDegradationDataset
from tqdm import tqdm

from restoreformer.datasets.blind_face_dataset import BlindFaceDataset
from restoreformer.datasets.degradation import PRESETS
from restoreformer.image_source import ImageSource
from restoreformer.program import option_parser


def ours(path: str, preset: str) -> BlindFaceDataset:
    """This project's dataset as the option files set it up."""
    return BlindFaceDataset(
        {"phase": "train", "dataroot_gt": path, "gt_size": 512, "use_hflip": True, "degradation": {"preset": preset}}
    )


def gfpgans(path: str, preset: str) -> Any:
    """GFPGAN's, with the ranges of that preset."""
    ranges = PRESETS[preset]
    return FFHQDegradationDataset(
        {
            "dataroot_gt": path,
            "io_backend": {"type": "lmdb"},
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "out_size": 512,
            "use_hflip": True,
            "blur_kernel_size": 41,
            "kernel_list": ["iso", "aniso"],
            "kernel_prob": [1 - ranges.anisotropic, ranges.anisotropic],
            "blur_sigma": list(ranges.blur_sigma),
            "downsample_range": list(ranges.downsample),
            "noise_range": list(ranges.noise),
            "jpeg_range": list(ranges.jpeg),
        }
    )


def seconds(read: Callable[[int], Any], indices: list[int]) -> float:
    """Seconds that one sample takes."""
    start = time.perf_counter()
    for index in indices:
        read(index)
    return (time.perf_counter() - start) / len(indices)


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--faces", required=True, help="LMDB of 512x512 faces")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--samples", type=int, default=100, help="in each round, of each")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    compress = degradations.add_jpg_compression
    degradations.add_jpg_compression = lambda image, quality: compress(image, int(quality))

    source = ImageSource(args.faces)
    for name in source.names:
        source.read_bytes(name)  # into the system's cache
    rng = np.random.default_rng(0)
    for preset in ("paper", "released"):
        readers: dict[str, Callable[[int], Any]] = {"decoding": lambda i: source.read(source.names[i])}
        readers["ours"] = ours(args.faces, preset).__getitem__
        peer = gfpgans(args.faces, preset)
        # lmdb allows a path once in each process: it reads through the one that is open.
        peer.file_client = SimpleNamespace(get=source.read_bytes)
        readers["GFPGAN"] = peer.__getitem__
        for read in readers.values():
            seconds(read, list(range(10)))
        rounds = []
        for _ in tqdm(range(args.rounds), desc=preset):
            indices = rng.integers(0, len(source), args.samples).tolist()
            rounds.append({name: seconds(read, indices) for name, read in readers.items()})
        cost = {name: statistics.median(r[name] for r in rounds) for name in readers}
        print(f"{preset}: " + ", ".join(f"{name} {1e3 * s:.2f} ms ({1 / s:.0f}/s)" for name, s in cost.items()))
        for name in ("GFPGAN", "decoding"):
            ratio = sorted(r[name] / r["ours"] for r in rounds)
            print(f"  {name} / ours: {statistics.median(ratio):.2f} ({ratio[0]:.2f} to {ratio[-1]:.2f})")


if __name__ == "__main__":
    main()
