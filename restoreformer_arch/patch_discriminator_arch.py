"""The discriminator D of the whole face (Eq. 12 and 17): a PatchGAN."""

from collections.abc import Iterator

from torch import Tensor, nn

from restoreformer.archs.shared_batch_norm import SharedBatchNorm


class PatchDiscriminator(nn.Module):
    """Logits of real and generated for overlapping patches (Isola et al. 2017, as released).

    Args:
        ndf: width of the first layer; doubled by each of the next, up to eight times.
        n_layers: number of 4x4 convolutions of stride 2.

    Shapes: RGB ``(n, 3, H, W)``, [-1, 1], to logits ``(n, 1, h, w)``, 6x6 for 64x64 at three layers.
    """

    def __init__(self, ndf: int = 64, n_layers: int = 3) -> None:
        super().__init__()
        self.main = nn.Sequential(*self._layers(ndf, n_layers))
        self.apply(self._initialise)

    @staticmethod
    def _layers(ndf: int, n_layers: int) -> Iterator[nn.Module]:
        yield nn.Conv2d(3, ndf, 4, stride=2, padding=1)
        yield nn.LeakyReLU(0.2, inplace=True)
        width = ndf
        for i in range(1, n_layers + 1):
            out = ndf * min(2**i, 8)
            yield nn.Conv2d(width, out, 4, stride=2 if i < n_layers else 1, padding=1, bias=False)
            yield SharedBatchNorm(out)
            yield nn.LeakyReLU(0.2, inplace=True)
            width = out
        yield nn.Conv2d(width, 1, 4, padding=1)

    @staticmethod
    def _initialise(layer: nn.Module) -> None:
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x)
