"""MobileFaceNet (Chen et al. 2018), a small face recognition network; trained with ArcFace's loss, as a rule."""

from torch import Tensor, nn

# Expansion, channels, blocks and first stride of each group of bottlenecks (Table 1 of its paper).
GROUPS = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))


class Convolution(nn.Module):
    """Convolution, batch norm and, unless ``linear``, PReLU."""

    def __init__(
        self, a: int, b: int, kernel: int | tuple[int, int], stride: int = 1, groups: int = 1, linear: bool = False
    ) -> None:
        super().__init__()
        padding = 1 if kernel == 3 else 0
        self.conv = nn.Conv2d(a, b, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(b)
        self.prelu = nn.Identity() if linear else nn.PReLU(b)

    def forward(self, x: Tensor) -> Tensor:
        return self.prelu(self.bn(self.conv(x)))


class Bottleneck(nn.Module):
    """MobileNetV2's inverted residual with PReLU."""

    def __init__(self, a: int, b: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = a * expansion
        self.conv = nn.Sequential(
            nn.Conv2d(a, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.PReLU(wide),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.PReLU(wide),
            nn.Conv2d(wide, b, 1, bias=False),
            nn.BatchNorm2d(b),
        )
        self.residual = stride == 1 and a == b

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileFaceNet(nn.Module):
    """Embedding of a face, under the tensor names of the public checkpoints for 112x96.

    Shapes: aligned RGB faces ``(n, 3, 112, 96)``, about [-1, 1], to ``(n, 128)``, not normalised.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = Convolution(3, 64, 3, stride=2)
        self.dw_conv1 = Convolution(64, 64, 3, groups=64)
        blocks, channels = [], 64
        for expansion, width, count, stride in GROUPS:
            for i in range(count):
                blocks.append(Bottleneck(channels, width, stride if i == 0 else 1, expansion))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.conv2 = Convolution(channels, 512, 1)
        self.linear7 = Convolution(512, 512, (7, 6), groups=512, linear=True)
        self.linear1 = Convolution(512, 128, 1, linear=True)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(self.blocks(self.dw_conv1(self.conv1(x))))
        return self.linear1(self.linear7(h)).flatten(1)
