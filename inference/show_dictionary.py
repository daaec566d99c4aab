"""What the dictionary holds: a picture of its entries, each decoded by itself.

python inference/show_dictionary.py --model experiments/small_dictionary/models/net_g_latest.pth -o entries.png
"""

import sys
from pathlib import Path

import restoreformer  # noqa: F401  # isort: skip  (first: it makes basicsr importable)

import torch
from torch import Tensor
from tqdm import tqdm

from restoreformer.archs.autoencoder import VQAutoencoder
from restoreformer.archs.build import DICTIONARIES, RESTORERS, build_from_checkpoint
from restoreformer.archs.checkpoint import read_checkpoint
from restoreformer.device import choose_device
from restoreformer.errors import RestoreFormerError
from restoreformer.images import tiled, to_image, write
from restoreformer.pretrained import local_file
from restoreformer.program import option_parser

BATCH = 64


@torch.inference_mode()
def decode_entries(net: VQAutoencoder) -> Tensor:
    """Each entry as a patch, ``(n_embed, 3, f, f)``, about [-1, 1], f the factor between image and latents.

    An entry is decoded as the middle of 3x3 alike, so that borders have little part in its patch.
    """
    side = net.size_multiple
    entries = net.quantize.embedding.weight
    patches = []
    for chunk in tqdm(entries.split(BATCH), desc="decoding", unit="batch"):
        images = net.decode_prior(chunk[:, :, None, None].expand(-1, -1, 3, 3).contiguous())
        patches.append(images[:, :, side : 2 * side, side : 2 * side].cpu())
    return torch.cat(patches)


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--model", required=True, help="a file of stage 1, or of a network that restores")
    parser.add_argument("-o", "--output", type=Path, default=Path("entries.png"), help="picture to write")
    parser.add_argument("--device", help="cuda, mps or cpu (default: the best there is)")
    parser.add_argument("--weights-dir", type=Path, help="where pretrained files are looked for first")
    args = parser.parse_args()
    try:
        checkpoint = read_checkpoint(local_file(args.model, args.weights_dir))
        net = build_from_checkpoint(checkpoint, (*RESTORERS, *DICTIONARIES)).to(choose_device(args.device))
        write(args.output, tiled([to_image(patch) for patch in decode_entries(net)]))
    except RestoreFormerError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
