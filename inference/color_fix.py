"""Colour fix: give a restored face the colours of its degraded one.

Degradation leaves a face's low frequencies nearly as they were, but a network that decodes from a dictionary may
shift them. The fix replaces them by the input's: with G a Gaussian blur, ``restored + G(degraded) - G(restored)``.
"""

import cv2
import numpy as np

from restoreformer.archs.about import COLOR_FIXES
from restoreformer.errors import RestoreFormerError
from restoreformer.images import LUMA, Image

# Sigma of the blur as a share of the face's side: 3 pixels of 128 (docs/results.md has other widths).
SIGMA = 3 / 128


def check_color_fix(name: str) -> None:
    """Validate the name of a colour fix.

    Raises:
        RestoreFormerError: it is not among :data:`~restoreformer.archs.about.COLOR_FIXES`.
    """
    if name not in COLOR_FIXES:
        raise RestoreFormerError(f"Expected a color_fix among {', '.join(COLOR_FIXES)}, got {name}.")


def fix_color(degraded: Image, restored: Image, color_fix: str, sigma: float = SIGMA) -> Image:
    """Return ``restored`` with the low frequencies of ``degraded``.

    Args:
        degraded: BGR ``(size, size, 3)``, uint8.
        restored: of the same shape.
        color_fix: one of :data:`~restoreformer.archs.about.COLOR_FIXES`. ``low`` takes brightness and colour from
            ``degraded``, ``chroma`` keeps the luma of ``restored``.
        sigma: of the Gaussian blur, as a share of the side.

    Raises:
        RestoreFormerError: an unknown ``color_fix``.
    """
    check_color_fix(color_fix)
    if color_fix == "none":
        return restored
    difference = degraded.astype(np.float32) - restored
    pixels = sigma * restored.shape[0]
    shift = cv2.GaussianBlur(difference, (0, 0), pixels, borderType=cv2.BORDER_REFLECT)
    if color_fix == "chroma":
        shift = shift - (shift @ LUMA.astype(np.float32))[:, :, None]
    return np.clip(np.rint(restored + shift), 0, 255).astype(np.uint8)
