"""Networks that tell whose face it is, and what each wants a face to look like."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from torch.nn import functional as F

from restoreformer.errors import RestoreFormerError
from restoreformer.frozen.arcface import ArcFaceResNet18
from restoreformer.frozen.mobilefacenet import MobileFaceNet
from restoreformer.frozen.weights import load_frozen
from restoreformer.geometry import FRAME, TEMPLATE

# ITU-R BT.601 luma of red, green, blue.
LUMA = (0.2989, 0.5870, 0.1140)
# Where SphereFace's crop of 112x96, which MobileFaceNet takes, has eyes, nose and corners of the mouth.
NARROW = np.array([[30.2946, 51.6963], [65.5318, 51.5014], [48.0252, 71.7366], [33.5493, 92.3655], [62.7299, 92.2041]])
NARROW_SIZE = (112, 96)


def grey_face(image: Tensor) -> Tensor:
    """RGB faces ``(n, 3, h, w)`` as ArcFace's ResNet-18 takes them: grey ``(n, 1, 128, 128)``, bilinear."""
    red, green, blue = image.split(1, dim=1)
    grey = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    return F.interpolate(grey, (128, 128), mode="bilinear", align_corners=False)


def narrow_face(image: Tensor) -> Tensor:
    """RGB faces ``(n, 3, s, s)`` as MobileFaceNet takes them: the middle of FFHQ's crop, ``(n, 3, 112, 96)``."""
    # First to the scale of the crop, averaged where that is smaller; then sampled where its pixels lie.
    side = round(_NARROW_SCALE * FRAME)
    if image.shape[-2:] != (side, side):
        image = F.interpolate(image, (side, side), mode="bilinear", align_corners=False, antialias=True)
    theta = _NARROW_THETA.to(image)[None].expand(len(image), -1, -1)
    grid = F.affine_grid(theta, [len(image), 3, *NARROW_SIZE], align_corners=False)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _narrow_transform() -> tuple[float, Tensor]:
    """The scale from the frame to the narrow crop, and the transform from the crop to the frame in torch's normalised
    coordinates. The least squares of scale and shift between the templates, neither of which is turned."""
    a, b = TEMPLATE.astype(np.float64) + 0.5, NARROW + 0.5
    scale = float(((a - a.mean(0)) * (b - b.mean(0))).sum() / ((a - a.mean(0)) ** 2).sum())
    height, width = NARROW_SIZE
    # Middle of the crop as a point of the frame, in [-1, 1].
    middle = (a.mean(0) + (np.array([width, height]) / 2 - b.mean(0)) / scale) * 2 / FRAME - 1
    extent = np.array([width, height]) / scale / FRAME
    return scale, torch.tensor(np.column_stack([np.diag(extent), middle]), dtype=torch.float32)


_NARROW_SCALE, _NARROW_THETA = _narrow_transform()


class _Kind(NamedTuple):
    net: type[nn.Module]
    prepare: Callable[[Tensor], Tensor]
    weights: str | None


IDENTITY_NETWORKS = {
    "arcface_resnet18": _Kind(ArcFaceResNet18, grey_face, "arcface_resnet18.pth"),
    "mobilefacenet": _Kind(MobileFaceNet, narrow_face, None),
}


class IdentityNetwork(nn.Module):
    """Embeddings of aligned faces, by a network that never learns.

    Args:
        network: ``arcface_resnet18`` (the paper's and the released code's) or ``mobilefacenet``.
        weights: a file of ``restoreformer.pretrained.FILES``, a path, or ``none``; without it the one that the
            network is known by.
        what: what the network is for, for messages.

    Shapes: faces in FFHQ's crop ``(n, 3, s, s)``, RGB, [-1, 1], to ``(n, 512)`` or ``(n, 128)``, not normalised.

    Raises:
        RestoreFormerError: another network, or weights that cannot be had.
    """

    def __init__(self, network: str = "arcface_resnet18", weights: str | Path | None = None, what: str = "") -> None:
        super().__init__()
        if network not in IDENTITY_NETWORKS:
            raise RestoreFormerError(f"Expected network {' or '.join(IDENTITY_NETWORKS)}, got {network}.")
        kind = IDENTITY_NETWORKS[network]
        net = kind.net()
        load_frozen(net, weights or kind.weights, what)
        self.net = settled(net)
        self.prepare = kind.prepare
        self.eval()

    def forward(self, image: Tensor) -> Tensor:
        return self.net(self.prepare(image))


def settled(net: nn.Module) -> nn.Module:
    """The same function, quicker, of a network in eval mode that never learns again: batch norms that follow a
    convolution become part of it, and each slope that a layer learned alone a number."""
    quick = fuse(net)
    for name, layer in list(quick.named_modules()):
        if isinstance(layer, nn.PReLU) and layer.num_parameters == 1:
            parent, _, child = name.rpartition(".")
            setattr(quick.get_submodule(parent), child, nn.LeakyReLU(layer.weight.item()))
    return quick
