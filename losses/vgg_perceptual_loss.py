"""The perceptual loss on VGG-19 (Eq. 9 and 17)."""

from collections.abc import Mapping

import torch
from basicsr.archs.vgg_arch import NAMES
from basicsr.utils.registry import LOSS_REGISTRY
from torch import Tensor, nn

from restoreformer.archs.vgg19 import ImageNetNormalize, vgg19_features
from restoreformer.errors import RestoreFormerError
from restoreformer.losses.criterion import elementwise
from restoreformer.losses.frozen import load_frozen

# The last convolution of each of the five stages: the paper says "conv1 to conv5".
PAPER_LAYERS = {"conv1_2": 1.0, "conv2_2": 1.0, "conv3_4": 1.0, "conv4_4": 1.0, "conv5_4": 1.0}


class VGG19Features(nn.Module):
    """torchvision's VGG-19 up to a layer, under torchvision's tensor names."""

    def __init__(self, layers: tuple[str, ...]) -> None:
        super().__init__()
        self.indices = {NAMES["vgg19"].index(layer): layer for layer in layers}
        # Convolutions' outputs are kept, so the ReLU after one must not write into it.
        self.features = vgg19_features(max(self.indices) + 1)
        for module in self.features:
            if isinstance(module, nn.ReLU):
                module.inplace = False

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        out = {}
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in self.indices:
                out[self.indices[i]] = x
        return out


@LOSS_REGISTRY.register()
class VGG19PerceptualLoss(nn.Module):
    """Distance between VGG-19 features of result and truth, summed over layers.

    BasicSR's ``PerceptualLoss`` is the same with ``l1``, but stops at ``l2`` with an AttributeError, and
    takes its weights unchecked from a fixed place or the network.

    Args:
        layer_weights: weight of each layer, by BasicSR's names; the default is conv1 to conv5, 1 each.
        criterion: ``l2`` (mean of squares, the paper's) or ``l1``.
        loss_weight: lambda_per; the paper's is 1.0.
        weights: ``vgg19-dcbb9e9d.pth``, a path, or ``none``.

    Raises:
        RestoreFormerError: an unknown layer or criterion, or weights that cannot be had.
    """

    def __init__(
        self,
        layer_weights: Mapping[str, float] | None = None,
        criterion: str = "l2",
        loss_weight: float = 1.0,
        weights: str = "vgg19-dcbb9e9d.pth",
    ) -> None:
        super().__init__()
        self.layer_weights = dict(PAPER_LAYERS if layer_weights is None else layer_weights)
        if unknown := sorted(set(self.layer_weights) - set(NAMES["vgg19"])):
            raise RestoreFormerError(f"Expected layers among {', '.join(NAMES['vgg19'])}, got {', '.join(unknown)}.")
        self.distance = elementwise(criterion)
        self.loss_weight = loss_weight
        self.vgg = VGG19Features(tuple(self.layer_weights))
        load_frozen(self.vgg, weights, "perceptual loss")
        self.normalize = ImageNetNormalize()

    def forward(self, result: Tensor, gt: Tensor) -> Tensor:
        """Images ``(n, 3, h, w)``, RGB, [-1, 1]; gradients to ``result`` only."""
        features = self._features(result)
        with torch.no_grad():
            targets = self._features(gt)
        terms = [w * self.distance(features[k], targets[k]) for k, w in self.layer_weights.items()]
        return self.loss_weight * torch.stack(terms).sum()

    def _features(self, image: Tensor) -> dict[str, Tensor]:
        return self.vgg(self.normalize(image))
