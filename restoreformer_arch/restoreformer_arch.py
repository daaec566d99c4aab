"""RestoreFormer (Sec. 3.1, Fig. 2c): the released network and the paper's, with the variants of Table 4."""

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor, nn

from restoreformer.archs.blocks import Level
from restoreformer.archs.fusion import FUSIONS, Fusion
from restoreformer.archs.paper_autoencoder import PaperAutoencoder
from restoreformer.archs.released_autoencoder import EncoderQueries, ReleasedAutoencoder, attentions
from restoreformer.errors import RestoreFormerError

RELEASED_FUSIONS = ("mhca-p", "mhca-d", "mhsa-prior", "mhsa-degraded")


class RestoreFormer(ReleasedAutoencoder):
    """E_d, the dictionary and D_d, whose attention asks with the degraded face's features.

    Unlike in Eq. 8 the cross-attentions stand inside the decoder: one in its middle, asked by the
    encoder's middle output, and one after each residual block at the lowest resolution, asked by the
    encoder's feature after its first middle block. So are the released checkpoints made.

    Args:
        fusion: a row of Table 4. ``mhca-p``, the released; ``mhca-d`` adds what attention gives to the
            queries instead of the prior; ``mhsa-prior`` and ``mhsa-degraded`` let the decoder attend to
            itself, fed with the prior or with the degraded features. ``none`` and ``sft`` are to be
            local, but this structure's encoder attends globally anyway: ``RestoreFormerPaper`` has them.
        extra_attn_resolutions: resolutions above the lowest (for an input of ``resolution``) whose decoder
            blocks have such an attention too, asked by the encoder's feature of that resolution. ``[32]``
            with ``head_size: 4`` is RestoreFormer++.
        sizes: arguments of :class:`~restoreformer.archs.released_autoencoder.ReleasedAutoencoder`.

    Raises:
        RestoreFormerError: another fusion, or a configuration that cannot be built.
    """

    CROSS_ATTENTION = True
    STAGE_1 = "HQDictionary"

    def __init__(self, fusion: str = "mhca-p", extra_attn_resolutions: Sequence[int] = (), **sizes: Any) -> None:
        if fusion not in RELEASED_FUSIONS:
            raise RestoreFormerError(
                f"Expected fusion among {', '.join(RELEASED_FUSIONS)}, got {fusion}"
                + (": RestoreFormerPaper has it." if fusion in FUSIONS else ".")
            )
        super().__init__(**sizes)
        self.fusion = fusion
        self.config |= {"fusion": fusion, "extra_attn_resolutions": list(extra_attn_resolutions)}
        for i in sorted(self._levels("extra_attn_resolutions", extra_attn_resolutions, slice(-1))):
            cast(Level, self.encoder.down[i]).keeps_feature = True
            cast(Level, self.decoder.up[i]).add_attention(self.config["head_size"])
            self.new_tensors += (f"decoder.up.{i}.attn.",)
        for attention in attentions(self.decoder):
            attention.add_to_queries = fusion == "mhca-d"
            attention.norm2.requires_grad_(fusion.startswith("mhca"))

    def _decode(self, latents: Tensor, prior: Tensor, queries: EncoderQueries) -> Tensor:
        z = self.post_quant_conv(latents if self.fusion == "mhsa-degraded" else prior)
        return self.decoder(z, queries if self.fusion.startswith("mhca") else None)


class RestoreFormerPaper(PaperAutoencoder):
    """RestoreFormer as Sec. 3.1 describes it: the fusion stands between the dictionary and the decoder.

    Args:
        fusion: a row of Table 4, see :class:`~restoreformer.archs.fusion.Fusion`.
        heads: number of attention heads N_h (the paper does not give it; the released network has 8).
        sizes: arguments of :class:`~restoreformer.archs.paper_autoencoder.PaperAutoencoder`.

    Raises:
        RestoreFormerError: a configuration that cannot be built.
    """

    STAGE_1 = "HQDictionaryPaper"
    new_tensors = ("fusion.",)

    def __init__(self, fusion: str = "mhca-p", heads: int = 8, **sizes: Any) -> None:
        super().__init__(**sizes)
        self.config |= {"fusion": fusion, "heads": heads}
        self.fusion = Fusion(fusion, self.config["embed_dim"], heads)

    def _decode(self, latents: Tensor, prior: Tensor, queries: None) -> Tensor:
        return self.decoder(self.fusion(latents, prior))

    def decode_prior(self, prior: Tensor) -> Tensor:
        return self.decoder(self.fusion(prior, prior))

    def half_parts(self) -> list[nn.Module]:
        return [*super().half_parts(), self.fusion]

    def is_attention(self, name: str) -> bool:
        return name.startswith("fusion.")
