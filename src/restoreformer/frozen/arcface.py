"""The face recognition network eta of the identity loss (Eq. 12): ArcFace's ResNet-18."""

import itertools

from torch import Tensor, nn


class ImprovedResidualBlock(nn.Module):
    """ArcFace's "IR" block without squeeze-and-excitation (Deng et al. 2019)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.bn0 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, in_channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.prelu = nn.PReLU()
        self.conv2 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        h = self.prelu(self.bn1(self.conv1(self.bn0(x))))
        h = self.bn2(self.conv2(h))
        return self.prelu(h + (x if self.downsample is None else self.downsample(x)))


class ArcFaceResNet18(nn.Module):
    """Embedding of a face, with the tensor names of ``arcface_resnet18.pth``.

    Shapes: aligned grey faces ``(n, 1, 128, 128)``, [-1, 1], to ``(n, 512)``, not normalised.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.prelu = nn.PReLU()
        self.maxpool = nn.MaxPool2d(2)
        widths = (64, 64, 128, 256, 512)
        for i, (a, b) in enumerate(itertools.pairwise(widths), 1):
            first = ImprovedResidualBlock(a, b, stride=1 if i == 1 else 2)
            self.add_module(f"layer{i}", nn.Sequential(first, ImprovedResidualBlock(b, b, stride=1)))
        self.bn4 = nn.BatchNorm2d(512)
        self.dropout = nn.Dropout()
        self.fc5 = nn.Linear(512 * 8 * 8, 512)
        self.bn5 = nn.BatchNorm1d(512)

    def forward(self, x: Tensor) -> Tensor:
        h = self.maxpool(self.prelu(self.bn1(self.conv1(x))))
        for i in range(1, 5):
            h = self.get_submodule(f"layer{i}")(h)
        return self.bn5(self.fc5(self.dropout(self.bn4(h)).flatten(1)))
