import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torchmetrics.image.fid import FrechetInceptionDistance

from restoreformer.errors import RestoreFormerError
from restoreformer.metrics.frechet import Gaussian, Moments


def features(seed, count, dimensions, shift=0.0):
    chance = np.random.default_rng(seed)
    mixing = chance.standard_normal((dimensions, dimensions))
    return chance.standard_normal((count, dimensions)) @ mixing + shift


def by_scipy(a, b):
    """Heusel et al. 2017, Eq. 6, with numpy's covariances and scipy's root of a matrix."""
    c, d = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    return np.square(a.mean(0) - b.mean(0)).sum() + np.trace(c + d - 2 * sqrtm(c @ d).real)


class Flat(torch.nn.Module):
    num_features = 8

    def forward(self, images):
        return images.flatten(1)


def by_torchmetrics(a, b):
    network = Flat()
    network.num_features = a.shape[1]
    metric = FrechetInceptionDistance(feature=network).set_dtype(torch.float64)
    metric.update(torch.from_numpy(a), real=True)
    metric.update(torch.from_numpy(b), real=False)
    return metric.compute().item()


# More faces than features, as many, fewer, and fewer than the reference has.
@pytest.mark.parametrize(("reference", "count", "dimensions"), [(90, 60, 8), (40, 12, 12), (50, 7, 12), (9, 30, 12)])
def test_agrees_with_scipy_and_torchmetrics(reference, count, dimensions):
    a, b = features(1, reference, dimensions), features(2, count, dimensions, 0.3)
    found = Moments.of(a).gaussian().distance(b)
    # Rounding shows in the roots of eigenvalues that are zero.
    assert found == pytest.approx(by_scipy(a, b), rel=1e-5)
    assert found == pytest.approx(by_torchmetrics(a, b), rel=1e-5)
    assert found == pytest.approx(Moments.of(b).gaussian().distance(a), rel=1e-7), "there is no first and second"


def test_by_hand():
    """Variances 4 and 9 about means 1 apart, nothing shared between dimensions: 1 + (2 - 3)^2 for each dimension."""
    a, b = np.array([[-1.0, 1.0], [1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]]), np.array([[1.0, 0.0], [0.0, 0.0]])
    unit = a * np.sqrt(3 / 4)
    assert Moments.of(2 * unit).gaussian().distance(3 * unit + b[1] + [1, 0]) == pytest.approx(1 + 2)
    # Two faces lie on a line, with variance 1/2: 1/2 + 4 + 4 - 2 * 2 * (1/2)^(1/2), and the mean 1/2 away.
    assert Moments.of(2 * unit).gaussian().distance(b) == pytest.approx(0.25 + 8.5 - 4 * np.sqrt(0.5))


@pytest.mark.parametrize("count", [5, 200])
def test_a_set_is_no_distance_from_itself(count):
    a = features(3, count, 20) + 5
    assert Moments.of(a).gaussian().distance(a) == pytest.approx(0, abs=1e-9 * np.square(a).sum())


def test_a_stream_is_the_whole():
    whole = (features(4, 50, 6) + 10).astype(np.float32)
    stream = Moments.of(whole[:1])
    for part in np.array_split(whole[1:], 7):
        stream.add(part)
    gaussian = stream.gaussian()
    assert stream.count == 50
    np.testing.assert_allclose(gaussian.mean, whole.astype(np.float64).mean(0), rtol=1e-13)
    np.testing.assert_allclose(gaussian.covariance, np.cov(whole.astype(np.float64), rowvar=False), atol=1e-11)


def test_too_few_features():
    with pytest.raises(RestoreFormerError, match="two images or more for a covariance, got 1"):
        Moments.of(np.ones((1, 3))).gaussian()
    gaussian = Gaussian(np.zeros(3), np.eye(3))
    with pytest.raises(RestoreFormerError, match=r"two images or more with 3 features each .*, got \(1, 3\)"):
        gaussian.distance(np.ones((1, 3)))
    with pytest.raises(RestoreFormerError, match=r"two images or more with 3 features each .*, got \(5, 4\)"):
        gaussian.distance(np.ones((5, 4)))
