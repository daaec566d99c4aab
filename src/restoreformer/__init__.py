"""RestoreFormer (CVPR 2022), blind face restoration, as a plugin of BasicSR.

Importing this package loads neither torch nor BasicSR. ``import restoreformer.plugin`` enters
everything into BasicSR's registries; ``restoreformer.inference.face_restorer.FaceRestorer`` restores
photos.
"""

import os

from restoreformer import _compat

# Pixels beyond which OpenCV refuses an image before it decodes it: a few kilobytes may claim gigabytes. Larger than any
# camera's; who has larger ones sets it otherwise. OpenCV reads it when it is first imported.
LARGEST_IMAGE = "OPENCV_IO_MAX_IMAGE_PIXELS"
os.environ.setdefault(LARGEST_IMAGE, str(2**28))

__version__ = "0.1.0"

_compat.install()
