"""The networks that learn the HQ dictionary (Sec. 3.2, Fig. 3b): the released one and the paper's."""

from torch import Tensor

from restoreformer.archs.paper_autoencoder import PaperAutoencoder
from restoreformer.archs.released_autoencoder import ReleasedAutoencoder


class HQDictionary(ReleasedAutoencoder):
    """E_h, the dictionary and D_h: reconstructs undegraded faces through dictionary entries.

    Arguments, shapes and errors: :class:`~restoreformer.archs.released_autoencoder.ReleasedAutoencoder`.
    """

    CROSS_ATTENTION = False


class HQDictionaryPaper(PaperAutoencoder):
    """The same with the encoder and the decoder that the paper describes.

    Arguments, shapes and errors: :class:`~restoreformer.archs.paper_autoencoder.PaperAutoencoder`.
    """

    def _decode(self, latents: Tensor, prior: Tensor, queries: None) -> Tensor:
        return self.decode_prior(prior)

    def decode_prior(self, prior: Tensor) -> Tensor:
        return self.decoder(prior)

    def is_attention(self, name: str) -> bool:
        return False
