"""The degradation model of Eq. 19: blur, downsample, noise, JPEG, back to size."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np
from basicsr.data.degradations import bivariate_Gaussian
from numpy.typing import NDArray

from restoreformer.errors import RestoreFormerError
from restoreformer.images import Image, decode

Range = Sequence[float]


@dataclass(frozen=True)
class Degradation:
    """Ranges of Eq. 19, drawn uniformly for each image. The defaults are the paper's (Sec. 4.1).

    Attributes:
        blur_sigma: sigma of the Gaussian kernel, pixels.
        downsample: factor r by which the sides shrink (bilinear).
        noise: sigma delta of white Gaussian noise, grey levels of 0 to 255.
        jpeg: quality q, 1 to 100, rounded to a whole number.
        blur_kernel_size: side of the kernel, odd, or several to choose from (the paper is silent; the
            released code's are 39 and 41).
        anisotropic: share of kernels with two sigmas and a direction (the released code's 0.5).

    Raises:
        RestoreFormerError: a range that is not two ascending numbers within sense.
    """

    blur_sigma: Range = (0.2, 10.0)
    downsample: Range = (1.0, 8.0)
    noise: Range = (0.0, 20.0)
    jpeg: Range = (60.0, 100.0)
    blur_kernel_size: int | Sequence[int] = 41
    anisotropic: float = 0.0

    def __post_init__(self) -> None:
        limits = {"blur_sigma": (0, 1000), "downsample": (0.1, 1000), "noise": (0, 255), "jpeg": (1, 100)}
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            ok = isinstance(value, Sequence) and len(value) == 2 and all(isinstance(v, int | float) for v in value)
            if not ok or not low <= value[0] <= value[1] <= high:
                raise RestoreFormerError(
                    f"Expected degradation: {name} to be two ascending numbers from {low} to {high}, got {value}."
                )
        sizes = self._kernel_sizes()
        if not sizes or any(not isinstance(k, int) or k < 1 or k % 2 == 0 for k in sizes):
            raise RestoreFormerError(
                f"Expected degradation: blur_kernel_size to be odd and positive, got {self.blur_kernel_size}."
            )
        if not 0 <= self.anisotropic <= 1:
            raise RestoreFormerError(f"Expected degradation: anisotropic from 0 to 1, got {self.anisotropic}.")

    def _kernel_sizes(self) -> Sequence[int]:
        return self.blur_kernel_size if isinstance(self.blur_kernel_size, Sequence) else (self.blur_kernel_size,)

    def __call__(self, image: Image, rng: np.random.Generator) -> Image:
        """Degrade one image.

        Args:
            image: BGR or RGB, ``(h, w, 3)``, uint8.
            rng: source of all chance: the same state gives the same result.

        Returns:
            The degraded image at the size of ``image``, uint8.
        """
        height, width = image.shape[:2]
        sigma, factor, delta, quality = (
            rng.uniform(*getattr(self, name)) for name in ("blur_sigma", "downsample", "noise", "jpeg")
        )
        # Noise is added to unrounded values: blur leaves faint detail between grey levels.
        small: NDArray[Any] = image.astype(np.float32)
        if sigma > 0:
            small = self._blur(small, sigma, rng)
        size = (max(1, round(width / factor)), max(1, round(height / factor)))
        small = cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)
        small = small + delta * rng.standard_normal(small.shape, dtype=np.float32)
        compressed = jpeg(np.clip(np.rint(small), 0, 255).astype(np.uint8), round(quality))
        return cv2.resize(compressed, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)

    def _blur(self, image: NDArray[Any], sigma: float, rng: np.random.Generator) -> NDArray[Any]:
        sizes = self._kernel_sizes()
        size = sizes[0] if len(sizes) == 1 else int(rng.choice(sizes))
        if not self.anisotropic or rng.random() >= self.anisotropic:
            return cv2.GaussianBlur(image, (size, size), sigma)
        low, high = self.blur_sigma
        across, direction = max(rng.uniform(low, high), 1e-3), rng.uniform(-np.pi, np.pi)
        kernel = bivariate_Gaussian(size, sigma, across, direction, isotropic=False)
        return cv2.filter2D(image, -1, kernel)


def jpeg(image: Image, quality: int) -> Image:
    """Compress to JPEG of ``quality`` (1 to 100) and decode again."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return decode(data.tobytes(), "just compressed")


DEGRADATION_KEYS = tuple(f.name for f in fields(Degradation))
