"""The identity loss (Eq. 12)."""

import torch
from basicsr.utils.registry import LOSS_REGISTRY
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from torch.nn import functional as F

from restoreformer.archs.arcface_arch import ArcFaceResNet18
from restoreformer.losses.criterion import elementwise
from restoreformer.losses.frozen import load_frozen

# ITU-R BT.601 luma of red, green, blue.
LUMA = (0.2989, 0.5870, 0.1140)


@LOSS_REGISTRY.register()
class ArcFaceIdentityLoss(nn.Module):
    """Distance of ArcFace features of result and truth.

    Args:
        loss_weight: lambda_id; the paper's is 1.5, the released code's 3.
        criterion: ``l2`` (mean of squares, the paper's) or ``l1`` (released).
        weights: ``arcface_resnet18.pth``, a path, or ``none``.

    Raises:
        RestoreFormerError: an unknown criterion, or weights that cannot be had.
    """

    def __init__(self, loss_weight: float = 1.5, criterion: str = "l2", weights: str = "arcface_resnet18.pth") -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.distance = elementwise(criterion)
        net = ArcFaceResNet18()
        load_frozen(net, weights, "identity loss")
        self.net = settled(net)

    def forward(self, result: Tensor, gt: Tensor) -> Tensor:
        """Aligned faces ``(n, 3, h, w)``, RGB, [-1, 1]; gradients to ``result`` only."""
        with torch.no_grad():
            target = self.net(grey_face(gt))
        return self.loss_weight * self.distance(self.net(grey_face(result)), target)


def settled(net: ArcFaceResNet18) -> nn.Module:
    """The same function, quicker, of a network that never learns again: batch norms that follow a convolution become
    part of it, and each learned slope a number. Shapes: ``(n, 1, 128, 128)`` to ``(n, 512)``."""
    quick = fuse(net)
    for name, layer in list(quick.named_modules()):
        if isinstance(layer, nn.PReLU):
            parent, _, child = name.rpartition(".")
            setattr(quick.get_submodule(parent), child, nn.LeakyReLU(layer.weight.item()))
    return quick


def grey_face(image: Tensor) -> Tensor:
    """RGB faces ``(n, 3, h, w)`` as ArcFace takes them: grey ``(n, 1, 128, 128)``, bilinear."""
    red, green, blue = image.split(1, dim=1)
    grey = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    return F.interpolate(grey, (128, 128), mode="bilinear", align_corners=False)
