"""Encoder, decoder and the networks made of them in the released structure.

Tensor names and hyperparameter names are those of the released checkpoints; one class serves the
HQ dictionary (Sec. 3.2) and RestoreFormer (Sec. 3.1), which differ only in where the decoder's
attention takes its queries from.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from restoreformer.archs.autoencoder import VQAutoencoder
from restoreformer.archs.blocks import Downsample, Level, MiddleBlocks, MultiHeadAttention, NormSiLU, Upsample
from restoreformer.archs.vector_quantizer import VectorQuantizer
from restoreformer.errors import RestoreFormerError


class EncoderQueries(NamedTuple):
    """Encoder features that the decoder's cross-attention asks with, each ``(n, c, h, w)``.

    Attributes:
        mid: the middle's result, for the decoder's middle.
        levels: for the decoder's level of the same index. The lowest has the feature after the first
            middle block, another its own before it is halved (the released ``block_4`` is of level 4), or
            None where nothing asks.
    """

    mid: Tensor
    levels: tuple[Tensor | None, ...]


class Encoder(nn.Module):
    """E_h and E_d: ``(n, 3, H, W)`` to latents ``(n, z_channels, H/f, W/f)``, f = 2^(levels - 1)."""

    def __init__(
        self, ch: int, widths: Sequence[int], num_res_blocks: int, attn_levels: set[int], z_channels: int, heads: int
    ) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(3, ch, 3, padding=1)
        self.down = nn.ModuleList()
        width = ch
        for i, out in enumerate(widths):
            resample = {"downsample": Downsample(out)} if i < len(widths) - 1 else {}
            self.down.append(Level([width] + [out] * num_res_blocks, heads if i in attn_levels else None, **resample))
            width = out
        self.mid = MiddleBlocks(width, heads)
        self.norm_out = NormSiLU(width)
        self.conv_out = nn.Conv2d(width, z_channels, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, EncoderQueries]:
        h = self.conv_in(x)
        features = []
        for level in self.down:
            h, feature = level(h)
            features.append(feature)
        mid, features[-1] = self.mid(h)
        return self.conv_out(self.norm_out(mid)), EncoderQueries(mid, tuple(features))


class Decoder(nn.Module):
    """D_h and D_d: ``(n, z_channels, h, w)`` to an image ``(n, 3, h*f, w*f)``.

    With ``queries`` every attention is a cross-attention (MHCA) from the encoder's features to the
    prior's; without, self-attention.
    """

    def __init__(
        self, ch: int, widths: Sequence[int], num_res_blocks: int, attn_levels: set[int], z_channels: int, heads: int
    ) -> None:
        super().__init__()
        width = widths[-1]
        self.conv_in = nn.Conv2d(z_channels, width, 3, padding=1)
        self.mid = MiddleBlocks(width, heads)
        levels = []
        for i in reversed(range(len(widths))):
            out = widths[i]
            resample = {"upsample": Upsample(out)} if i > 0 else {}
            levels.append(
                Level([width] + [out] * (num_res_blocks + 1), heads if i in attn_levels else None, **resample)
            )
            width = out
        self.up = nn.ModuleList(reversed(levels))
        self.norm_out = NormSiLU(width)
        self.conv_out = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, z: Tensor, queries: EncoderQueries | None = None) -> Tensor:
        h, _ = self.mid(self.conv_in(z), None if queries is None else queries.mid)
        for i in reversed(range(len(self.up))):
            h, _ = self.up[i](h, None if queries is None else queries.levels[i])
        return self.conv_out(self.norm_out(h))


class ReleasedAutoencoder(VQAutoencoder):
    """Encoder, dictionary and decoder of the released checkpoints.

    Args:
        n_embed: M, number of dictionary entries.
        embed_dim: length of an entry.
        ch: base width; a multiple of 32.
        ch_mult: width of each level as a multiple of ``ch``; each level but the last halves the sides.
        num_res_blocks: residual blocks for each encoder level (the decoder has one more).
        attn_resolutions: resolutions (for an input of ``resolution``) whose blocks attend.
        resolution: the input size that ``attn_resolutions`` refers to, and that training uses.
        z_channels: channels between encoder and ``quant_conv``.
        head_size: NUMBER of attention heads (the released name).

    The defaults are the released configuration: 512x512 images, latents of 16x16x256.

    Raises:
        RestoreFormerError: a configuration that cannot be built.
    """

    CROSS_ATTENTION: ClassVar[bool]
    encoder: Encoder
    decoder: Decoder

    def __init__(
        self,
        n_embed: int = 1024,
        embed_dim: int = 256,
        ch: int = 64,
        ch_mult: Sequence[int] = (1, 2, 2, 4, 4, 8),
        num_res_blocks: int = 2,
        attn_resolutions: Sequence[int] = (16,),
        resolution: int = 512,
        z_channels: int = 256,
        head_size: int = 8,
    ) -> None:
        config: dict[str, Any] = {
            "n_embed": n_embed,
            "embed_dim": embed_dim,
            "ch": ch,
            "ch_mult": list(ch_mult),
            "num_res_blocks": num_res_blocks,
            "attn_resolutions": list(attn_resolutions),
            "resolution": resolution,
            "z_channels": z_channels,
            "head_size": head_size,
        }
        super().__init__(config)
        among = slice(-1, None) if self.CROSS_ATTENTION else slice(None)
        attn_levels = self._levels("attn_resolutions", attn_resolutions, among)
        widths = [ch * m for m in ch_mult]
        self.encoder = Encoder(ch, widths, num_res_blocks, attn_levels, z_channels, head_size)
        self.decoder = Decoder(ch, widths, num_res_blocks, attn_levels, z_channels, head_size)
        self.quantize = VectorQuantizer(n_embed, embed_dim)
        self.quant_conv = nn.Conv2d(z_channels, embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(embed_dim, z_channels, 1)
        for attention in attentions(self):
            # Self-attention has one input. DDP stops at parameters that never get a gradient.
            attention.norm2.requires_grad_(False)

    def _levels(self, option: str, resolutions: Sequence[int], among: slice) -> set[int]:
        """The levels of ``resolutions``, which must be among that part of all."""
        sizes = [self.resolution // 2**i for i in range(len(self.config["ch_mult"]))]
        if wrong := sorted(set(resolutions) - set(sizes[among])):
            raise RestoreFormerError(
                f"Expected {option} among {sizes[among]} for resolution {self.resolution}, got {wrong}."
            )
        return {sizes.index(size) for size in resolutions}

    def _encode(self, x: Tensor) -> tuple[Tensor, EncoderQueries]:
        features, queries = self.encoder(x)
        return self.quant_conv(features), queries

    def _decode(self, latents: Tensor, prior: Tensor, queries: EncoderQueries) -> Tensor:
        return self.decode_prior(prior)

    def decode_prior(self, prior: Tensor) -> Tensor:
        return self.decoder(self.post_quant_conv(prior))

    def half_parts(self) -> list[nn.Module]:
        return [*super().half_parts(), self.post_quant_conv]

    def is_attention(self, name: str) -> bool:
        return name.startswith("decoder.") and ".attn" in name


def attentions(part: nn.Module) -> list[MultiHeadAttention]:
    """Every attention layer in ``part``."""
    return [module for module in part.modules() if isinstance(module, MultiHeadAttention)]
