"""Measuring folders of restored faces: every face counts, or the set is told to be incomplete."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from restoreformer.errors import RestoreFormerError
from restoreformer.images import Image, read
from restoreformer.metrics.collector import Collector
from restoreformer.metrics.face_sets import FaceSet, differences, pair
from restoreformer.metrics.frechet_distance import FrechetCollector
from restoreformer.metrics.resampling import Interval, frechet_interval, mean_interval
from restoreformer.parallel import beside

# Faces that are read before they are measured.
AHEAD = 4


class Figure(NamedTuple):
    """A metric of a set.

    Attributes:
        value: of all faces.
        interval: its confidence interval.
        better: ``lower`` or ``higher``.
        seconds: how long it took.
    """

    value: float
    interval: Interval
    better: str
    seconds: float


class Evaluation(NamedTuple):
    """What was measured of one method on one dataset.

    Attributes:
        method, dataset: their names.
        names: of the faces, sorted.
        ignored: files in their folder that are no images.
        problem: what is missing, too much or broken, and then nothing below is known; else None.
        figures: by the metrics' labels.
        of_faces: metrics of single faces, ``(n,)`` each, by label, in the order of ``names``.
        sizes: how many faces have which width and height.
        reading: seconds that decoding took that the metrics did not cover.
    """

    method: str
    dataset: str
    names: tuple[str, ...]
    ignored: tuple[str, ...]
    problem: str | None
    figures: Mapping[str, Figure] = MappingProxyType({})
    of_faces: Mapping[str, NDArray[np.float64]] = MappingProxyType({})
    sizes: Mapping[str, int] = MappingProxyType({})
    reading: float = 0.0

    @property
    def row(self) -> str:
        """Its name in messages."""
        return f"{self.method} on {self.dataset}" if self.dataset else self.method


def evaluate(
    method: str, dataset: str, faces: FaceSet, like: FaceSet, gt: FaceSet | None, collectors: Sequence[Collector]
) -> Evaluation:
    """Measure one method's faces.

    Args:
        method, dataset: what to call them.
        faces: the restored faces.
        like: a set of the names that there should be.
        gt: the truths, for metrics that need them.
        collectors: the metrics, with no faces yet.

    Returns:
        Figures, or a ``problem`` where a face is missing, too much, unreadable or of another size than its truth: a
        mean over the rest would be another set's.
    """
    measured = {c.label: c for c in collectors}
    names = tuple(faces.files)
    pairing = pair(like, faces)
    if told := differences(str(like.folder), str(faces.folder), pairing):
        problem = "; ".join([*told, pairing.hint] if pairing.hint else told)
        return Evaluation(method, dataset, names, faces.ignored, problem)
    sizes: Counter[str] = Counter()
    seconds = dict.fromkeys(measured, 0.0)
    begun = time.perf_counter()
    try:
        for image, truth in _read(names, faces, gt):
            sizes[_size(image)] += 1
            for label, collector in measured.items():
                start = time.perf_counter()
                collector.add(image, truth)
                seconds[label] += time.perf_counter() - start
        figures, of_faces = {}, {}
        for label, collector in measured.items():
            start = time.perf_counter()
            values = collector.values()
            value = collector.result(values)
            taken = seconds[label] = seconds[label] + time.perf_counter() - start
            figures[label] = Figure(value, _interval(collector, value, values), collector.better, taken)
            if values.ndim == 1:
                of_faces[label] = values
    except RestoreFormerError as error:
        return Evaluation(method, dataset, names, faces.ignored, str(error))
    finally:
        for collector in measured.values():
            collector.clear()
    reading = time.perf_counter() - begun - sum(seconds.values())
    return Evaluation(method, dataset, names, faces.ignored, None, figures, of_faces, sizes, reading)


def _read(names: Sequence[str], faces: FaceSet, gt: FaceSet | None) -> Iterator[tuple[Image, Image | None]]:
    def pictures(name: str) -> tuple[Image, Image | None]:
        image = read(faces.files[name])
        truth = None if gt is None else read(gt.files[name])
        if truth is not None and image.shape != truth.shape:
            raise RestoreFormerError(f"{name} has {_size(image)} pixels, its ground truth {_size(truth)}")
        return image, truth

    return beside(pictures, names, AHEAD)


def _size(image: Image) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"


def _interval(collector: Collector, value: float, values: NDArray[Any]) -> Interval:
    if isinstance(collector, FrechetCollector):
        return frechet_interval(value, *collector.gaussian(values))
    return mean_interval(values)
