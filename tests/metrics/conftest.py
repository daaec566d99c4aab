"""Faces as metrics take them, and the same read by another library."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from corners import Corners
from numpy.typing import NDArray
from PIL import Image as PillowImage
from torch import Tensor

from restoreformer.frozen.pooled_features import FEATURE_NETWORKS
from restoreformer.images import Image
from restoreformer.metrics.collector import Collector


@pytest.fixture
def faces(face: Image) -> Callable[..., list[Image]]:
    """``faces(count, size, noise)``: that many different ones, BGR ``(size, size, 3)``."""

    def make(count: int, size: int = 64, noise: float = 0.0) -> list[Image]:
        chance = np.random.default_rng(0)
        rolled = (cv2.resize(np.roll(face, 9 * i, axis=1), (size, size)).astype(float) for i in range(count))
        return [np.clip(f + noise * chance.standard_normal(f.shape), 0, 255).astype(np.uint8) for f in rolled]

    return make


@pytest.fixture
def collected() -> Callable[..., NDArray[np.float64]]:
    """``collected(collector, images, truths)``: its values, when it has got them all."""

    def collect(collector: Collector, images: list[Image], truths: list[Image]) -> NDArray[np.float64]:
        for image, truth in zip(images, truths, strict=True):
            collector.add(image, truth)
        return collector.values()

    return collect


@pytest.fixture
def rgb(tmp_path: Path) -> Callable[[Image], Tensor]:
    """From BGR uint8, by a file and Pillow, to RGB ``(1, 3, h, w)`` in [-1, 1]."""

    def convert(image: Image) -> Tensor:
        cv2.imwrite(str(tmp_path / "as_rgb.png"), image)
        pixels = np.asarray(PillowImage.open(tmp_path / "as_rgb.png").convert("RGB"), np.float64)
        return torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1)[None].float()

    return convert


@pytest.fixture
def corners(monkeypatch: pytest.MonkeyPatch) -> None:
    """In Inception's and MobileNetV2's place."""
    for name in ("inception", "mobilenet_v2"):
        monkeypatch.setitem(FEATURE_NETWORKS, name, Corners)
