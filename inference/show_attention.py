"""Where RestoreFormer looks: the attention of one place of a face, for each block and head (Fig. 6 d and e).

python inference/show_attention.py -i face.png -o attention.png --point 192,240
"""

import sys
from pathlib import Path
from typing import Any

import restoreformer  # noqa: F401  # isort: skip  (first: it makes basicsr importable)

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restoreformer.archs.autoencoder import VQAutoencoder
from restoreformer.archs.blocks import Attention
from restoreformer.archs.build import build_from_checkpoint
from restoreformer.archs.checkpoint import read_checkpoint
from restoreformer.device import choose_device
from restoreformer.errors import RestoreFormerError
from restoreformer.geometry import FRAME, TEMPLATE
from restoreformer.images import Image, read, resize, to_image, to_tensor, write
from restoreformer.inference.face_restorer import DEFAULT_MODEL
from restoreformer.pretrained import local_file
from restoreformer.program import option_parser


@torch.inference_mode()
def attention_maps(net: VQAutoencoder, image: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Restore a face and keep what each attention between features and prior weighs with.

    Args:
        net: a network that restores.
        image: RGB ``(3, H, W)``, [-1, 1], on the network's device.

    Returns:
        The restored face ``(3, H, W)``, and by the name of each attention layer, in the order of their
        use, its weights ``(heads, h*w, h, w)``: what each place asks for, and where it finds it.

    Raises:
        RestoreFormerError: the network has no such attention.
    """
    found: dict[str, Tensor] = {}

    def record(name: str) -> Any:
        def hook(layer: Attention, arguments: tuple[Tensor, ...], keywords: dict[str, Tensor]) -> None:
            x = arguments[0]
            found[name] = layer.maps(*arguments, **keywords)[0].unflatten(-1, x.shape[-2:])

        return hook

    layers = {n: m for n, m in net.named_modules() if isinstance(m, Attention) and net.is_attention(f"{n}.q.weight")}
    handles = [m.register_forward_pre_hook(record(n), with_kwargs=True) for n, m in layers.items()]
    try:
        restored = net(image[None])[0]
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        raise RestoreFormerError(f"Expected a network with attention, {type(net).__name__} has none with its fusion.")
    return restored, found


def overlay(face: Image, weights: NDArray[np.float32], point: tuple[int, int]) -> Image:
    """A map ``(h, w)`` of weights over a face, each from its least to its greatest, and a ring at ``point``."""
    weights = weights - weights.min()
    heat = cv2.resize(weights / max(float(weights.max()), 1e-12), face.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    colours = cv2.applyColorMap((heat.clip(0, 1) * 255).astype(np.uint8), cv2.COLORMAP_JET)
    blended = cv2.addWeighted(face, 0.5, colours, 0.5, 0)
    cv2.circle(blended, point, max(3, len(face) // 50), (255, 255, 255), max(1, len(face) // 200))
    return blended.astype(np.uint8, copy=False)


def picture(face: Image, maps: dict[str, Tensor], point: tuple[int, int]) -> Image:
    """A row for each attention layer: the mean of its heads, then each head."""
    rows = []
    for weights in maps.values():
        height, width = weights.shape[-2:]
        x, y = point[0] * width // face.shape[1], point[1] * height // face.shape[0]
        asked = weights[:, y * width + x].float().cpu().numpy()
        rows.append(np.hstack([overlay(face, m, point) for m in (asked.mean(0), *asked)]))
    return np.vstack(rows)


def parse_point(text: str | None, size: int) -> tuple[int, int]:
    """``x,y`` in pixels of the face at the network's size; without it the centre of the left eye.

    Raises:
        RestoreFormerError: not two numbers, or outside the face.
    """
    if text is None:
        x, y = (int(v) for v in np.asarray(TEMPLATE)[0] * size / FRAME)
        return x, y
    try:
        x, y = (int(v) for v in text.split(","))
    except ValueError as error:
        raise RestoreFormerError(f"Expected --point x,y in whole pixels, got {text}.") from error
    if not (0 <= x < size and 0 <= y < size):
        raise RestoreFormerError(f"Expected --point within the face of {size}x{size}, got {text}.")
    return x, y


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("-i", "--input", type=Path, required=True, help="an aligned face")
    parser.add_argument("-o", "--output", type=Path, default=Path("attention.png"), help="picture to write")
    parser.add_argument("--model", default=DEFAULT_MODEL, help=f"a pretrained name or a file (default {DEFAULT_MODEL})")
    parser.add_argument("--point", help="x,y of the asking place (default: the left eye)")
    parser.add_argument("--device", help="cuda, mps or cpu (default: the best there is)")
    parser.add_argument("--weights-dir", type=Path, help="where pretrained files are looked for first")
    args = parser.parse_args()
    try:
        device = choose_device(args.device)
        net = build_from_checkpoint(read_checkpoint(local_file(args.model, args.weights_dir))).to(device)
        point = parse_point(args.point, net.resolution)
        face = resize(read(args.input), net.resolution, net.resolution)
        restored, maps = attention_maps(net, to_tensor(face).to(device))
        write(args.output, picture(to_image(restored), maps, point))
    except RestoreFormerError as error:
        sys.exit(f"error: {error}")
    for name in maps:
        sys.stderr.write(f"row: {name}: mean of heads, then {len(maps[name])} heads\n")


if __name__ == "__main__":
    main()
