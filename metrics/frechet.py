"""The Fréchet distance between two sets of features, each taken for normally distributed (Heusel et al. 2017)."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from restoreformer.errors import RestoreFormerError

Array = NDArray[np.float64]


@dataclass
class Moments:
    """Mean and covariance of features, in float64; they grow as features come.

    Attributes:
        count: number of features so far.
        total: their sum, ``(d,)``.
        products: the sum of their outer products, ``(d, d)``.
    """

    count: int
    total: Array
    products: Array

    @classmethod
    def of(cls, features: NDArray[np.floating]) -> "Moments":
        """Those of features ``(n, d)``."""
        exact = features.astype(np.float64)
        return cls(len(exact), exact.sum(0), exact.T @ exact)

    def add(self, features: NDArray[np.floating]) -> None:
        """More features, ``(n, d)``."""
        more = Moments.of(features)
        self.count += more.count
        self.total += more.total
        self.products += more.products

    def gaussian(self) -> "Gaussian":
        """The normal distribution of these moments.

        Raises:
            RestoreFormerError: fewer than two features.
        """
        if self.count < 2:
            raise RestoreFormerError(f"Expected two images or more for a covariance, got {self.count}.")
        mean = self.total / self.count
        return Gaussian(mean, (self.products - self.count * np.outer(mean, mean)) / (self.count - 1))


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution.

    Attributes:
        mean: ``(d,)``.
        covariance: ``(d, d)``, without bias.
    """

    mean: Array
    covariance: Array

    def distance(self, features: Array) -> float:
        """The Fréchet distance to features ``(n, d)``: |m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)).

        The trace of the root is the sum of the roots of the eigenvalues, which are those of X C X' too, n x n, where X
        are the features' distances from their mean: less work than d x d where there are fewer than dimensions.

        Raises:
            RestoreFormerError: fewer than two features, or of another number of dimensions.
        """
        features = self._checked(features)
        centred = features - features.mean(0)
        if len(features) <= features.shape[1]:
            product = centred @ self.covariance @ centred.T
        else:
            product = self._root @ (centred.T @ centred) @ self._root
        degrees = len(features) - 1
        # Rounding makes tiny eigenvalues negative, and what is left of equal sets too.
        roots = np.sqrt(np.linalg.eigvalsh(product / degrees).clip(0)).sum()
        shift = np.square(features.mean(0) - self.mean).sum()
        spread = np.square(centred).sum() / degrees
        return max(float(shift + spread + np.trace(self.covariance) - 2 * roots), 0.0)

    @cached_property
    def _root(self) -> Array:
        eigenvalues, vectors = np.linalg.eigh(self.covariance)
        return (vectors * np.sqrt(eigenvalues.clip(0))) @ vectors.T

    def _checked(self, features: Array) -> Array:
        if len(features) < 2 or features.shape[1:] != self.mean.shape:
            raise RestoreFormerError(
                f"Expected two images or more with {len(self.mean)} features each for a Fréchet distance, got "
                f"{features.shape}."
            )
        return features.astype(np.float64)
