"""FID (Heusel et al. 2017), a metric of a whole set, and Fréchet distances on other networks' features."""

from typing import Any

import numpy as np
import torch
from basicsr.utils.registry import METRIC_REGISTRY
from numpy.typing import NDArray

from restoreformer.errors import RestoreFormerError
from restoreformer.frozen.pooled_features import INCEPTION_FILE, PooledFeatures
from restoreformer.images import Image
from restoreformer.metrics.collector import BATCH_SIZE, COLLECTORS, Collector, labelled
from restoreformer.metrics.frechet import Gaussian, Moments
from restoreformer.metrics.reference import Reference, features_of, read_reference

LABELS = {"inception": "FID", "mobilenet_v2": "Fréchet (MobileNetV2)"}


class FrechetCollector(Collector):
    """The Fréchet distance between the faces and a reference set. A face takes 8 KB of memory.

    Args:
        device: where the network computes.
        reference: what the faces are compared with, see :func:`~restoreformer.metrics.reference.read_reference`;
            without it the faces' own truths. The paper's is FFHQ.
        network: ``inception``, which alone is called FID, or ``mobilenet_v2``.
        weights: see :class:`~restoreformer.frozen.pooled_features.PooledFeatures`.
        size: side to which images of the reference are averaged down first.

    Raises:
        RestoreFormerError: another network, or weights or a reference that cannot be had.
    """

    def __init__(
        self,
        device: torch.device,
        reference: str | None = None,
        network: str = "inception",
        weights: str | None = None,
        size: int | None = None,
    ) -> None:
        self.device = device
        self.network = PooledFeatures(network, weights, LABELS.get(network, network)).to(device)
        own = INCEPTION_FILE if network == "inception" else None
        self.needs_gt = reference is None
        self.label = labelled(LABELS[network] + (" to GT" if self.needs_gt else ""), weights, own)
        self.reference: Reference | None = None
        if reference is not None:
            self.reference = read_reference(reference, self.network, device, size)
        self.clear()

    def clear(self) -> None:
        self._waiting: list[Image] = []
        self._features: list[NDArray[np.float32]] = []
        self._truths: list[NDArray[np.float32]] = []

    def add(self, img: Image, img2: Image | None = None) -> None:
        # A face and its truth side by side, so that they go through the network together.
        new = [img]
        if self.needs_gt:
            if img2 is None or img.shape != img2.shape:
                raise RestoreFormerError(
                    f"Expected the truth of each face at its size for {self.label}, got none or another."
                )
            new.append(img2)
        if self._waiting and self._waiting[0].shape != img.shape:
            self._compute_waiting()
        self._waiting += new
        if len(self._waiting) >= BATCH_SIZE:
            self._compute_waiting()

    def _compute_waiting(self) -> None:
        if self._waiting:
            features = features_of(self.network, self._waiting, self.device)
            step = 2 if self.needs_gt else 1
            self._features.append(features[::step])
            self._truths.append(features[1::step] if self.needs_gt else features[:0])
            self._waiting = []

    def values(self) -> NDArray[np.float64]:
        """Features ``(n, d)``; without reference with those of the truths beside them, ``(n, 2 d)``."""
        self._compute_waiting()
        if not self._features:
            return np.zeros((0, 2))
        features, truths = np.concatenate(self._features), np.concatenate(self._truths)
        return (np.concatenate([features, truths], 1) if self.needs_gt else features).astype(np.float64)

    def result(self, values: NDArray[np.float64]) -> float:
        if len(values) < 2:
            raise RestoreFormerError(f"Expected two faces or more for {self.label}, got {len(values)}.")
        gaussian, features = self.gaussian(values)
        return gaussian.distance(features)

    def gaussian(self, values: NDArray[np.float64]) -> tuple[Gaussian, NDArray[np.float64]]:
        """What :meth:`values` are compared with, and the faces' features among them."""
        if self.reference is not None:
            return self.reference.gaussian, values
        features, truths = np.hsplit(values, 2)
        return Moments.of(truths).gaussian(), features


@METRIC_REGISTRY.register()
def calculate_fid(
    img: Image,
    img2: Image,
    reference: str | None = None,
    network: str = "inception",
    weights: str | None = None,
    size: int | None = None,
    **kwargs: Any,
) -> float:
    """FID is of a set, and so this project's models compute it, see :class:`FrechetCollector` for the arguments.

    Raises:
        RestoreFormerError: always: of one face there is none, which is all that other models ask for.
    """
    raise RestoreFormerError(
        "Expected a model of this project or metrics/evaluate.py for calculate_fid, got one face: FID is of a set."
    )


COLLECTORS[calculate_fid.__name__] = FrechetCollector
