"""Seconds for one aligned face (or several), beside the copies of the network that spandrel and GFPGAN carry.

python benchmarks/inference.py --json docs/benchmarks/inference_cpu.json
python benchmarks/inference.py --keep-memory --json docs/benchmarks/inference_cpu_kept.json
python benchmarks/inference.py --device cuda --batch 8

All have the same weights, made by a formula, and take turns in one process. The whole network runs, from and to
float32 tensors. Weights made by a formula tell nothing of the accuracy of half precision: benchmarks/precision.py
does. With --keep-memory the process keeps freed memory, as inference_restoreformer.py does.
"""

import statistics
from collections.abc import Callable
from typing import Any

import restoreformer  # noqa: F401  # isort: skip  (first: it makes GFPGAN importable)

import torch
from gfpgan.archs.restoreformer_arch import RestoreFormer as GFPGANRestoreFormer
from measuring import arguments, begin, in_turns, operations, peak_memory, peak_rate, ratio, report
from spandrel.architectures.RestoreFormer.__arch.restoreformer_arch import RestoreFormer as SpandrelRestoreFormer
from torch import Tensor, nn

from restoreformer.archs.precision import PRECISIONS, set_precision
from restoreformer.archs.restoreformer_arch import RestoreFormer


def formula(net: nn.Module) -> dict[str, Tensor]:
    """Weights that keep activations in range, the same in each run."""
    generator = torch.Generator().manual_seed(0)
    shapes = {name: value.shape for name, value in net.state_dict().items()}
    weights = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    for name, value in weights.items():
        if value.ndim > 1 and "embedding" not in name:
            value /= value[0].numel() ** 0.5
        elif value.ndim == 1:
            value *= 0.1
            value += float("norm" in name and name.endswith("weight"))
    return weights


def main() -> None:
    parser = arguments(__doc__, rounds=7)
    parser.add_argument("--batch", type=int, default=1, help="faces at once")
    parser.add_argument("--compile", action="store_true", help="torch.compile ours too")
    args = parser.parse_args()
    device, about = begin(args)
    image = torch.rand(args.batch, 3, 512, 512, generator=torch.Generator().manual_seed(1)).mul_(2).sub_(1).to(device)

    nets: dict[str, tuple[nn.Module, str]] = {}
    weights = formula(RestoreFormer())
    nets["spandrel"] = (SpandrelRestoreFormer(), "fp32")
    nets["spandrel, all in bf16"] = (SpandrelRestoreFormer(), "bf16")
    nets["GFPGAN"] = (GFPGANRestoreFormer(), "fp32")
    ways = [""] + [" compiled"] * args.compile
    if device.type == "cuda":
        # Whose kernel for group norm may want channels first.
        ways.append(" channels first")
    for precision in PRECISIONS:
        for way in ways:
            nets[f"ours {precision}{way}"] = (RestoreFormer(), precision)
    runs: dict[str, Callable[[], Any]] = {}
    for name, (net, precision) in nets.items():
        net.load_state_dict(weights)
        net.eval().requires_grad_(False)
        if isinstance(net, RestoreFormer):
            set_precision(net, precision)
            if not name.endswith("first"):
                net.to(memory_format=torch.channels_last)
            if name.endswith("compiled"):
                net.compile()
        elif precision != "fp32":
            net.to(PRECISIONS[precision])
        net.to(device)
        dtype = next(net.parameters()).dtype if not isinstance(net, RestoreFormer) else torch.float32
        runs[name] = lambda net=net, dtype=dtype: net(image.to(dtype))
    if device.type == "cuda":
        for name in ("spandrel", "ours fp32"):
            runs[f"{name} without TF32"] = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)(runs[name])

    rows = []
    with torch.inference_mode():
        seconds = in_turns(runs, args.rounds, device, "restoring")
        peaks = {name: peak_rate(device, dtype) for name, dtype in PRECISIONS.items()}
        (theirs, _), mine = runs["spandrel"](), runs["ours fp32"]()
        difference = f"{(theirs - mine).abs().max():.1e}"
        for name, run in runs.items():
            median = statistics.median(seconds[name])
            precision = nets[name.removesuffix(" without TF32")][1]
            # A compiled network hides its operations from the counter.
            done = operations(runs[name.removesuffix(" compiled")])
            rows.append(
                {
                    "network": name,
                    "seconds": median,
                    "from": min(seconds[name]),
                    "to": max(seconds[name]),
                    "of spandrel's": ratio(seconds[name], seconds["spandrel"]),
                    "faces/s": args.batch / median,
                    "GFLOPs": done / 1e9,
                    "share of peak": done / median / peaks[precision],
                    "MB at peak": peak_memory(run, device) / 1e6,
                }
            )
    about["largest difference between spandrel's image and ours, fp32"] = difference
    about |= {f"matrix product {name}": f"{peak / 1e9:.0f} GFLOP/s" for name, peak in peaks.items()}
    title = f"{args.batch} face(s) of 512x512, medians of {args.rounds}; peak: the matrix product of that precision"
    report(title, rows, about, args.json)


if __name__ == "__main__":
    main()
