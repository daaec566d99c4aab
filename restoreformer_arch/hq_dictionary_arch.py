"""The network that learns the HQ dictionary (Sec. 3.2, Fig. 3b)."""

from basicsr.utils.registry import ARCH_REGISTRY

from restoreformer.archs.autoencoder import VQAutoencoder


@ARCH_REGISTRY.register()
class HQDictionary(VQAutoencoder):
    """E_h, the dictionary and D_h: reconstructs undegraded faces through dictionary entries.

    Arguments, shapes and errors: :class:`~restoreformer.archs.autoencoder.VQAutoencoder`.
    """

    cross_attention = False
