"""LPIPS (Zhang et al. 2018), and the same without its learned weights where their network cannot be had."""

from pathlib import Path
from typing import Any

import torch
from basicsr.utils.registry import METRIC_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from restoreformer.errors import RestoreFormerError
from restoreformer.frozen.lpips_net import BACKBONES, lpips_net
from restoreformer.frozen.vgg import CaffeNormalize, VGGFeatures
from restoreformer.frozen.weights import load_frozen
from restoreformer.images import Image
from restoreformer.metrics.collector import COLLECTORS, NetworkDistance, labelled, of_one_pair

EDGE_VGG = "edge_vgg16"
# Faces at once: each of 512 takes half a gigabyte.
BATCH_SIZE = 4
LABELS = {"vgg": "LPIPS", "alex": "LPIPS (AlexNet)", EDGE_VGG: "distance (edge VGG-16)"}
# VGG-16's last activation before each pooling, and its last; what LPIPS compares.
ACTIVATIONS = {3: "relu1", 8: "relu2", 15: "relu3", 22: "relu4", 29: "relu5"}


class EdgeVGG16Distance(nn.Module):
    """LPIPS without learned weights, on a VGG-16 that was fine-tuned to find edges (HED): features of length 1 at each
    place, squared distances summed over channels, averaged over places, summed over layers.

    Args:
        weights: the state dict of ``torchvision.models.vgg16().features``, a path, or ``none``.
    """

    def __init__(self, weights: str | Path | None) -> None:
        super().__init__()
        self.vgg = VGGFeatures("vgg16", ACTIVATIONS)
        load_frozen(self.vgg.features, weights, "perceptual distance")
        self.normalize = CaffeNormalize()

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """RGB ``(n, 3, h, w)`` in [-1, 1] to ``(n, 1, 1, 1)``, as ``lpips.LPIPS``."""
        pairs = zip(self.vgg(self.normalize(a)).values(), self.vgg(self.normalize(b)).values(), strict=True)
        terms = [(F.normalize(x) - F.normalize(y)).square().sum(1, keepdim=True).mean((2, 3), True) for x, y in pairs]
        return torch.stack(terms).sum(0)


class LPIPSCollector(NetworkDistance):
    """LPIPS of each face, on RGB in [-1, 1].

    Args:
        device: where the network computes.
        net: ``vgg`` or ``alex``, or ``edge_vgg16`` for :class:`EdgeVGG16Distance`, which is not called LPIPS.
        weights: of the backbone, see :func:`~restoreformer.frozen.lpips_net.lpips_net`; for ``edge_vgg16`` a path.
        batch_size: faces that are computed at once.
        colors, black: see :class:`~restoreformer.metrics.collector.NetworkDistance`.

    Raises:
        RestoreFormerError: another ``net``, or weights that cannot be had.
    """

    def __init__(
        self,
        device: torch.device,
        net: str = "vgg",
        weights: str | None = None,
        batch_size: int = BATCH_SIZE,
        colors: str = "rgb",
        black: float = -1,
    ) -> None:
        super().__init__(device, batch_size, colors, black)
        if net not in LABELS:
            raise RestoreFormerError(f"Expected net {' or '.join(LABELS)}, got {net}.")
        made = EdgeVGG16Distance(weights) if net == EDGE_VGG else lpips_net(net, weights)
        self.label = labelled(LABELS[net], weights, BACKBONES.get(net)) + self.fed
        self.net = made.to(device)

    def distance(self, images: Tensor, truths: Tensor) -> Tensor:
        return self.net(images, truths).flatten()


@METRIC_REGISTRY.register()
def calculate_lpips(
    img: Image,
    img2: Image,
    net: str = "vgg",
    weights: str | None = None,
    batch_size: int = BATCH_SIZE,
    colors: str = "rgb",
    black: float = -1,
    **kwargs: Any,
) -> float:
    """LPIPS of one face. This project's models compute it in batches, see :class:`LPIPSCollector`.

    Args:
        img, img2: BGR ``(h, w, 3)`` uint8.
        net, weights, batch_size, colors, black: see :class:`LPIPSCollector`.
    """
    return of_one_pair(LPIPSCollector, img, img2, net=net, weights=weights, colors=colors, black=black)


COLLECTORS[calculate_lpips.__name__] = LPIPSCollector
