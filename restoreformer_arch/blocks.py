"""The layers that the encoder and the decoder are made of, with the released tensor names."""

import itertools
import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from restoreformer.errors import RestoreFormerError

NORM_GROUPS = 32


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """What runs inside keeps the precision of its inputs; on devices that know autocast at all, and where it is on."""
    if not torch.amp.is_autocast_available(device.type) or not torch.is_autocast_enabled(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


class Norm(nn.GroupNorm):
    """GroupNorm with 32 groups and eps 1e-6 (released code).

    In and out in the input's precision, and inside in float32: CUDA's kernel would round mean and deviation
    to the input's. Autocast on CUDA would give float32 out, and twice the memory for what follows up to the
    next convolution.

    Raises:
        RestoreFormerError: ``channels`` is not a multiple of 32.
    """

    def __init__(self, channels: int) -> None:
        if channels % NORM_GROUPS:
            raise RestoreFormerError(
                f"Expected a number of channels that {NORM_GROUPS} divides, got {channels}: change ch or ch_mult."
            )
        super().__init__(NORM_GROUPS, channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        # The CPU's kernel computes in float32 by itself, but its way back is slow: half of an iteration.
        by_itself = x.dtype.itemsize >= 4 or (x.device.type == "cpu" and not x.requires_grad)
        inner = x.dtype if by_itself else torch.float32
        with without_autocast(x.device):
            weight, bias = self.weight.to(inner), self.bias.to(inner)
            return F.group_norm(x.to(inner), self.num_groups, weight, bias, self.eps).to(x.dtype)


class NormSiLU(Norm):
    """The same, then SiLU, in place where no gradient will ask for what was there."""

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(super().forward(x), inplace=not torch.is_grad_enabled())


class ResidualBlock(nn.Module):
    """Norm, SiLU, 3x3 convolution, twice, beside a 1x1 shortcut where the width changes (Sec. 3.1).

    With ``checkpointing`` nothing between input and output is kept for the way back: it is computed again.

    Shapes: ``(n, in_channels, h, w)`` to ``(n, out_channels, h, w)``.
    """

    checkpointing = False

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm1 = NormSiLU(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = NormSiLU(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.nin_shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else None

    def forward(self, x: Tensor) -> Tensor:
        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(self._forward, x, use_reentrant=False, preserve_rng_state=False)
        return self._forward(x)

    def _forward(self, x: Tensor) -> Tensor:
        h = self.conv1(self.norm1(x))
        h = self.conv2(self.norm2(h))
        h += x if self.nin_shortcut is None else self.nin_shortcut(x)
        return h


class AveragePool(nn.AvgPool2d):
    """Halve the sides by 2x2 means (Sec. 3.1)."""

    def __init__(self) -> None:
        super().__init__(2)


class NearestUpsample(nn.Upsample):
    """Double the sides by nearest neighbour (Sec. 3.1)."""

    def __init__(self) -> None:
        super().__init__(scale_factor=2.0, mode="nearest")


class Downsample(nn.Module):
    """Halve the sides by a 3x3 convolution of stride 2, padded right and bottom (released code)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Double the sides by nearest neighbour, then a 3x3 convolution (released code).

    Of the nine pixels that each result is made of, many are the same: with their weights added up, four
    are left. That is a transposed convolution, equal up to rounding with 4/9 of the operations.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, self.kernel(), self.conv.bias, stride=2, padding=1)

    def kernel(self) -> Tensor:
        """The weights of that transposed convolution, ``(channels, channels, 4, 4)``."""
        return _doubling(_doubling(self.conv.weight, 2), 3).transpose(0, 1)


def _doubling(weight: Tensor, dim: int) -> Tensor:
    """Along ``dim``, the four taps that a transposed convolution of stride 2 doubles and filters with."""
    before, here, after = weight.unbind(dim)
    return torch.stack([after, here + after, before + here, before], dim)


class Attention(nn.Module):
    """Fully spatial multi-head attention from one feature map to another (Eq. 1, 2, 3 and 5).

    W_q, W_k and W_v with their biases are 1x1 convolutions. Without ``queries`` it is self-attention.

    Args:
        channels: width of both maps.
        heads: number of heads N_h; must divide ``channels``.

    Raises:
        RestoreFormerError: ``heads`` does not divide ``channels``, or the two maps differ in shape.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise RestoreFormerError(f"Expected heads (head_size) that divide {channels} channels, got {heads}.")
        self.heads = heads
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)

    def project(self, x: Tensor, queries: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Q, K and V, each ``(n, channels, h, w)`` as ``x`` and ``queries`` are."""
        return self.q(x if queries is None else queries), self.k(x), self.v(x)

    def forward(self, x: Tensor, queries: Tensor | None = None) -> Tensor:
        """Z_mh by itself; layers made of it may add to it."""
        return self.attend(x, queries)

    def attend(self, x: Tensor, queries: Tensor | None = None) -> Tensor:
        """Z_mh, ``(n, channels, h, w)``: ``queries`` (or ``x`` itself) ask, ``x`` answers."""
        q, k, v = self._heads(x, queries)
        return F.scaled_dot_product_attention(q, k, v).transpose(2, 3).reshape(x.shape)

    def maps(self, x: Tensor, queries: Tensor | None = None) -> Tensor:
        """The weights of Eq. 2, ``(n, heads, h*w, h*w)``; each row, of one asking place, sums to 1."""
        q, k, _ = self._heads(x, queries)
        return torch.softmax(q @ k.transpose(2, 3) / math.sqrt(q.shape[-1]), -1)

    def _heads(self, x: Tensor, queries: Tensor | None) -> tuple[Tensor, ...]:
        if queries is not None and queries.shape != x.shape:
            raise RestoreFormerError(f"Expected queries of shape {tuple(x.shape)}, got {tuple(queries.shape)}.")
        n, c, h, w = x.shape
        return tuple(t.reshape(n, self.heads, c // self.heads, h * w).transpose(2, 3) for t in self.project(x, queries))


class MultiHeadAttention(Attention):
    """Attention in the released form: a residual layer with norms and an output projection.

    GroupNorm on both inputs before W_q, W_k, W_v, a 1x1 projection after, and the result added to the
    map that keys and values come from, or to that of the queries. ``norm2`` is the queries' and has no
    part in self-attention.

    Shapes: both maps and the result are ``(n, channels, h, w)``.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__(channels, heads)
        self.norm1 = Norm(channels)
        self.norm2 = Norm(channels)
        self.proj_out = nn.Conv2d(channels, channels, 1)
        # MHCA-D of Table 4 instead of MHCA-P.
        self.add_to_queries = False

    def project(self, x: Tensor, queries: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        return super().project(self.norm1(x), None if queries is None else self.norm2(queries))

    def forward(self, x: Tensor, queries: Tensor | None = None) -> Tensor:
        """Attend from ``queries`` (or ``x`` itself) to ``x``."""
        residual = queries if self.add_to_queries and queries is not None else x
        return residual + self.proj_out(self.attend(x, queries))


class MiddleBlocks(nn.Module):
    """Block, attention, block at the lowest resolution (released ``mid``)."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.block_1 = ResidualBlock(channels, channels)
        self.attn_1 = MultiHeadAttention(channels, heads)
        self.block_2 = ResidualBlock(channels, channels)

    def forward(self, x: Tensor, queries: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The result, and the feature map after the first block."""
        first = self.block_1(x)
        return self.block_2(self.attn_1(first, queries)), first


class Level(nn.Module):
    """One resolution of the encoder or decoder: residual blocks, each followed by attention or not.

    Args:
        widths: channels before the first block and after each block.
        heads: heads of the attention after each block, or None for no attention.
        resample: the layer that leaves this resolution, registered under its released name.
    """

    def __init__(self, widths: list[int], heads: int | None, **resample: nn.Module) -> None:
        super().__init__()
        self.block = nn.ModuleList(ResidualBlock(a, b) for a, b in itertools.pairwise(widths))
        self.widths = widths[1:]
        self.attn = nn.ModuleList()
        if heads is not None:
            self.add_attention(heads)
        self.resample_names = tuple(resample)
        for name, layer in resample.items():
            self.add_module(name, layer)
        # Whether a decoder asks with the feature map of this resolution.
        self.keeps_feature = False

    def add_attention(self, heads: int) -> None:
        """Let an attention of so many heads follow each block."""
        self.attn.extend(MultiHeadAttention(width, heads) for width in self.widths)

    def forward(self, x: Tensor, queries: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """The result, and, where it is kept, the feature map that leaves this resolution."""
        for i, block in enumerate(self.block):
            x = block(x)
            if self.attn:
                x = self.attn[i](x, queries)
        feature = x if self.keeps_feature else None
        for name in self.resample_names:
            x = getattr(self, name)(x)
        return x, feature


def straight_through(values: Tensor, gradient_to: Tensor) -> Tensor:
    """``values`` going forward, the identity to ``gradient_to`` going back (end of Sec. 3.2)."""
    if torch.is_grad_enabled() and gradient_to.requires_grad:
        return gradient_to + (values - gradient_to).detach()
    return values.detach()
