"""RestoreFormer (CVPR 2022), blind face restoration, as a plugin of BasicSR.

Importing this package loads neither torch nor BasicSR. ``import restoreformer.plugin`` enters
everything into BasicSR's registries; ``restoreformer.inference.face_restorer.FaceRestorer`` restores
photos.
"""

from restoreformer import _compat

__version__ = "0.1.0"

_compat.install()
