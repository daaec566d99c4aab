"""VGG-16 as one would first write it, in float64."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

# Convolutions of each stage; a pooling stands between stages.
STAGES = (2, 2, 3, 3, 3)


def plain_vgg16(tensors: Mapping[str, Tensor], x: Tensor) -> list[tuple[Tensor, Tensor]]:
    """What the last convolution of each stage gives, and the same rectified.

    Args:
        tensors: the state dict of torchvision's ``vgg16().features``.
        x: normalised images ``(n, 3, h, w)``.
    """
    found, place = [], 0
    for stage, convolutions in enumerate(STAGES):
        if stage:
            x, place = F.max_pool2d(x, 2), place + 1
        for _ in range(convolutions):
            weight, bias = tensors[f"{place}.weight"].double(), tensors[f"{place}.bias"].double()
            last = F.conv2d(x.double(), weight, bias, padding=1)
            x, place = last.relu(), place + 2
        found.append((last, x))
    return found


def caffe(rgb: Tensor) -> Tensor:
    """RGB ``(n, 3, h, w)`` in [-1, 1] as Caffe's networks take it: B, G, R from 0 to 255, less their means."""
    red, green, blue = ((rgb.double() + 1) * 127.5).split(1, dim=1)
    return torch.cat([blue - 103.939, green - 116.779, red - 123.68], dim=1)
