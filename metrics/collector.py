"""Metrics of many faces: they take faces one by one and compute in batches."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import lru_cache
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch
from basicsr.metrics import calculate_metric
from basicsr.utils.registry import METRIC_REGISTRY
from numpy.typing import NDArray
from torch import Tensor

from restoreformer.device import choose_device
from restoreformer.errors import RestoreFormerError
from restoreformer.images import Image, to_batch

# Faces of 512 that go through a network at once.
BATCH_SIZE = 16


class Collector(ABC):
    """A metric that is computed of many faces.

    Attributes:
        label: its name in tables; networks other than the paper's have names of their own.
        better: ``lower`` or ``higher``, as in BasicSR's option files.
        needs_gt: whether each face comes with its truth.
    """

    label: str
    better: str = "lower"
    needs_gt: bool = True

    @abstractmethod
    def add(self, img: Image, img2: Image | None = None) -> None:
        """A face and its truth, BGR ``(h, w, 3)`` uint8, of one size."""

    @abstractmethod
    def values(self) -> NDArray[np.float64]:
        """What is known of each face, in the order in which they came, ``(n, ...)``."""

    @abstractmethod
    def result(self, values: NDArray[np.float64]) -> float:
        """The metric of a set, by :meth:`values` of its faces.

        Raises:
            RestoreFormerError: no faces, too few, or one that has no value.
        """

    @abstractmethod
    def clear(self) -> None:
        """Forget the faces, not the networks."""


class PairCollector(Collector):
    """A metric of each face and its truth; that of a set is the mean.

    Args:
        device: where networks compute.
        batch_size: faces that are computed at once.
    """

    def __init__(self, device: torch.device, batch_size: int = BATCH_SIZE) -> None:
        self.device = device
        self.batch_size = batch_size
        self.clear()

    def clear(self) -> None:
        self._waiting: list[tuple[Image, Image]] = []
        self._values: list[NDArray[np.float64]] = []

    def add(self, img: Image, img2: Image | None = None) -> None:
        if not self.needs_gt:
            img2 = img
        if img2 is None or img.shape != img2.shape:
            came = "none" if img2 is None else f"{img2.shape} for {img.shape}"
            raise RestoreFormerError(f"Expected the truth of each face at its size for {self.label}, got {came}.")
        if self._waiting and self._waiting[0][0].shape != img.shape:
            self._compute_waiting()
        self._waiting.append((img, img2))
        if len(self._waiting) >= self.batch_size:
            self._compute_waiting()

    def _compute_waiting(self) -> None:
        if self._waiting:
            self._values.append(self.compute(*map(list, zip(*self._waiting, strict=True))))
            self._waiting = []

    @abstractmethod
    def compute(self, images: list[Image], truths: list[Image]) -> NDArray[np.float64]:
        """The metric of each face, ``(n,)``."""

    def values(self) -> NDArray[np.float64]:
        self._compute_waiting()
        return np.concatenate(self._values) if self._values else np.zeros(0)

    def result(self, values: NDArray[np.float64]) -> float:
        if not len(values):
            raise RestoreFormerError(f"Expected faces for {self.label}, got none.")
        if none := int(np.isnan(values).sum()):
            raise RestoreFormerError(
                f"Expected a number for each face from {self.label}, got none for {none} of {len(values)}: are they "
                "too small for it?"
            )
        return float(values.mean())


class OneByOne(PairCollector):
    """A registered function of one face and its truth, such as BasicSR's PSNR and SSIM.

    Args:
        options: its block of ``val: metrics``.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = dict(options)
        others = [f"{k} {v}" for k, v in options.items() if k not in ("type", "better") and PAPER.get(k) != v]
        self.label = options["type"].removeprefix("calculate_").upper() + (f" ({', '.join(others)})" if others else "")
        self.better = better(options)
        self.needs_gt = needs_gt(options)
        super().__init__(torch.device("cpu"), 1)

    def compute(self, images: list[Image], truths: list[Image]) -> NDArray[np.float64]:
        names = ("img", "img2") if self.needs_gt else ("img",)
        faces = (dict(zip(names, pair, strict=False)) for pair in zip(images, truths, strict=True))
        return np.array([calculate_metric(face, self.options) for face in faces], np.float64)


class NetworkDistance(PairCollector):
    """A distance that a network tells between a face and its truth.

    Args:
        device, batch_size: see :class:`PairCollector`.
        colors: in which order the network is given them: ``rgb``, as it was trained, or ``bgr``.
        black: what the darkest value becomes: -1, as it was trained, or 0; the lightest is 1.

    Raises:
        RestoreFormerError: another order or value.
    """

    def __init__(
        self, device: torch.device, batch_size: int = BATCH_SIZE, colors: str = "rgb", black: float = -1
    ) -> None:
        if colors not in ("rgb", "bgr") or black not in (-1, 0):
            raise RestoreFormerError(f"Expected colors rgb or bgr and black -1 or 0, got {colors} and {black}.")
        super().__init__(device, batch_size)
        self.colors, self.black = colors, black

    @property
    def fed(self) -> str:
        """What to say of the input in a label: nothing, if it is as the networks were trained."""
        others = [self.colors.upper()] * (self.colors != "rgb") + ["[0, 1]"] * (self.black != -1)
        return f" ({', '.join(others)})" if others else ""

    def _input(self, images: list[Image]) -> Tensor:
        batch = to_batch(images, self.device)
        batch = batch.flip(1) if self.colors == "bgr" else batch
        return (batch + 1) / 2 if self.black == 0 else batch

    def compute(self, images: list[Image], truths: list[Image]) -> NDArray[np.float64]:
        with torch.inference_mode():
            distances = self.distance(self._input(images), self._input(truths))
        return distances.cpu().double().numpy()

    @abstractmethod
    def distance(self, images: Tensor, truths: Tensor) -> Tensor:
        """``(n, 3, h, w)``, RGB in [-1, 1] unless the options say otherwise, to ``(n,)``."""


def of_one_pair(kind: Callable[..., PairCollector], img: Image, img2: Image, **arguments: Any) -> float:
    """A collector's metric of one face and its truth; the collector is kept for the next."""
    return float(_kept(kind, **arguments).compute([img], [img2])[0])


@lru_cache(maxsize=4)
def _kept(kind: Callable[..., PairCollector], **arguments: Any) -> PairCollector:
    return kind(choose_device(), **arguments)


# BasicSR's functions of which less is better.
LOWER = ("calculate_niqe",)
# PSNR and SSIM as the paper has them; what a name in a table stands for without more words.
PAPER = {"crop_border": 0, "test_y_channel": False, "input_order": "HWC"}
# Registered functions that are better computed of many faces at once, and how; each metric's file adds its own.
COLLECTORS: dict[str, Callable[..., Collector]] = {}


def labelled(name: str, weights: str | Path | None, own: str | None) -> str:
    """``name``, unless a network has other weights than its ``own`` file: then what it has beside it. A stand-in that
    has no file of its own keeps its name."""
    if str(weights) == "none":
        return f"{name} (random network)"
    if weights is None or own is None or Path(weights).name == own:
        return name
    return f"{name} ({Path(weights).name})"


def better(options: Mapping[str, Any]) -> str:
    """Which of two values of a block of ``val: metrics`` is the better: ``lower`` or ``higher``, by itself as for
    BasicSR ``higher``."""
    usual = "lower" if options["type"] in (*COLLECTORS, *LOWER) else "higher"
    return options.get("better") or usual


def needs_gt(options: Mapping[str, Any]) -> bool:
    """Whether the metric of a block of ``val: metrics`` compares each face with its truth. BasicSR's NIQE does not, nor
    does FID with a reference."""
    compares = "img2" in signature(METRIC_REGISTRY.get(options["type"])).parameters
    return compares and options.get("reference") is None


def make_collector(options: Mapping[str, Any], device: torch.device) -> Collector:
    """The collector of a block of ``val: metrics``.

    Args:
        options: ``type``, a name in BasicSR's METRIC_REGISTRY, and its arguments.
        device: where networks compute.
    """
    if (kind := COLLECTORS.get(options["type"])) is None:
        return OneByOne(options)
    arguments = {k: v for k, v in deepcopy(dict(options)).items() if k not in ("type", "better")}
    return kind(device=device, **arguments)
