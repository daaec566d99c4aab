import cv2
import numpy as np
import pytest

from restoreformer.datasets.degradation import Degradation, jpeg
from restoreformer.errors import RestoreFormerError

NONE = {"blur_sigma": (0, 0), "downsample": (1, 1), "noise": (0, 0), "jpeg": (100, 100)}


def degrade(image, seed=0, **ranges):
    return Degradation(**{**NONE, **ranges})(image, np.random.default_rng(seed))


def test_defaults_are_the_papers():
    d = Degradation()
    assert (d.blur_sigma, d.downsample, d.noise, d.jpeg) == ((0.2, 10), (1, 8), (0, 20), (60, 100))


def test_same_seed_same_result(face):
    first = Degradation()(face, np.random.default_rng(3))
    assert first.shape == face.shape and first.dtype == np.uint8
    assert (first == Degradation()(face, np.random.default_rng(3))).all()
    assert (first != Degradation()(face, np.random.default_rng(4))).any()


def test_nothing_but_jpeg(face):
    assert (degrade(face, jpeg=(60, 60)) == jpeg(face, 60)).all()


def test_jpeg_is_opencvs_at_that_quality(face):
    _, data = cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, 60])
    assert (jpeg(face, 60) == cv2.imdecode(data, cv2.IMREAD_COLOR)).all()


def test_blur_is_a_gaussian_of_that_sigma():
    """The width of a blurred line, in float64."""
    image = np.zeros((81, 81, 3), np.uint8)
    image[:, 40] = 255
    row = degrade(image, blur_sigma=(3, 3))[40, :, 0].astype(float)
    x = np.arange(81) - 40
    assert np.sqrt((row * x**2).sum() / row.sum()) == pytest.approx(3, rel=0.05)


def test_downsampling_is_bilinear_there_and_back(face):
    small = cv2.resize(face.astype(np.float32), (40, 40), interpolation=cv2.INTER_LINEAR)
    expected = jpeg(np.rint(small).astype(np.uint8), 100)
    expected = cv2.resize(expected, (160, 160), interpolation=cv2.INTER_LINEAR)
    assert (degrade(face, downsample=(4, 4)) == expected).all()


def test_noise_has_that_sigma():
    grey = np.full((256, 256, 3), 128, np.uint8)
    noisy = degrade(grey, noise=(20, 20)).astype(float)
    # JPEG at 100 keeps it but for rounding and 4:2:0 colour; luma is the sum of three noises.
    luma = noisy @ (0.114, 0.587, 0.299)
    assert luma.std() == pytest.approx(20 * np.sqrt(0.114**2 + 0.587**2 + 0.299**2), rel=0.05)
    assert luma.mean() == pytest.approx(128, abs=0.5)


def test_values_are_drawn_from_the_whole_range(face):
    """Quality alone varies: the file sizes of 60 and 100 are both approached."""
    results = {degrade(face, seed, jpeg=(60, 100)).tobytes() for seed in range(200)}
    qualities = {q for q in range(60, 101) if jpeg(face, q).tobytes() in results}
    assert len(qualities) > 35 and {61, 99} & qualities


@pytest.mark.parametrize(
    "key, value",
    [("blur_sigma", (3, 1)), ("downsample", (0.05, 1)), ("noise", 5), ("jpeg", (60, 101)), ("jpeg", ("60", "100"))],
)
def test_ranges_without_sense(key, value):
    with pytest.raises(RestoreFormerError, match=f"degradation: {key} to be two ascending numbers"):
        Degradation(**{key: value})


def test_kernel_must_be_odd():
    with pytest.raises(RestoreFormerError, match="blur_kernel_size to be odd"):
        Degradation(blur_kernel_size=40)


def test_released_kernels(face):
    """Kernels of one of two sizes, every second one with two sigmas and a direction."""
    degrade = Degradation(**{**NONE, "blur_sigma": (4, 4)}, blur_kernel_size=[39, 41], anisotropic=1.0)
    # With one sigma across and along, a turned kernel is the round one.
    round_one = Degradation(**{**NONE, "blur_sigma": (4, 4)}, blur_kernel_size=41)
    a, b = (d(face, np.random.default_rng(0)).astype(float) for d in (degrade, round_one))
    assert np.abs(a - b).max() <= 3
    drawn = Degradation(**{**NONE, "blur_sigma": (0.1, 10)}, blur_kernel_size=[39, 41], anisotropic=0.5)
    point = np.zeros((101, 101, 3), np.float32)
    point[50, 50] = 1
    ratios = []
    for seed in range(200):
        spot = drawn._blur(point, 2.0, np.random.default_rng(seed))[:, :, 0].clip(0)
        assert spot.sum() == pytest.approx(1, abs=1e-3)
        y, x = np.mgrid[-50:51, -50:51]
        spread = np.cov(np.stack([x.ravel(), y.ravel()]), aweights=spot.ravel())
        low, high = np.linalg.eigvalsh(spread)
        ratios.append(np.sqrt(high / low))
    # Near half are round.
    assert 70 < sum(r < 1.01 for r in ratios) < 130 and max(ratios) > 3
    for wrong in ({"blur_kernel_size": [39, 40]}, {"blur_kernel_size": []}, {"anisotropic": 1.5}):
        with pytest.raises(RestoreFormerError, match="Expected degradation"):
            Degradation(**wrong)
