"""Cutting a face out of a photo as the network wants it, and putting it back."""

import cv2
import numpy as np
from numpy.typing import NDArray

from restoreformer.geometry import FRAME, TEMPLATE
from restoreformer.images import Image, resize

Matrix = NDArray[np.float64]

# Share of the crop's side over which the restored face fades into the photo.
FEATHER = 0.12
# How much an image may shrink by sampling alone. What is beyond it is averaged first: averaging all of it
# would blur twice. Measured on a face cut out at 512 and pasted back, and on one of 512 pasted at 45 to 300.
SAMPLED_SHRINKING = 0.7
# Grey of the crop's corners that lie outside the photo; facexlib's, which the released networks saw.
OUTSIDE = (135, 133, 132)


def alignment(landmarks: NDArray[np.floating], size: int) -> Matrix | None:
    """The similarity transform from a photo to an aligned face of side ``size``.

    Args:
        landmarks: ``(5, 2)`` in pixels of the photo, ordered as ``restoreformer.geometry.TEMPLATE``.
        size: side of the aligned face.

    Returns:
        ``(2, 3)`` matrix from photo to crop coordinates; None if the landmarks coincide.
    """
    # Pixel centres lie at half coordinates, so that a crop is the same as a larger crop made smaller.
    target = (TEMPLATE + 0.5) * np.float32(size / FRAME) - 0.5
    matrix, _ = cv2.estimateAffinePartial2D(landmarks.astype(np.float32), target, method=cv2.LMEDS)
    if matrix is None or not np.isfinite(matrix).all():
        return None
    return matrix.astype(np.float64)


def crop_face(image: Image, matrix: Matrix, size: int) -> Image:
    """The aligned face ``(size, size, 3)`` of a photo ``(h, w, 3)``."""
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    image, matrix = shrunk(image, matrix, scale)
    crop = cv2.warpAffine(
        image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=OUTSIDE
    )
    return crop.astype(np.uint8, copy=False)


def shrunk(image: Image, matrix: Matrix, scale: float) -> tuple[Image, Matrix]:
    """The image averaged down to about what a transform by ``scale`` shows of it, and the transform from there.

    Sampling between neighbours would skip pixels of an image that shrinks.
    """
    if scale > SAMPLED_SHRINKING:
        return image, matrix
    height, width = image.shape[:2]
    size = (max(1, round(side * scale / SAMPLED_SHRINKING)) for side in (width, height))
    image = resize(image, *size)
    ratio = np.array([width / image.shape[1], height / image.shape[0]])
    # Pixel x of the smaller image has its centre at ratio * (x + 0.5) - 0.5 of the larger.
    offset = matrix[:, :2] @ (ratio - 1) / 2 + matrix[:, 2]
    return image, np.column_stack([matrix[:, :2] * ratio, offset])


def paste_face(image: Image, face: Image, matrix: Matrix) -> None:
    """Put a restored face into a photo, in place; beyond the crop not a pixel changes.

    Args:
        image: the photo, ``(h, w, 3)``.
        face: the restored face, ``(size, size, 3)``.
        matrix: what :func:`alignment` gave for it.
    """
    back = cv2.invertAffineTransform(matrix).astype(np.float64)
    face, back = shrunk(face, back, float(np.hypot(back[0, 0], back[1, 0])))
    size = face.shape[0]
    corners = np.array([[0, 0], [size, 0], [size, size], [0, size]], dtype=np.float64) @ back[:, :2].T + back[:, 2]
    height, width = image.shape[:2]
    x1, y1 = np.clip(np.floor(corners.min(0)).astype(int), 0, (width, height))
    x2, y2 = np.clip(np.ceil(corners.max(0)).astype(int) + 1, 0, (width, height))
    if x1 >= x2 or y1 >= y2:
        return
    back[:, 2] -= (x1, y1)
    window = (int(x2 - x1), int(y2 - y1))
    warped = cv2.warpAffine(face, back, window, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.warpAffine(feathered_mask(size), back, window, flags=cv2.INTER_LINEAR)[:, :, None]
    region = image[y1:y2, x1:x2]
    region[:] = np.rint(region + mask * (warped.astype(np.float32) - region))


def feathered_mask(size: int) -> NDArray[np.float32]:
    """1 inside, falling smoothly to 0 at the border: ``(size, size)``."""
    ramp = np.minimum(np.arange(size), np.arange(size)[::-1]) / (FEATHER * size)
    ramp = np.clip(ramp, 0, 1)
    ramp = ramp * ramp * (3 - 2 * ramp)
    return np.minimum.outer(ramp, ramp).astype(np.float32)
