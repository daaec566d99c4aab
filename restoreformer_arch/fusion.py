"""How degraded features and prior come together: MHCA (Eq. 5 to 8) and the variants of Table 4."""

from torch import Tensor, nn

from restoreformer.archs.blocks import Attention
from restoreformer.errors import RestoreFormerError

FUSIONS = ("none", "mhsa-degraded", "mhsa-prior", "sft", "mhca-d", "mhca-p")
# "Two consecutive MHCA" (Eq. 8); the variants have as many.
BLOCKS = 2


class ChannelNorm(nn.LayerNorm):
    """LN of Eq. 4 and 6: layer normalisation over the channels of each place of ``(n, c, h, w)``."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class AttentionBlock(nn.Module):
    """``FFN(LN(Z_mh + residual))`` (Eq. 4 and 6).

    FFN is "composed by two convolution layers": 3x3 at one width with a SiLU between, as elsewhere in
    the network; the paper gives neither.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.attention = Attention(channels, heads)
        self.norm = ChannelNorm(channels)
        self.ffn = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1)
        )

    def forward(self, x: Tensor, queries: Tensor, residual: Tensor) -> Tensor:
        """``queries`` ask ``x``; all ``(n, channels, h, w)``."""
        return self.ffn(self.norm(self.attention(x, queries) + residual))


class SpatialFeatureTransform(nn.Module):
    """Scale and shift each place of a feature map by what another says there (SFT, Wang et al. 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = self._condition(channels)
        self.shift = self._condition(channels)

    @staticmethod
    def _condition(channels: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """``x`` and ``condition``, both ``(n, channels, h, w)``."""
        return x * (1 + self.scale(condition)) + self.shift(condition)


class Fusion(nn.Module):
    """From Z_d and Z_p to Z'_f.

    Args:
        fusion: the row of Table 4:
            ``none`` (exp1), Z_d as it is;
            ``mhsa-degraded`` (exp2), Z_d attends to itself (Eq. 4), twice;
            ``mhsa-prior`` (exp3), Z_p attends to itself, twice;
            ``sft`` (exp4), Z_p is modulated by Z_d place by place, twice;
            ``mhca-d`` (exp5), as ``mhca-p``, but Z_mh is added to Z_d;
            ``mhca-p``, RestoreFormer: MHCA(Z_d, MHCA(Z_d, Z_p)) (Eq. 6 and 8).
        channels: width of Z_d and Z_p.
        heads: number of attention heads N_h.

    Shapes: Z_d, Z_p and the result are ``(n, channels, h, w)``.

    Raises:
        RestoreFormerError: another name, or heads that do not divide the channels.
    """

    def __init__(self, fusion: str, channels: int, heads: int) -> None:
        super().__init__()
        if fusion not in FUSIONS:
            raise RestoreFormerError(f"Expected fusion among {', '.join(FUSIONS)}, got {fusion}.")
        self.kind = fusion
        self.blocks = nn.ModuleList(
            SpatialFeatureTransform(channels) if fusion == "sft" else AttentionBlock(channels, heads)
            for _ in range(0 if fusion == "none" else BLOCKS)
        )

    def forward(self, latents: Tensor, prior: Tensor) -> Tensor:
        fused = latents if self.kind in ("none", "mhsa-degraded") else prior
        for block in self.blocks:
            if self.kind == "sft":
                fused = block(fused, latents)
            elif self.kind.startswith("mhsa"):
                fused = block(fused, queries=fused, residual=fused)
            else:
                fused = block(fused, queries=latents, residual=latents if self.kind == "mhca-d" else fused)
        return fused
