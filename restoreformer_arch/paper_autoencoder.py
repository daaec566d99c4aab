"""Encoder and decoder as the paper describes them (Sec. 3.1), around the dictionary."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from restoreformer.archs.autoencoder import VQAutoencoder
from restoreformer.archs.blocks import AveragePool, Level, NearestUpsample, NormSiLU
from restoreformer.archs.vector_quantizer import VectorQuantizer
from restoreformer.archs.vgg19 import VGG19Encoder
from restoreformer.errors import RestoreFormerError


class PaperEncoder(nn.Module):
    """E_h and E_d: residual blocks and average poolings, ``(n, 3, H, W)`` to ``(n, embed_dim, H/f, W/f)``."""

    def __init__(self, ch: int, widths: Sequence[int], num_res_blocks: int, embed_dim: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(3, ch, 3, padding=1)
        self.down = nn.ModuleList()
        width = ch
        for i, out in enumerate(widths):
            resample = {"downsample": AveragePool()} if i < len(widths) - 1 else {}
            self.down.append(Level([width] + [out] * num_res_blocks, None, **resample))
            width = out
        self.norm_out = NormSiLU(width)
        self.conv_out = nn.Conv2d(width, embed_dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv_in(x)
        for level in self.down:
            h, _ = level(h)
        return self.conv_out(self.norm_out(h))


class PaperDecoder(nn.Module):
    """D_h and D_d: residual blocks and nearest upsamplings, ``(n, embed_dim, h, w)`` to ``(n, 3, h*f, w*f)``."""

    def __init__(self, widths: Sequence[int], num_res_blocks: int, embed_dim: int) -> None:
        super().__init__()
        width = widths[-1]
        self.conv_in = nn.Conv2d(embed_dim, width, 3, padding=1)
        self.up = nn.ModuleList()
        for i, out in reversed(list(enumerate(widths))):
            resample = {"upsample": NearestUpsample()} if i > 0 else {}
            self.up.append(Level([width] + [out] * num_res_blocks, None, **resample))
            width = out
        self.norm_out = NormSiLU(width)
        self.conv_out = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        h = self.conv_in(z)
        for level in self.up:
            h, _ = level(h)
        return self.conv_out(self.norm_out(h))


class PaperAutoencoder(VQAutoencoder):
    """Encoder, dictionary and decoder of the paper.

    Args:
        n_embed: M, number of dictionary entries.
        embed_dim: C, length of an entry and channels of Z.
        ch: base width; a multiple of 32.
        ch_mult: width of each level as a multiple of ``ch``; each level but the last halves the sides.
        num_res_blocks: residual blocks for each level of the encoder and of the decoder.
        resolution: the input size that training uses.
        encoder: ``learned``, or ``vgg19`` for the recognition-oriented dictionary (end of Sec. 4.4): a
            fixed :class:`~restoreformer.archs.vgg19.VGG19Encoder`, whose width ``embed_dim`` must be.

    The defaults are the paper's as far as it gives them: 512x512 images, Z of 16x16x256, 1024 entries,
    12 residual blocks and 5 poolings. Widths are those of the released network.

    Raises:
        RestoreFormerError: a configuration that cannot be built.
    """

    encoder: PaperEncoder | VGG19Encoder
    decoder: PaperDecoder

    def __init__(
        self,
        n_embed: int = 1024,
        embed_dim: int = 256,
        ch: int = 64,
        ch_mult: Sequence[int] = (1, 2, 2, 4, 4, 8),
        num_res_blocks: int = 2,
        resolution: int = 512,
        encoder: str = "learned",
    ) -> None:
        config: dict[str, Any] = {
            "n_embed": n_embed,
            "embed_dim": embed_dim,
            "ch": ch,
            "ch_mult": list(ch_mult),
            "num_res_blocks": num_res_blocks,
            "resolution": resolution,
            "encoder": encoder,
        }
        super().__init__(config)
        widths = [ch * m for m in ch_mult]
        if encoder == "learned":
            self.encoder = PaperEncoder(ch, widths, num_res_blocks, embed_dim)
        elif encoder == "vgg19":
            self.encoder = VGG19Encoder(len(ch_mult), embed_dim)
        else:
            raise RestoreFormerError(f"Expected encoder learned or vgg19, got {encoder}.")
        self.quantize = VectorQuantizer(n_embed, embed_dim)
        self.decoder = PaperDecoder(widths, num_res_blocks, embed_dim)

    def _encode(self, x: Tensor) -> tuple[Tensor, None]:
        return self.encoder(x), None
