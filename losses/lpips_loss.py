"""LPIPS (Zhang et al. 2018) as a perceptual loss, what the released code trains with."""

import torch
from basicsr.utils.registry import LOSS_REGISTRY
from torch import Tensor, nn

from restoreformer.frozen.lpips_net import lpips_net
from restoreformer.losses.criterion import at_least_float32
from restoreformer.losses.gram_style_loss import GramStyleLoss


@LOSS_REGISTRY.register()
class LPIPSLoss(nn.Module):
    """LPIPS distance between result and truth, by the package ``lpips`` (its version 0.1), and a style term.

    Args:
        loss_weight: factor on the distance.
        style_weight: factor on the squared distance of Gram matrices of the features, normalised to
            length 1 at each place, summed over layers; the released code's is 1e9 in stage 2.
        weights: the VGG-16 backbone: ``vgg16-397923af.pth``, a path, or ``none``. The linear layers
            come with the package.

    Raises:
        RestoreFormerError: weights that cannot be had.
    """

    def __init__(
        self, loss_weight: float = 1.0, style_weight: float = 0.0, weights: str = "vgg16-397923af.pth"
    ) -> None:
        super().__init__()
        import lpips

        self.loss_weight = loss_weight
        self.style = GramStyleLoss(style_weight) if style_weight else None
        self.normalize = lpips.normalize_tensor
        self.net = lpips_net("vgg", weights, "LPIPS loss")

    def forward(self, result: Tensor, gt: Tensor) -> tuple[Tensor, Tensor | None]:
        """Images ``(n, 3, h, w)``, RGB, [-1, 1]; gradients to ``result`` only.

        Returns:
            Distance and style, as BasicSR's ``PerceptualLoss`` does; style is None without its weight.
        """
        features = self._features(result)
        with torch.no_grad():
            targets = self._features(gt)
        terms = [
            at_least_float32(lin((a - b).square())).mean()
            for lin, a, b in zip(self.net.lins, features, targets, strict=True)
        ]
        style = None if self.style is None else self.style(features, targets)
        return self.loss_weight * torch.stack(terms).sum(), style

    def _features(self, image: Tensor) -> list[Tensor]:
        return [self.normalize(at_least_float32(f)) for f in self.net.net(self.net.scaling_layer(image))]
