"""torchvision's VGG-19 as encoder of a recognition-oriented dictionary."""

from torch import Tensor, nn

from restoreformer.errors import RestoreFormerError
from restoreformer.frozen.vgg import ImageNetNormalize, vgg_layers

# Channels after each of the five poolings, and the place of the pooling in torchvision's ``features``.
WIDTHS = (64, 128, 256, 512, 512)
POOLINGS = (4, 9, 18, 27, 36)


class VGG19Encoder(nn.Module):
    """VGG-19 up to a pooling, fixed: E_d and E_h of the recognition-oriented dictionary (end of Sec. 4.4).

    The paper says that the encoder "is initialized by VGG and fixed", not which layer it ends at: here
    at the last pooling that the network's number of levels asks for, 16x16x512 for 512x512. Its
    weights are loaded by the model of stage 1, and are in its files.

    Args:
        levels: number of resolutions, two to six.
        embed_dim: must be the width at that pooling.

    Shapes: ``(n, 3, H, W)``, RGB, [-1, 1], to ``(n, embed_dim, H/f, W/f)``, f = 2^(levels - 1).

    Raises:
        RestoreFormerError: VGG-19 has not that many levels, or another width there.
    """

    def __init__(self, levels: int, embed_dim: int) -> None:
        super().__init__()
        if not 2 <= levels <= len(WIDTHS) + 1:
            raise RestoreFormerError(f"Expected ch_mult of two to six levels with encoder vgg19, got {levels}.")
        if embed_dim != WIDTHS[levels - 2]:
            raise RestoreFormerError(
                f"Expected embed_dim {WIDTHS[levels - 2]} with encoder vgg19 of {levels} levels, got {embed_dim}."
            )
        self.normalize = ImageNetNormalize()
        self.features = vgg_layers("vgg19", POOLINGS[levels - 2] + 1)
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.features(self.normalize(x))
