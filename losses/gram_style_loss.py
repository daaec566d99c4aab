"""The feature style loss on a component discriminator's features (Eq. 11)."""

from collections.abc import Sequence

import torch
from basicsr.utils.registry import LOSS_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F


def gram(features: Tensor) -> Tensor:
    """Gram matrices of ``(n, c, h, w)`` features, ``(n, c, c)``, divided by c*h*w as GFPGAN does."""
    n, c, h, w = features.shape
    flat = features.reshape(n, c, h * w)
    return flat @ flat.transpose(1, 2) / (c * h * w)


@LOSS_REGISTRY.register()
class GramStyleLoss(nn.Module):
    """Squared distance of Gram matrices, summed over the given feature maps.

    Args:
        loss_weight: lambda_style; the paper's is 2000.
    """

    def __init__(self, loss_weight: float = 2000.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, result: Sequence[Tensor], gt: Sequence[Tensor]) -> Tensor:
        """Feature maps of result and truth, pairwise of one shape; gradients to ``result`` only."""
        terms = [F.mse_loss(gram(a), gram(b.detach())) for a, b in zip(result, gt, strict=True)]
        return self.loss_weight * torch.stack(terms).sum()
