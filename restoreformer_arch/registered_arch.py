"""Enters the networks into BasicSR's registry.

By itself, and not by a decorator on each, so that who restores photos need not wait for BasicSR's import.
"""

from basicsr.utils.registry import ARCH_REGISTRY

from restoreformer.archs.component_discriminator_arch import ComponentDiscriminator
from restoreformer.archs.hq_dictionary_arch import HQDictionary, HQDictionaryPaper
from restoreformer.archs.patch_discriminator_arch import PatchDiscriminator
from restoreformer.archs.restoreformer_arch import RestoreFormer, RestoreFormerPaper
from restoreformer.frozen.arcface import ArcFaceResNet18

for network in (
    HQDictionary,
    HQDictionaryPaper,
    RestoreFormer,
    RestoreFormerPaper,
    PatchDiscriminator,
    ComponentDiscriminator,
    ArcFaceResNet18,
):
    ARCH_REGISTRY.register(network)
