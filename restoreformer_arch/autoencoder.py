"""Encoder, decoder and the VQ autoencoder around the dictionary, in the released structure.

Tensor names and hyperparameter names are those of the released checkpoints; one class serves the
HQ dictionary (Sec. 3.2) and RestoreFormer (Sec. 3.1), which differ only in where the decoder's
attention takes its queries from.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, overload

from torch import Tensor, nn
from torch.nn import functional as F

from restoreformer.archs.blocks import (
    Downsample,
    Level,
    MiddleBlocks,
    MultiHeadAttention,
    Upsample,
    group_norm,
    straight_through,
)
from restoreformer.archs.vector_quantizer import VectorQuantizer
from restoreformer.errors import RestoreFormerError


class EncoderQueries(NamedTuple):
    """Encoder features that the decoder's cross-attention asks with, both ``(n, c, h, w)`` at the
    lowest resolution."""

    mid_block_1: Tensor
    mid: Tensor


class AutoencoderOutput(NamedTuple):
    """What training needs of one pass.

    Attributes:
        image: the result, ``(n, 3, H, W)``, about [-1, 1].
        latents: Z_h or Z_d, ``(n, embed_dim, h, w)``.
        prior: Z_p, the nearest dictionary entries, same shape; gradients reach the dictionary only.
        indices: which entries, ``(n, h, w)``, int64.
    """

    image: Tensor
    latents: Tensor
    prior: Tensor
    indices: Tensor


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
        self.norm_out = group_norm(width)
        self.conv_out = nn.Conv2d(width, z_channels, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, EncoderQueries]:
        h = self.conv_in(x)
        for level in self.down:
            h = level(h)
        mid, mid_block_1 = self.mid(h)
        return self.conv_out(F.silu(self.norm_out(mid))), EncoderQueries(mid_block_1, mid)


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
        self.norm_out = group_norm(width)
        self.conv_out = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, z: Tensor, queries: EncoderQueries | None = None) -> Tensor:
        h, _ = self.mid(self.conv_in(z), None if queries is None else queries.mid)
        for level in reversed(self.up):
            h = level(h, None if queries is None else queries.mid_block_1)
        return self.conv_out(F.silu(self.norm_out(h)))


class VQAutoencoder(nn.Module):
    """Encoder, dictionary, decoder.

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
        RestoreFormerError: a configuration that cannot be built, or an input that does not fit it.
    """

    cross_attention: bool

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
        super().__init__()
        self.config: dict[str, int | list[int]] = {
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
        self.resolution = resolution
        self.size_multiple = 2 ** (len(ch_mult) - 1)
        attn_levels = self._attention_levels(attn_resolutions)
        widths = [ch * m for m in ch_mult]
        self.encoder = Encoder(ch, widths, num_res_blocks, attn_levels, z_channels, head_size)
        self.decoder = Decoder(ch, widths, num_res_blocks, attn_levels, z_channels, head_size)
        self.quantize = VectorQuantizer(n_embed, embed_dim)
        self.quant_conv = nn.Conv2d(z_channels, embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(embed_dim, z_channels, 1)
        for part in (self.encoder,) if self.cross_attention else (self.encoder, self.decoder):
            for module in part.modules():
                if isinstance(module, MultiHeadAttention):
                    # Self-attention has one input. DDP stops at parameters that never get a gradient.
                    module.norm2.requires_grad_(False)

    def _attention_levels(self, attn_resolutions: Sequence[int]) -> set[int]:
        levels = len(self.config["ch_mult"])  # type: ignore[arg-type]
        sizes = [self.resolution // 2**i for i in range(levels)]
        allowed = sizes[-1:] if self.cross_attention else sizes
        if wrong := sorted(set(attn_resolutions) - set(allowed)):
            raise RestoreFormerError(
                f"Expected attn_resolutions among {allowed} for resolution {self.resolution}, got {wrong}."
            )
        return {sizes.index(size) for size in attn_resolutions}

    @overload
    def forward(self, x: Tensor) -> Tensor: ...

    @overload
    def forward(self, x: Tensor, with_latents: Literal[True]) -> AutoencoderOutput: ...

    def forward(self, x: Tensor, with_latents: bool = False) -> Tensor | AutoencoderOutput:
        """Reconstruct or restore.

        Args:
            x: RGB images, ``(n, 3, H, W)``, [-1, 1]; H and W multiples of ``size_multiple`` (32 for the
                released configuration).
            with_latents: return all of :class:`AutoencoderOutput` instead of the image alone.
        """
        if x.ndim != 4 or x.shape[1] != 3 or any(s % self.size_multiple or not s for s in x.shape[2:]):
            raise RestoreFormerError(
                f"Expected images of shape (n, 3, H, W) with H and W multiples of {self.size_multiple}, got "
                f"{tuple(x.shape)}: pad or resize them."
            )
        latents, queries = self._encode(x)
        prior, indices = self.quantize(latents)
        z = self.post_quant_conv(straight_through(prior, latents))
        image = self.decoder(z, queries if self.cross_attention else None)
        return AutoencoderOutput(image, latents, prior, indices) if with_latents else image

    def encode(self, x: Tensor) -> Tensor:
        """Z_h or Z_d of images ``(n, 3, H, W)``: ``(n, embed_dim, h, w)``."""
        return self._encode(x)[0]

    def _encode(self, x: Tensor) -> tuple[Tensor, EncoderQueries]:
        features, queries = self.encoder(x)
        return self.quant_conv(features), queries
