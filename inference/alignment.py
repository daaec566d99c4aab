"""Cutting a face out of a photo as the network wants it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from restoreformer.geometry import FRAME, TEMPLATE
from restoreformer.images import Image, resize

Matrix = NDArray[np.float64]

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
    # OpenCV estimates in float32, which is too coarse far from the origin of a large photo.
    middle = landmarks.astype(np.float64).mean(0)
    matrix, _ = cv2.estimateAffinePartial2D((landmarks - middle).astype(np.float32), target, method=cv2.LMEDS)
    if matrix is None or not np.isfinite(matrix).all():
        return None
    return np.column_stack([matrix[:, :2], matrix[:, 2] - matrix[:, :2] @ middle])


def crop_face(image: Image, matrix: Matrix, size: int) -> Image:
    """The aligned face ``(size, size, 3)`` of a photo ``(h, w, 3)``.

    Small faces are enlarged by cubic interpolation. Linear, which facexlib's crops have, blurs: a crop put back where
    it came from is 5 to 10 dB further from the photo, and restored faces are no better from it (docs/restoring.md).
    """
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    image, matrix = shrunk(image, matrix, scale)
    interpolation = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_LINEAR
    crop = cv2.warpAffine(
        image, matrix, (size, size), flags=interpolation, borderMode=cv2.BORDER_CONSTANT, borderValue=OUTSIDE
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
    return image, from_resized(matrix, (width, height), (image.shape[1], image.shape[0]))


def from_resized(matrix: Matrix, size: tuple[int, int], resized: tuple[int, int]) -> Matrix:
    """The transform of an image of ``size`` (width, height) as that of the same image ``resized``."""
    ratio = np.array(size) / np.array(resized)
    # Pixel x of the resized image has its centre at ratio * (x + 0.5) - 0.5 of the other.
    offset = matrix[:, :2] @ (ratio - 1) / 2 + matrix[:, 2]
    return np.column_stack([matrix[:, :2] * ratio, offset])
