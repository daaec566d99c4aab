"""Features of images that need no weights."""

from torch import Tensor, nn
from torch.nn import functional as F


class Corners(nn.Module):
    """Means of the quarters of an image, 12 features, in the place of a network; takes no weights."""

    def __init__(self, weights: str | None, what: str) -> None:
        super().__init__()

    def forward(self, images: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(images.double(), 2).flatten(1)
