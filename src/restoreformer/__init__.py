"""RestoreFormer (CVPR 2022), blind face restoration, as a plugin of BasicSR.

Importing this package loads neither torch nor BasicSR. ``import restoreformer.plugin`` enters
everything into BasicSR's registries; ``restoreformer.inference.FaceRestorer`` restores photos.
"""

__version__ = "0.1.0"
