import cv2
import numpy as np
import pytest

from restoreformer.archs.about import COLOR_FIXES
from restoreformer.errors import RestoreFormerError
from restoreformer.inference.color_fix import fix_color


def low(image, sigma):
    return cv2.GaussianBlur(image.astype(np.float64), (0, 0), sigma, borderType=cv2.BORDER_REFLECT)


def luma(image):
    return image.astype(np.float64) @ [0.114, 0.587, 0.299]


def test_none_leaves_the_restored_face(face):
    assert fix_color(face, face[::-1], "none") is not face
    assert (fix_color(face, face[::-1], "none") == face[::-1]).all()


def test_low_replaces_low_frequencies(face):
    """restored + G(degraded) - G(restored), in float64."""
    degraded, restored = np.clip(face * 0.5 + 60, 0, 255).astype(np.uint8), np.clip(face * 0.5, 0, 255).astype(np.uint8)
    sigma = 0.05 * face.shape[0]
    expected = np.clip(restored + low(degraded, sigma) - low(restored, sigma), 0, 255)
    assert np.abs(fix_color(degraded, restored, "low", 0.05) - expected).max() <= 0.51


def test_a_colour_cast_of_the_network_is_removed(face):
    """An even shift of a face's colours is wholly low frequency."""
    face = np.clip(face, 40, 215)
    shifted = (face + np.array([30, -20, 10])).astype(np.uint8)
    assert (fix_color(face, shifted, "low") == face).all()
    fixed = fix_color(face, shifted, "chroma")
    assert np.abs(luma(fixed) - luma(shifted)).max() < 1, "brightness stays the network's"
    offset = np.array([30, -20, 10]) @ [0.114, 0.587, 0.299]
    assert np.abs(fixed - (face + offset)).max() <= 1, "colour becomes the input's"


def test_an_unknown_fix_names_the_known_ones(face):
    with pytest.raises(RestoreFormerError, match="color_fix among none, low, chroma, got all"):
        fix_color(face, face, "all")
    assert COLOR_FIXES == ("none", "low", "chroma")
