"""An LMDB as large as FFHQ: packing, opening, and an epoch at random by 1, 2 and 4 workers, beside files on disk.

python benchmarks/lmdb_scale.py --folder bench_lmdb

Makes 70,000 small images in the folder, unless they are there, and packs them. The memory told is what a worker
has written for itself (private dirty pages; those of the LMDB are the system's cache), early in the epoch and at its
end. Rates are medians over rounds of 1,000 batches, in which LMDB and files take turns.
"""

import itertools
import statistics
import subprocess
import sys
import time
from pathlib import Path

import restoreformer  # noqa: F401  # isort: skip  (first: it makes basicsr importable)

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from restoreformer.datasets.blind_face_dataset import BlindFaceDataset
from restoreformer.datasets.components import write_boxes
from restoreformer.datasets.sampling import SeededSampler
from restoreformer.program import option_parser

SIZE, BATCH, EARLY = 64, 16, 200
BOXES = {"left_eye": [193.0, 240.0, 30.0], "right_eye": [319.0, 240.0, 30.0], "mouth": [257.0, 371.0, 56.0]}
ROOT = Path(__file__).resolve().parents[1]


def make_images(folder: Path, count: int) -> None:
    """Smooth noise, a thousand files to a folder, as FFHQ is."""
    rng = np.random.default_rng(0)
    for i in tqdm(range(count), desc="making images"):
        path = folder / f"{i // 1000 * 1000:05d}" / f"{i:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        small = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(path), cv2.resize(small, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC))


def private_mib(process: int) -> int:
    """What a process has written and shares with no other, MiB."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")) // 1024


def read(dataset: BlindFaceDataset, workers: int, most: int | None = None) -> tuple[float, list[int], list[int]]:
    """Samples per second in BasicSR's order, and the workers' memory after some batches and at the end."""
    torch.manual_seed(0)
    sampler = SeededSampler(dataset, 1, 0)
    loader = DataLoader(dataset, BATCH, sampler=sampler, num_workers=workers, persistent_workers=True)
    batches = iter(loader)
    next(batches)
    processes = [w.pid for w in batches._workers]  # type: ignore[attr-defined]
    start, early, count = time.perf_counter(), [0], 0
    for count, _ in enumerate(itertools.islice(batches, most), 1):
        if count == EARLY:
            early = [private_mib(p) for p in processes]
    rate = BATCH * count / (time.perf_counter() - start)
    return rate, early, [private_mib(p) for p in processes]


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where images and LMDB go")
    parser.add_argument("--count", type=int, default=70_000)
    parser.add_argument("--rounds", type=int, default=5, help="epochs of each kind")
    args = parser.parse_args()
    images, packed, boxes = args.folder / "images", args.folder / "faces.lmdb", args.folder / "boxes.pth"
    if not images.is_dir():
        make_images(images, args.count)
        write_boxes(boxes, {f"{i:05d}": BOXES for i in range(args.count)})
    if not packed.is_dir():
        start = time.perf_counter()
        command = [sys.executable, "datasets/pack_lmdb.py", "--input", str(images.resolve()), "--size", str(SIZE)]
        subprocess.run([*command, "--output", str(packed.resolve())], check=True, cwd=ROOT)
        print(f"packed in {time.perf_counter() - start:.0f} s, {(packed / 'data.mdb').stat().st_size / 2**20:.0f} MiB")
    opening = []
    for root in (packed, images):
        times = []
        for _ in range(args.rounds):
            start = time.perf_counter()
            BlindFaceDataset({"phase": "train", "dataroot_gt": str(root), "gt_size": SIZE})[0]
            times.append(time.perf_counter() - start)
        opening.append(f"{root.name} {statistics.median(times):.2f} s")
    print("opening and the first sample: " + ", ".join(opening))

    block = {"phase": "train", "gt_size": SIZE, "use_hflip": True, "component_path": str(boxes)}
    datasets = {root.name: BlindFaceDataset({**block, "dataroot_gt": str(root)}) for root in (packed, images)}
    for workers in (1, 2, 4):
        _, early, late = read(datasets[packed.name], workers)
        print(f"{workers} workers, an epoch: MiB of each {early} after {EARLY} batches, {late} at the end")
        rates: dict[str, list[float]] = {name: [] for name in datasets}
        for _ in range(args.rounds):
            for name, dataset in datasets.items():
                rates[name].append(read(dataset, workers, 1000)[0])
        ratio = [a / b for a, b in zip(*rates.values(), strict=True)]
        each = ", ".join(f"{name} {statistics.median(values):.0f}/s" for name, values in rates.items())
        print(
            f"  {each}; LMDB / files: {statistics.median(ratio):.2f} ({min(ratio):.2f} to {max(ratio):.2f})", flush=True
        )


if __name__ == "__main__":
    main()
