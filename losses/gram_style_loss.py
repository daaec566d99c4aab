"""The feature style loss on a component discriminator's features (Eq. 11)."""

from collections.abc import Sequence

import torch
from basicsr.utils.registry import LOSS_REGISTRY
from torch import Tensor, nn

from restoreformer.archs.blocks import without_autocast
from restoreformer.errors import RestoreFormerError
from restoreformer.losses.criterion import at_least_float32, elementwise


def gram(features: Tensor) -> Tensor:
    """Gram matrices of ``(n, c, h, w)`` features, ``(n, c, c)``, divided by c*h*w as GFPGAN does.

    In float32 at least: their differences are small, and weighed by thousands.
    """
    n, c, h, w = features.shape
    with without_autocast(features.device):
        flat = at_least_float32(features).reshape(n, c, h * w)
        return flat @ flat.transpose(1, 2) / (c * h * w)


@LOSS_REGISTRY.register()
class GramStyleLoss(nn.Module):
    """Distance of Gram matrices, summed over the given feature maps.

    Args:
        loss_weight: lambda_style; the paper's and the released code's is 2000.
        criterion: ``l2`` (mean of squares, the paper's) or ``l1`` (released).
        layer_weights: weight of each feature map in turn; without it 1 each, the paper's. The released
            code's are 0.5 and 1.

    Raises:
        RestoreFormerError: an unknown criterion, or another number of feature maps than of weights.
    """

    def __init__(
        self, loss_weight: float = 2000.0, criterion: str = "l2", layer_weights: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.distance = elementwise(criterion)
        self.layer_weights = layer_weights

    def forward(self, result: Sequence[Tensor], gt: Sequence[Tensor]) -> Tensor:
        """Feature maps of result and truth, pairwise of one shape; gradients to ``result`` only."""
        weights = self.layer_weights or [1.0] * len(result)
        if len(weights) != len(result):
            raise RestoreFormerError(f"Expected layer_weights for {len(result)} feature maps, got {len(weights)}.")
        terms = [w * self.distance(gram(a), gram(b.detach())) for w, a, b in zip(weights, result, gt, strict=True)]
        return self.loss_weight * torch.stack(terms).sum()
