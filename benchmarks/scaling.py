"""Seconds and memory of restoring by resolution, and by the number of faces that go through at once.

python benchmarks/scaling.py --json docs/benchmarks/scaling_cpu.json
python benchmarks/scaling.py --device cuda --precision bf16 --faces 1 2 4 8 16 32

Sides are multiples of 32; the network is built for 512 and works at others too.
"""

import statistics
from functools import partial
from typing import Any

import restoreformer  # noqa: F401  # isort: skip  (first: it makes basicsr importable)

import torch
from measuring import arguments, begin, in_turns, operations, peak_memory, peak_rate, report

from restoreformer.archs.precision import PRECISIONS, set_precision
from restoreformer.archs.restoreformer_arch import RestoreFormer


def main() -> None:
    parser = arguments(__doc__, rounds=5)
    parser.add_argument("--precision", choices=PRECISIONS, nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 384, 512, 768, 1024], help="of one face")
    parser.add_argument("--faces", type=int, nargs="+", default=[1, 2, 4], help="at once, of 512x512")
    args = parser.parse_args()
    device, about = begin(args)
    sizes = [(1, side) for side in args.sides] + [(count, 512) for count in args.faces if count > 1]
    rows: list[dict[str, Any]] = []
    with torch.inference_mode():
        for precision in args.precision:
            net = RestoreFormer().eval()
            set_precision(net, precision)
            net.to(device).to(memory_format=torch.channels_last)
            images = {size: torch.rand(size[0], 3, size[1], size[1], device=device) for size in sizes}
            runs = {str(size): partial(net, image) for size, image in images.items()}
            seconds = in_turns(runs, args.rounds, device, precision)
            peak = peak_rate(device, PRECISIONS[precision])
            about[f"matrix product {precision}"] = f"{peak / 1e9:.0f} GFLOP/s"
            for (count, side), run in zip(sizes, runs.values(), strict=True):
                median = statistics.median(seconds[str((count, side))])
                done = operations(run)
                rows.append(
                    {
                        "precision": precision,
                        "faces": count,
                        "side": side,
                        "seconds": median,
                        "seconds a face": median / count,
                        "GFLOPs": done / 1e9,
                        "share of peak": done / median / peak,
                        "MB at peak": peak_memory(run, device) / 1e6,
                    }
                )
    report(f"Restoring by size, medians of {args.rounds}", rows, about, args.json)


if __name__ == "__main__":
    main()
