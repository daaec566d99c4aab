"""How far a figure of a set would be another with other faces of the same kind: the bootstrap (Efron 1979)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from restoreformer.metrics.frechet import Gaussian

CONFIDENCE = 0.95
# Of a mean, and of a Fréchet distance, each of which takes seconds.
RESAMPLES, FRECHET_RESAMPLES = 2000, 50
# Standard deviations to either side that hold CONFIDENCE of a normal distribution.
DEVIATIONS = 1.959964
SEED = 0


class Interval(NamedTuple):
    """The ends of a confidence interval at :data:`CONFIDENCE`."""

    low: float
    high: float


def mean_interval(values: NDArray[np.float64]) -> Interval:
    """Percentiles of the means of resampled faces, by the ``values`` of each, ``(n,)``; NaN where one is infinite."""
    if not np.isfinite(values).all():
        return Interval(np.nan, np.nan)
    chance = np.random.default_rng(SEED)
    means = [values[chance.integers(len(values), size=len(values))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(low), float(high))


def frechet_interval(distance: float, gaussian: Gaussian, features: NDArray[np.float64]) -> Interval:
    """An interval around the Fréchet ``distance`` of ``features`` ``(n, d)`` to ``gaussian``.

    A resampled set has fewer different faces and is further from any reference than the set itself, so that its
    percentiles would lie beside the distance. Its spread holds, and is taken to either side.
    """
    chance = np.random.default_rng(SEED)
    count = len(features)
    drawn = [gaussian.distance(features[chance.integers(count, size=count)]) for _ in range(FRECHET_RESAMPLES)]
    half = DEVIATIONS * float(np.std(drawn, ddof=1))
    return Interval(max(0.0, distance - half), distance + half)
