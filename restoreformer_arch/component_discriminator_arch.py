"""The discriminators D_r of eyes and mouth (Eq. 11), in plain PyTorch.

GFPGAN's facial component discriminator is built from StyleGAN2 layers that need a compiled
extension. The same layers are written here with torch's own operations, under the same tensor names.
"""

import math
from typing import Literal, overload

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ScaledConv2d(nn.Module):
    """Convolution with weights scaled at run time by 1/sqrt(fan-in) (Karras et al. 2018)."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, padding: int = 1, bias: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.scale = 1 / math.sqrt(in_channels * 9)
        self.stride, self.padding = stride, padding

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, stride=self.stride, padding=self.padding)


class BiasedLeakyReLU(nn.Module):
    """Add a bias, leaky ReLU of slope 0.2, times sqrt 2 (StyleGAN2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x + self.bias[:, None, None], 0.2) * math.sqrt(2)


class Blur(nn.Module):
    """The FIR low-pass (1, 3, 3, 1) x (1, 3, 3, 1) / 64 on each channel, padded by 2 on every side."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("kernel", torch.outer(taps, taps)[None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        return F.conv2d(x, self.kernel.expand(channels, 1, 4, 4), padding=2, groups=channels)


def same(in_channels: int, out_channels: int) -> nn.Sequential:
    """3x3 convolution that keeps the sides."""
    return nn.Sequential(ScaledConv2d(in_channels, out_channels), BiasedLeakyReLU(out_channels))


def halve(in_channels: int, out_channels: int) -> nn.Sequential:
    """Blur, then a 3x3 convolution of stride 2."""
    return nn.Sequential(
        Blur(), ScaledConv2d(in_channels, out_channels, stride=2, padding=0), BiasedLeakyReLU(out_channels)
    )


class ComponentDiscriminator(nn.Module):
    """Logits of real and generated for one facial component, and the features for its style loss.

    Shapes: RGB crops ``(n, 3, H, W)``, [-1, 1], to logits ``(n, 1, H/4, W/4)``; the features are
    ``(n, 128, H/2, W/2)`` and ``(n, 256, H/4, W/4)``. Any size: there is no linear layer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = same(3, 64)
        self.conv2 = halve(64, 128)
        self.conv3 = same(128, 128)
        self.conv4 = halve(128, 256)
        self.conv5 = same(256, 256)
        self.final_conv = nn.Sequential(ScaledConv2d(256, 1, bias=True))

    @overload
    def forward(self, x: Tensor) -> Tensor: ...

    @overload
    def forward(self, x: Tensor, with_features: Literal[True]) -> tuple[Tensor, list[Tensor]]: ...

    def forward(self, x: Tensor, with_features: bool = False) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Logits, and with ``with_features`` the two feature maps of Eq. 11 beside them."""
        first = self.conv3(self.conv2(self.conv1(x)))
        second = self.conv5(self.conv4(first))
        logits = self.final_conv(second)
        return (logits, [first, second]) if with_features else logits
