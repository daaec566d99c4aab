"""What half precision costs in accuracy, part by part: the image against float32's, and the entries that are chosen.

python benchmarks/precision.py --model experiments/small_restoreformer/models/net_g_latest.pth \\
    --faces datasets/faces_128.lmdb --json docs/benchmarks/precision.json

Needs a trained network and faces that it can restore, which are degraded as in the small run.
"""

import copy
from collections.abc import Iterator
from pathlib import Path

import restoreformer  # noqa: F401  # isort: skip  (first: it makes basicsr importable)

import torch
from measuring import machine, report
from torch import Tensor, nn
from tqdm import tqdm

from restoreformer.archs.autoencoder import VQAutoencoder
from restoreformer.archs.build import build_from_checkpoint
from restoreformer.archs.checkpoint import read_checkpoint
from restoreformer.archs.precision import halve, set_precision
from restoreformer.datasets.blind_face_dataset import BlindFaceDataset
from restoreformer.options import read_options
from restoreformer.program import option_parser

SMALL_TEST = Path(__file__).parents[1] / "options" / "small" / "test_restoreformer.yml"


def variants(net: VQAutoencoder) -> Iterator[tuple[str, VQAutoencoder]]:
    """The network with one part or another in half precision."""
    levels = len(net.encoder.down)
    parts = {
        "the whole encoder": ["encoder", "quant_conv"],
        "encoder.conv_in": ["encoder.conv_in"],
        **{f"encoder.down.0 to {i}": [f"encoder.down.{j}" for j in range(i + 1)] for i in range(levels)},
        "encoder.mid": ["encoder.mid"],
        "encoder.conv_out and quant_conv": ["encoder.norm_out", "encoder.conv_out", "quant_conv"],
        "the whole decoder": ["decoder", "post_quant_conv"],
        "decoder.conv_out": ["decoder.conv_out"],
        "encoder and decoder": ["encoder", "quant_conv", "decoder", "post_quant_conv"],
    }
    for name, half in parts.items():
        changed = copy.deepcopy(net)
        for part in half:
            halve(changed.get_submodule(part), torch.bfloat16)
        yield f"bf16: {name}", changed
    for precision in ("bf16", "fp16"):
        changed = copy.deepcopy(net)
        set_precision(changed, precision)
        yield f"--precision {precision}", changed


@torch.inference_mode()
def answers(net: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Restored images, clamped, and the entries chosen."""
    outputs = [net(chunk, with_latents=True) for chunk in images.split(10)]
    return torch.cat([o.image for o in outputs]).clamp(-1, 1), torch.cat([o.indices for o in outputs])


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--model", required=True, help="a trained RestoreFormer")
    parser.add_argument("--faces", required=True, help="folder or LMDB; the last ones are taken")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    net = build_from_checkpoint(read_checkpoint(args.model)).to(memory_format=torch.channels_last)
    degradation = read_options(SMALL_TEST)["datasets"]["test"]["degradation"]
    options = {"phase": "val", "dataroot_gt": args.faces, "gt_size": net.resolution, "degradation": degradation}
    faces = BlindFaceDataset(options)
    images = torch.stack([faces[len(faces) - args.count + i]["lq"] for i in range(args.count)])
    exact, chosen = answers(net, images)
    rows = []
    for name, changed in tqdm(variants(net), desc="precision"):
        image, indices = answers(changed, images)
        error = ((image - exact) / 2).square().mean((1, 2, 3))
        rows.append(
            {
                "half precision": name,
                "PSNR to float32, dB": -10 * error.mean().log10().item(),
                "worst face": (-10 * error.log10()).min().item(),
                "same entries, %": 100 * (indices == chosen).double().mean().item(),
            }
        )
    about = machine(torch.device("cpu")) | {"entries in use": str(len(chosen.unique()))}
    report(
        f"{args.count} faces of {net.resolution}x{net.resolution} by {Path(args.model).name}", rows, about, args.json
    )


if __name__ == "__main__":
    main()
