"""How far a figure of a set would be another with other faces of the same kind, drawn from those there are."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from restoreformer.metrics.frechet import Gaussian

CONFIDENCE = 0.95
# For a mean, and for a Fréchet distance, each of which takes seconds.
DRAWS, FRECHET_DRAWS = 2000, 50
# Share of the faces in a draw for a Fréchet distance.
KEPT = 0.8
# Standard deviations to either side that hold CONFIDENCE of a normal distribution.
DEVIATIONS = 1.959964
SEED = 0


class Interval(NamedTuple):
    """The ends of a confidence interval at :data:`CONFIDENCE`; NaN where there is none."""

    low: float
    high: float


def mean_interval(values: NDArray[np.float64]) -> Interval:
    """Percentiles of the means of as many faces, drawn with repetition (the bootstrap, Efron 1979).

    Args:
        values: of each face, ``(n,)``. Where one is infinite, there is no interval.
    """
    if not np.isfinite(values).all():
        return Interval(np.nan, np.nan)
    chance = np.random.default_rng(SEED)
    means = [values[chance.integers(len(values), size=len(values))].mean() for _ in range(DRAWS)]
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(low), float(high))


def frechet_interval(distance: float, gaussian: Gaussian, features: NDArray[np.float64]) -> Interval:
    """An interval around the Fréchet ``distance`` of ``features`` ``(n, d)`` to ``gaussian``, 0 or more.

    From draws of fewer faces, none twice (the delete-d jackknife, Shao and Wu 1989). The bootstrap's repetitions make
    of n faces of d features a narrower set, whose distance lies elsewhere and, unless n is many times d, varies
    several times as much as that of other faces does. What the interval does not hold is that every set of few faces
    is further from its reference than a large one: compare sets of one size. Of two faces there is no interval.
    """
    count = len(features)
    kept = min(round(KEPT * count), count - 1)
    if kept < 2:
        return Interval(np.nan, np.nan)
    chance = np.random.default_rng(SEED)
    drawn = [gaussian.distance(features[chance.permutation(count)[:kept]]) for _ in range(FRECHET_DRAWS)]
    half = DEVIATIONS * float(np.std(drawn, ddof=1)) * np.sqrt(kept / (count - kept))
    return Interval(max(distance - half, 0.0), distance + half)
