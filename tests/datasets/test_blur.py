import cv2
import numpy as np
import pytest
from basicsr.data.degradations import bivariate_Gaussian
from scipy import ndimage

from restoreformer.datasets import blur
from restoreformer.datasets.blur import anisotropic, blur_and_resize, isotropic


def direct(image, kernel):
    """The convolution sample by sample in float64, borders mirrored without the edge pixel."""
    flipped = np.asarray(kernel, np.float64)[::-1, ::-1]
    planes = [ndimage.convolve(image[:, :, c].astype(np.float64), flipped, mode="mirror") for c in range(3)]
    return np.stack(planes, 2)


def shrunk(image, height, width):
    """Bilinear, pixel centres aligned, by hand in float64."""
    for axis, after in enumerate((height, width)):
        before = image.shape[axis]
        position = ((np.arange(after) + 0.5) * before / after - 0.5).clip(0, before - 1)
        low = np.floor(position).astype(int)
        share = np.expand_dims(position - low, (1, 2) if axis == 0 else (0, 2))
        high = np.minimum(low + 1, before - 1)
        image = (1 - share) * image.take(low, axis) + share * image.take(high, axis)
    return image


KERNELS = {
    "round": (isotropic(41, 5.0), lambda: bivariate_Gaussian(41, 5.0, 5.0, 0.0)),
    "cut": (isotropic(39, 10.0), lambda: bivariate_Gaussian(39, 10.0, 10.0, 0.0)),
    "faint": (isotropic(41, 0.2), lambda: bivariate_Gaussian(41, 0.2, 0.2, 0.0)),
    "turned": (anisotropic(41, 6.0, 4.0, 0.7), lambda: bivariate_Gaussian(41, 6.0, 4.0, 0.7, isotropic=False)),
    "a line": (anisotropic(39, 9.0, 0.5, 0.7), lambda: bivariate_Gaussian(39, 9.0, 0.5, 0.7, isotropic=False)),
}


@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 1e-3), (np.float64, 1e-3)])
@pytest.mark.parametrize("size", [(160, 160), (128, 96), (20, 20), (7, 50), (200, 200), (1, 1)])
@pytest.mark.parametrize("name", KERNELS)
def test_it_is_the_direct_convolution_and_bilinear_resizing(name, size, dtype, tolerance, face):
    kernel, reference = KERNELS[name]
    expected = shrunk(direct(face, reference()), *size) / 255
    result = blur_and_resize(face, kernel, *size, dtype)
    assert result.shape == (*size, 3) and result.dtype == dtype
    assert np.abs(result / 255 - expected).max() < tolerance


@pytest.mark.parametrize("terms", [0, 100])
def test_both_ways_of_a_turned_kernel_agree(terms, face, monkeypatch):
    """As separable terms, or by the Fourier transform, whichever is quicker."""
    monkeypatch.setattr(blur, "MOST_TERMS", terms)
    kernel, reference = KERNELS["turned"]
    expected = shrunk(direct(face, reference()), 90, 90)
    assert np.abs(blur_and_resize(face, kernel, 90, 90) - expected).max() < 255e-3
    assert 1 < len(kernel.rows) < 41 and kernel.full is not None


def test_opencvs_borders_and_resizing(face):
    image = face.astype(np.float32)
    expected = cv2.resize(cv2.GaussianBlur(image, (41, 41), 3), (57, 31), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(blur_and_resize(face, isotropic(41, 3.0), 31, 57), expected, atol=0.05)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (3, 2), (15, 30)])
def test_images_smaller_than_the_kernel(shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    expected = cv2.GaussianBlur(image.astype(np.float64), (41, 41), 8, borderType=cv2.BORDER_REFLECT_101)
    np.testing.assert_allclose(blur_and_resize(image, isotropic(41, 8.0), *shape, np.float64), expected, atol=0.1)


def test_no_blur_is_no_blur(face):
    assert (blur_and_resize(face, isotropic(41, 0.0), 160, 160) == face).all()
    white = np.full((64, 64, 3), 255, np.uint8)
    for kernel, _ in KERNELS.values():
        np.testing.assert_allclose(blur_and_resize(white, kernel, 23, 23, np.float64), 255, atol=0.15)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 4), (64, 33)])
def test_the_fourier_transform_on_images_of_any_size(shape, monkeypatch):
    monkeypatch.setattr(blur, "MOST_TERMS", 0)
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    kernel = anisotropic(15, 4.0, 0.4, 0.5)
    expected = cv2.filter2D(image.astype(np.float64), -1, kernel.full, borderType=cv2.BORDER_REFLECT_101)
    np.testing.assert_allclose(blur_and_resize(image, kernel, *shape, np.float64), expected, atol=1e-9)
    np.testing.assert_allclose(blur_and_resize(image, kernel, *shape), expected, atol=1e-3)


def test_fast_lengths():
    assert [blur._fast_length(n) for n in (1, 16, 17, 513, 552, 561)] == [16, 16, 32, 560, 560, 576]
