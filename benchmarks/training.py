"""Seconds and memory of a training iteration with every loss on, beside the released loop's five generator passes.

python benchmarks/training.py --json docs/benchmarks/training_cpu.json
python benchmarks/training.py --opt options/train_restoreformer_released.yml --device cuda --batch 4
python benchmarks/training.py --opt options/train_dictionary.yml --device cuda --batch 16

Networks, losses and optimizers are the option file's; the networks that losses use are random, and so are the images.
The five passes are of stage 2 with the released network; other files are measured without them.
"""

import copy
import statistics
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import restoreformer.plugin  # noqa: F401  # isort: skip  (first: it makes basicsr importable)

import torch
from basicsr.models import build_model
from measuring import arguments, begin, in_turns, operations, peak_memory, peak_rate, ratio, report
from measuring.five_passes import FivePasses
from torch import Tensor, nn

from restoreformer.geometry import FRAME
from restoreformer.models.face_model import FaceModel
from restoreformer.options import read_options

VARIANTS: dict[str, dict[str, Any]] = {
    "ours fp32": {},
    "ours bf16": {"amp": "bf16"},
    "ours fp32, checkpointing": {"checkpointing": True},
    "ours bf16, checkpointing": {"amp": "bf16", "checkpointing": True},
}
WITH_WEIGHTS = ("ArcFace", "EdgeVGG16", "LPIPS", "VGG19")
FIVE = "five passes, as released"
# Boxes of a face of FRAME pixels, with the size of the crops that are made of them.
BOXES = {"left_eye": (150, 200, 230, 280), "right_eye": (280, 200, 360, 280), "mouth": (195, 310, 315, 430)}


def build(path: Path, train: dict[str, Any], device: torch.device) -> FaceModel:
    """The model of an option file, from random weights."""
    opt = copy.deepcopy(read_options(path))
    opt |= {"is_train": True, "dist": False, "rank": 0, "world_size": 1, "num_gpu": int(device.type == "cuda")}
    # Whatever waits in a real training is on from the first iteration.
    opt["train"] |= train | {"gan_start_iter": 1}
    if "identity_start_iter" in opt["train"]:
        opt["train"]["identity_start_iter"] = 1
    opt["path"] = {"pretrain_network_g": "none"}
    # Batches are made by hand, and nothing is validated.
    opt["datasets"] = {}
    opt.get("val", {}).pop("metrics", None)
    for block in opt["train"].values():
        if isinstance(block, dict) and str(block.get("type")).startswith(WITH_WEIGHTS):
            block["weights"] = "none"
    return build_model(opt)


def batch(size: int, count: int) -> dict[str, Tensor]:
    """Random images, and boxes in proportion."""
    images = [torch.rand(count, 3, size, size) * 2 - 1 for _ in range(2)]
    scale = size / FRAME
    boxes = {f"loc_{name}": torch.tensor([box] * count, dtype=torch.float32) * scale for name, box in BOXES.items()}
    return {"lq": images[0], "gt": images[1], **boxes}


def held_by(nets: Iterable[nn.Module], optimizers: Iterable[torch.optim.Optimizer]) -> int:
    """Bytes that stay from one iteration to the next."""
    held: list[Tensor] = []
    for net in nets:
        held += [*net.parameters(), *net.buffers(), *(p.grad for p in net.parameters() if p.grad is not None)]
    for optimizer in optimizers:
        held += [value for state in optimizer.state.values() for value in state.values()]
    return sum(value.nbytes for value in held)


def main() -> None:
    parser = arguments(__doc__, rounds=7)
    parser.add_argument("--opt", type=Path, default=Path("options/small/train_restoreformer.yml"))
    parser.add_argument("--batch", type=int, help="default: the option file's")
    args = parser.parse_args()
    device, about = begin(args)
    options = read_options(args.opt)["datasets"]["train"]
    count = args.batch or options["batch_size_per_gpu"]
    data = batch(options["gt_size"], count)

    runs: dict[str, Callable[[], Any]] = {}
    held: dict[str, Callable[[], int]] = {}
    for name, train in VARIANTS.items():
        model = build(args.opt, train, device)
        model.feed_data(data)
        # Not the first iteration, at which a dictionary may start anew.
        runs[name] = partial(model.optimize_parameters, 2)
        nets = [model.net_g, *(a.net for a in model.adversaries.values())]
        held[name] = partial(held_by, [*nets, *filter(None, model.image_losses.values())], model.optimizers)
    if model.opt["model_type"] == "RestoreFormerModel":
        five = FivePasses(model)
        runs = {FIVE: five.iterate} | runs
        judges = filter(None, five.image_losses.values())
        held[FIVE] = partial(held_by, [*five.nets.values(), *judges], list(five.optimizers.values()))
    seconds = in_turns(runs, args.rounds, device, "iterations")
    peaks = {dtype: peak_rate(device, dtype) for dtype in (torch.float32, torch.bfloat16)}
    slowest = FIVE if FIVE in runs else "ours fp32"
    rows = []
    for name, run in runs.items():
        median = statistics.median(seconds[name])
        done = operations(run)
        rows.append(
            {
                "iteration": name,
                "seconds": median,
                "from": min(seconds[name]),
                "to": max(seconds[name]),
                f"of {slowest}": ratio(seconds[name], seconds[slowest]),
                "iterations/s": 1 / median,
                "GFLOPs": done / 1e9,
                "share of peak": done / median / peaks[torch.bfloat16 if "bf16" in name else torch.float32],
                "MB of weights, gradients and Adam": held[name]() / 1e6,
                "MB at peak beyond": peak_memory(run, device) / 1e6,
            }
        )
    about |= {f"matrix product {dtype}": f"{peak / 1e9:.0f} GFLOP/s" for dtype, peak in peaks.items()}
    title = f"{args.opt.name}, {count} faces of {options['gt_size']}, medians of {args.rounds}"
    report(title, rows, about, args.json)


if __name__ == "__main__":
    main()
