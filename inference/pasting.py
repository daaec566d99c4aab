"""Putting a restored face back into its photo."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from restoreformer.images import Image
from restoreformer.inference.alignment import Matrix, shrunk
from restoreformer.inference.photos import Photo, colours_like

# The restored face shows within a rounded square, and fades into the photo over this share of the way from its border
# to its middle.
FEATHER = 0.3
ROUNDNESS = 3


def paste_face(
    photo: Photo, face: Image, matrix: Matrix, strength: float = 1.0, keep_detail_beyond: Image | None = None
) -> None:
    """Put a restored face into a photo, in place; beyond the crop not a pixel changes, and alpha nowhere.

    Args:
        photo: ``(h, w)``, ``(h, w, 3)`` or ``(h, w, 4)``, uint8 or uint16.
        face: the restored face, BGR ``(size, size, 3)`` uint8.
        matrix: from photo to crop, as :func:`~restoreformer.inference.alignment.alignment` gives it.
        strength: 0 leaves the photo as it is, 1 shows the face alone in its middle.
        keep_detail_beyond: the crop that ``face`` was restored from. The difference between the two is then added to
            the photo, which keeps detail that is too fine for the crop.
    """
    full_back = cv2.invertAffineTransform(matrix).astype(np.float64)
    scale = float(np.hypot(full_back[0, 0], full_back[1, 0]))
    face, back = shrunk(face, full_back, scale)
    size = face.shape[0]
    corners = np.array([[0, 0], [size, 0], [size, size], [0, size]], dtype=np.float64) @ back[:, :2].T + back[:, 2]
    height, width = photo.shape[:2]
    x1, y1 = np.clip(np.floor(corners.min(0)).astype(int), 0, (width, height))
    x2, y2 = np.clip(np.ceil(corners.max(0)).astype(int) + 1, 0, (width, height))
    if x1 >= x2 or y1 >= y2:
        return
    back[:, 2] -= (x1, y1)
    window = (int(x2 - x1), int(y2 - y1))
    pixels: NDArray[Any] = colours_like(photo, face)
    if keep_detail_beyond is not None:
        crop, _ = shrunk(keep_detail_beyond, full_back, scale)
        pixels = pixels.astype(np.float32) - colours_like(photo, crop)
    warped = cv2.warpAffine(pixels, back, window, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    mask = strength * cv2.warpAffine(feathered_mask(size), back, window, flags=cv2.INTER_LINEAR)
    region = photo[y1:y2, x1:x2] if photo.ndim == 2 else photo[y1:y2, x1:x2, :3]
    weights = mask if photo.ndim == 2 else mask[:, :, None]
    shown = warped.astype(np.float32)
    if keep_detail_beyond is not None:
        shown = np.clip(region + shown, 0, np.iinfo(photo.dtype).max)
    region[:] = np.rint(region + weights * (shown - region))


def feathered_mask(size: int) -> NDArray[np.float32]:
    """1 inside, falling smoothly to 0 at the border and in the corners: ``(size, size)``."""
    side = np.abs(np.arange(size) - (size - 1) / 2) / ((size - 1) / 2)
    from_middle = np.add.outer(side**ROUNDNESS, side**ROUNDNESS) ** (1 / ROUNDNESS)
    ramp = np.clip((1 - from_middle) / FEATHER, 0, 1)
    return (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)
