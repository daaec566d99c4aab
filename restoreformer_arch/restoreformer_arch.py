"""RestoreFormer (Sec. 3.1, Fig. 2c) in the released structure."""

from basicsr.utils.registry import ARCH_REGISTRY

from restoreformer.archs.autoencoder import VQAutoencoder


@ARCH_REGISTRY.register()
class RestoreFormer(VQAutoencoder):
    """E_d, the dictionary and D_d, whose attention asks with the degraded face's features.

    Unlike in Eq. 8 the cross-attentions stand inside the decoder: one in its middle, asked by the
    encoder's middle output, and one after each residual block at the lowest resolution, asked by the
    encoder's feature after its first middle block. So are the released checkpoints made.

    Arguments, shapes and errors: :class:`~restoreformer.archs.autoencoder.VQAutoencoder`.
    """

    cross_attention = True
