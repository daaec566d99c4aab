"""The identity loss (Eq. 12)."""

import torch
from basicsr.utils.registry import LOSS_REGISTRY
from torch import Tensor, nn

from restoreformer.frozen.identity import IdentityNetwork
from restoreformer.losses.criterion import elementwise


@LOSS_REGISTRY.register()
class ArcFaceIdentityLoss(nn.Module):
    """Distance of ArcFace features of result and truth.

    Args:
        loss_weight: lambda_id; the paper's is 1.5, the released code's 3.
        criterion: ``l2`` (mean of squares, the paper's) or ``l1`` (released).
        weights: ``arcface_resnet18.pth``, a path, or ``none``.
        network: a key of :data:`~restoreformer.frozen.identity.IDENTITY_NETWORKS`; the paper's ArcFace, or
            ``mobilefacenet``, which stands in where those weights cannot be had.

    Raises:
        RestoreFormerError: an unknown criterion or network, or weights that cannot be had.
    """

    def __init__(
        self,
        loss_weight: float = 1.5,
        criterion: str = "l2",
        weights: str | None = None,
        network: str = "arcface_resnet18",
    ) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.distance = elementwise(criterion)
        self.net = IdentityNetwork(network, weights, "identity loss")

    def forward(self, result: Tensor, gt: Tensor) -> Tensor:
        """Aligned faces ``(n, 3, h, w)``, RGB, [-1, 1]; gradients to ``result`` only."""
        with torch.no_grad():
            target = self.net(gt)
        return self.loss_weight * self.distance(self.net(result), target)
