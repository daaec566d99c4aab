"""What each metric of metrics/evaluate.py costs: seconds for a face, and memory as faces come.

python benchmarks/evaluating.py --faces 3000 --size 128 --metrics METRICS.yml --json OUT.json

Faces are noise, each another, and lie in a temporary folder as PNG, as do their truths. METRICS.yml is what
metrics/evaluate.py takes; networks without their weights (weights: none) take the same time.
"""

import tempfile
from pathlib import Path

import restoreformer  # noqa: F401  # isort: skip  (first: it makes basicsr importable)

import cv2
import numpy as np
import torch
from measuring import machine, report, resident
from numpy.typing import NDArray

from restoreformer.images import Image, write
from restoreformer.memory import keep_freed_memory
from restoreformer.metrics.collector import PairCollector, make_collector
from restoreformer.metrics.evaluate import metric_options
from restoreformer.metrics.evaluation import evaluate
from restoreformer.metrics.face_sets import read_face_set
from restoreformer.program import option_parser

MIB = 2**20


class ResidentMemory(PairCollector):
    """The process's memory when a face came, in MiB."""

    label = "memory"

    def compute(self, images: list[Image], truths: list[Image]) -> NDArray[np.float64]:
        return np.array([resident("VmRSS") / MIB])


def noise(folder: Path, count: int, size: int, seed: int) -> None:
    """Write faces of smooth noise."""
    chance = np.random.default_rng(seed)
    for i in range(count):
        coarse = chance.integers(0, 256, (8, 8, 3), np.uint8)
        write(folder / f"{i:05d}.png", cv2.resize(coarse, (size, size)).astype(np.uint8, copy=False))


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--faces", type=int, default=3000)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    keep_freed_memory()
    device = torch.device(args.device)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        noise(folder / "gt", args.faces, args.size, 0)
        noise(folder / "restored", args.faces, args.size, 1)
        options, _ = metric_options(args.metrics, None, folder / "gt")
        collectors = [make_collector(block, device) for block in options.values()]
        memory = ResidentMemory(torch.device("cpu"), 1)
        sets = [read_face_set(folder / part) for part in ("restored", "gt")]
        done = evaluate("noise", "", sets[0], sets[1], sets[1], [*collectors, memory])
    assert done.problem is None, done.problem
    rows = [
        {"metric": label, "ms a face": round(1000 * figure.seconds / args.faces, 2)}
        for label, figure in done.figures.items()
        if label != memory.label
    ]
    rows.append({"metric": "reading that nothing covers", "ms a face": round(1000 * done.reading / args.faces, 2)})
    after = {
        f"MiB after {part:.0%}": round(done.of_faces[memory.label][int(part * (args.faces - 1))])
        for part in (0.1, 0.5, 1)
    }
    title = f"{args.faces} faces of {args.size}x{args.size}"
    report(title, rows, machine(device) | {name: str(value) for name, value in after.items()}, args.json)


if __name__ == "__main__":
    main()
