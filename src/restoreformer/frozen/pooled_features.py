"""Networks whose pooled features a Fréchet distance compares."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from basicsr.archs import inception
from torch import Tensor, nn
from torch.nn import functional as F

from restoreformer.errors import RestoreFormerError
from restoreformer.frozen.vgg import ImageNetNormalize
from restoreformer.frozen.weights import load_frozen, read_weights

# The network of the FID (Heusel et al. 2017), carried over to torch by pytorch-fid's author.
INCEPTION_FILE = "pt_inception-2015-12-05-6726825d.pth"
# Side to which MobileNetV2's images are resized; what it was trained with.
MOBILENET_SIDE = 224


class PooledFeatures(nn.Module):
    """Features of whole images.

    Args:
        network: ``inception`` (of which alone a distance is called FID; BasicSR's class, which resizes to 299x299,
            bilinear) or ``mobilenet_v2`` (torchvision's, at 224x224, averaged down).
        weights: a file of ``restoreformer.pretrained.FILES`` or a path; without it Inception's official one.
        what: what the network is for, for messages.

    Shapes: images ``(n, 3, h, w)``, RGB, [-1, 1], to ``(n, 2048)`` or ``(n, 1280)``.

    Raises:
        RestoreFormerError: another network, or weights that cannot be had.
    """

    def __init__(self, network: str = "inception", weights: str | Path | None = None, what: str = "FID") -> None:
        super().__init__()
        if network not in FEATURE_NETWORKS:
            raise RestoreFormerError(f"Expected network {' or '.join(FEATURE_NETWORKS)}, got {network}.")
        self.net = FEATURE_NETWORKS[network](weights, what).eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images)


class _Inception(nn.Module):
    def __init__(self, weights: str | Path | None, what: str) -> None:
        super().__init__()
        path, tensors = read_weights(weights or INCEPTION_FILE)
        self.net = _basicsr_inception(tensors, path)

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images)[0].flatten(1)


def _basicsr_inception(tensors: Mapping[str, Any], path: Path) -> nn.Module:
    """BasicSR's class, which by itself takes its weights unchecked from a fixed place or the network."""
    kept = inception.LOCAL_FID_WEIGHTS, inception.load_url
    inception.LOCAL_FID_WEIGHTS, inception.load_url = "", lambda *_, **__: dict(tensors)
    try:
        return inception.InceptionV3([3], resize_input=True, normalize_input=False)
    except RuntimeError as error:
        raise RestoreFormerError(
            f"Expected FID's Inception in {path}, its tensors are another network's: take {INCEPTION_FILE}."
        ) from error
    finally:
        inception.LOCAL_FID_WEIGHTS, inception.load_url = kept


class _MobileNetV2(nn.Module):
    def __init__(self, weights: str | Path | None, what: str) -> None:
        super().__init__()
        from torchvision.models import mobilenet_v2

        net = mobilenet_v2(weights=None)
        load_frozen(net, weights, what)
        self.features = net.features
        self.normalize = ImageNetNormalize()

    def forward(self, images: Tensor) -> Tensor:
        size = (MOBILENET_SIDE, MOBILENET_SIDE)
        images = F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
        return self.features(self.normalize(images)).mean((2, 3))


FEATURE_NETWORKS: dict[str, type[nn.Module]] = {"inception": _Inception, "mobilenet_v2": _MobileNetV2}


@torch.inference_mode()
def dimension(network: nn.Module, device: torch.device) -> int:
    """How many features a network gives of an image."""
    return network(torch.zeros(1, 3, 64, 64, device=device)).shape[1]
