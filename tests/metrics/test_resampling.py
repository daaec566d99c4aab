import numpy as np
import pytest

from restoreformer.metrics import resampling
from restoreformer.metrics.frechet import Gaussian
from restoreformer.metrics.resampling import frechet_interval, mean_interval


def test_of_a_mean_as_the_normal_approximation_has_it():
    values = np.random.default_rng(1).normal(24, 3, 500)
    low, high = mean_interval(values)
    half = 1.96 * values.std(ddof=1) / np.sqrt(500)
    assert low == pytest.approx(values.mean() - half, abs=0.08 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.08 * half)
    assert mean_interval(values) == (low, high), "the same faces have the same interval"


def test_intervals_of_means_hold_the_truth_as_often_as_they_say(monkeypatch):
    monkeypatch.setattr(resampling, "DRAWS", 300)
    chance = np.random.default_rng(2)
    intervals = [mean_interval(chance.gamma(4, 1 / 4, 60)) for _ in range(300)]
    assert 0.91 < np.mean([low <= 1 <= high for low, high in intervals]) < 0.98


@pytest.mark.parametrize(("count", "dimensions"), [(60, 4), (40, 60)])
def test_of_a_frechet_distance_as_wide_as_other_sets_make_it(count, dimensions, monkeypatch):
    """For fewer faces than features too, where the bootstrap's would be several times as wide."""
    monkeypatch.setattr(resampling, "FRECHET_DRAWS", 30)
    gaussian = Gaussian(np.zeros(dimensions), np.eye(dimensions))
    chance = np.random.default_rng(3)
    sets = [chance.normal(0.4, 1.2, (count, dimensions)) for _ in range(60)]
    distances = [gaussian.distance(s) for s in sets]
    intervals = [frechet_interval(d, gaussian, s) for d, s in zip(distances[:20], sets, strict=False)]
    assert all(0 <= i.low < d < i.high for i, d in zip(intervals, distances, strict=False))
    width = 2 * 1.96 * np.std(distances, ddof=1)
    assert 0.75 * width < np.mean([i.high - i.low for i in intervals]) < 1.4 * width


def test_where_there_is_no_interval():
    assert np.isnan(mean_interval(np.array([1.0, np.inf]))).all()
    gaussian = Gaussian(np.zeros(2), np.eye(2))
    faces = np.random.default_rng(4).standard_normal((3, 2))
    assert np.isnan(frechet_interval(1.0, gaussian, faces[:2])).all()
    assert frechet_interval(0.01, gaussian, faces).low == 0
