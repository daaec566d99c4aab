import numpy as np
import pytest

from restoreformer.geometry import TEMPLATE
from restoreformer.inference.alignment import alignment, crop_face, from_resized


def similarity(scale, angle, x, y):
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s, x], [s, c, y]])


@pytest.mark.parametrize("size", [512, 128])
def test_the_transform_is_found(size):
    """Landmarks placed by a known transform give its inverse."""
    there = similarity(0.4, 0.3, 100, 50)
    landmarks = TEMPLATE @ there[:, :2].T + there[:, 2]
    matrix = alignment(landmarks, size)
    np.testing.assert_allclose(
        landmarks @ matrix[:, :2].T + matrix[:, 2], (TEMPLATE + 0.5) * size / 512 - 0.5, atol=1e-2
    )


def test_the_transform_is_as_exact_far_from_the_origin():
    landmarks = TEMPLATE.astype(np.float64) * 0.07 + 11.3
    near, far = alignment(landmarks, 512), alignment(landmarks + 50_000, 512)
    np.testing.assert_allclose(far[:, :2], near[:, :2], atol=1e-9)
    np.testing.assert_allclose(far @ [50_020, 50_030, 1], near @ [20, 30, 1], atol=1e-4)


def test_coinciding_landmarks():
    assert alignment(np.full((5, 2), 7.0), 512) is None


def test_an_aligned_face_is_cut_out_as_it_is(astronaut):
    crop = crop_face(astronaut, alignment(TEMPLATE, 512), 512)
    assert np.abs(crop.astype(int) - astronaut).max() <= 2


def test_large_faces_are_averaged_not_skipped():
    """Stripes of one pixel become grey, and an edge stays where it is."""
    stripes = np.zeros((1024, 1024, 3), np.uint8)
    stripes[:, ::2] = 255
    matrix = alignment((TEMPLATE + 0.5) * 2 - 0.5, 128)
    crop = crop_face(stripes, matrix, 128)
    assert np.abs(crop[8:-8, 8:-8].astype(int) - 127).max() < 12
    edge = np.zeros((1024, 1024, 3), np.uint8)
    edge[:, 512:] = 255
    crossing = np.interp(127.5, crop_face(edge, matrix, 128)[64, :, 0].astype(float), np.arange(128))
    assert crossing == pytest.approx((511.5 + 0.5) / 8 - 0.5, abs=0.1)


def test_the_transform_of_a_resized_photo():
    """A point of the photo, and of the photo three times as wide and twice as high, land on one place."""
    matrix = similarity(0.4, 0.3, 100, 50)
    x, y = 17.0, 31.0
    larger = np.array([(x + 0.5) * 3 - 0.5, (y + 0.5) * 2 - 0.5, 1])
    np.testing.assert_allclose(from_resized(matrix, (40, 50), (120, 100)) @ larger, matrix @ np.array([x, y, 1]))
