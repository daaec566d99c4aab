"""The losses that tie features and dictionary together (Eq. 10, 15 and 16).

Squared norms are means over elements, here as in the released code, so that weights do not depend on
resolution and batch.
"""

from basicsr.utils.registry import LOSS_REGISTRY
from torch import Tensor, nn

from restoreformer.losses.criterion import elementwise


@LOSS_REGISTRY.register()
class DictionaryLoss(nn.Module):
    """Move the chosen entries to the features: ||sg[Z_h] - Z_p||^2 (Eq. 15).

    Args:
        loss_weight: lambda_d; the paper's is 1.0.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.distance = elementwise("l2")

    def forward(self, latents: Tensor, prior: Tensor) -> Tensor:
        """``latents`` Z_h and ``prior`` Z_p, both ``(n, c, h, w)``; gradients to ``prior`` only."""
        return self.loss_weight * self.distance(prior, latents.detach())


@LOSS_REGISTRY.register()
class CommitmentLoss(nn.Module):
    """Keep the features near their entries: ||Z_h - sg[Z_p]||^2 (Eq. 16).

    It is L_p of Eq. 10 too: in stage 2 the dictionary is frozen.

    Args:
        loss_weight: lambda_c or lambda_p; the paper's are both 0.25.
    """

    def __init__(self, loss_weight: float = 0.25) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.distance = elementwise("l2")

    def forward(self, latents: Tensor, prior: Tensor) -> Tensor:
        """``latents`` Z_h or Z_d and ``prior`` Z_p, both ``(n, c, h, w)``; gradients to ``latents`` only."""
        return self.loss_weight * self.distance(latents, prior.detach())
