"""Blur and bilinear resizing in one step, without the pixels that the second would throw away.

Both are linear, and along one axis each is a matrix: row i of their product holds the few weights with
which the input's pixels enter output i. A kernel that is the sum of separable ones needs two such
matrices for each term.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from basicsr.data.degradations import bivariate_Gaussian
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]

# What is left out of a kernel whose sum is 1: the ends along each axis, and separable terms once the rest is small.
# No pixel of an image in [0, 1] errs by more than four times the first and once the second.
TAIL = 1e-4
REST = 5e-4
# So many terms at full size take as long as the Fourier transform (41 x 41, float32, measured).
MOST_TERMS = 2
# Output rows for which one product of matrices is taken: more of them are more zeros, fewer are more calls.
BLOCK = 16


class Kernel(NamedTuple):
    """A blur kernel as sum over k of outer(``columns[k]``, ``rows[k]``), float64, odd lengths.

    ``full`` is the kernel itself where it was not separable to begin with.
    """

    columns: list[Array]
    rows: list[Array]
    full: Array | None = None


def isotropic(size: int, sigma: float) -> Kernel:
    """A round Gaussian of ``size`` x ``size`` pixels; ``sigma`` 0 leaves the image alone."""
    if sigma <= 0:
        return Kernel([np.ones(1)], [np.ones(1)])
    taps = cv2.getGaussianKernel(size, sigma, cv2.CV_64F)[:, 0]
    taps = taps[_within(taps)]
    taps = taps / taps.sum()
    return Kernel([taps], [taps])


def anisotropic(size: int, sigma: float, across: float, direction: float) -> Kernel:
    """A Gaussian with two sigmas, turned by ``direction`` (radians), as BasicSR makes it."""
    full = bivariate_Gaussian(size, sigma, across, direction, isotropic=False).astype(np.float64)
    full = full[_within(full.sum(1)), _within(full.sum(0))]
    full /= full.sum()
    u, s, v = np.linalg.svd(full, full_matrices=False)
    terms = next(k for k in range(1, len(s) + 1) if np.abs(full - (u[:, :k] * s[:k]) @ v[:k]).sum() < REST)
    return Kernel(list((u * s).T[:terms]), list(v[:terms]), full)


def _within(profile: Array) -> slice:
    """The middle of a symmetric profile, so long that what lies outside adds up to less than ``TAIL``."""
    tails = 2 * profile[: len(profile) // 2].cumsum()
    cut = int((tails < TAIL).sum())
    return slice(cut, len(profile) - cut)


def blur_and_resize(image: Array, kernel: Kernel, height: int, width: int, dtype: DTypeLike = np.float32) -> Array:
    """Convolve with ``kernel``, then resize bilinearly, as OpenCV does both (borders mirrored).

    Args:
        image: ``(h, w, 3)``, any numbers.
        kernel: of :func:`isotropic` or :func:`anisotropic`.
        height, width: size of the result; no values in between are averaged, as in OpenCV's INTER_LINEAR.
        dtype: float32, or float64, whose result is the same on every processor but for the last bits.

    Returns:
        ``(height, width, 3)``, of ``dtype``, unrounded.
    """
    image = image.astype(dtype)
    share = max(height / image.shape[0], width / image.shape[1])
    if kernel.full is not None and len(kernel.rows) * share > MOST_TERMS:
        planes = _convolved(image, kernel.full)
        return cv2.merge([cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR) for plane in planes])
    down = _Axis(image.shape[0], height, len(kernel.columns[0]))
    along = _Axis(image.shape[1], width, len(kernel.rows[0]))
    upright = np.zeros((width, height, image.shape[2]), dtype)
    for column, row in zip(kernel.columns, kernel.rows, strict=True):
        part = np.zeros((height, *image.shape[1:]), dtype)
        weights = down.weights(column).astype(dtype)
        down.add(weights, image, part)
        if row is not column or along != down:
            weights = along.weights(row).astype(dtype)
        along.add(weights, cv2.transpose(part), upright)
    return cv2.transpose(upright)


@dataclass(frozen=True)
class _Axis:
    """One axis: ``before`` pixels become ``after`` under a kernel of so many ``taps``."""

    before: int
    after: int
    taps: int

    @cached_property
    def position(self) -> Array:
        """Where between the pixels each output lies."""
        return ((np.arange(self.after) + 0.5) * (self.before / self.after) - 0.5).clip(0, self.before - 1)

    @cached_property
    def first(self) -> NDArray[np.int64]:
        """The pixel before it."""
        return np.minimum(self.position.astype(np.int64), max(0, self.before - 2))

    def weights(self, taps: Array) -> Array:
        """The matrix ``(after, before)`` of both steps.

        An output lies between two pixels; blurred, each is a window of pixels, so that its weights are those of
        two windows, a pixel apart, added.
        """
        half = self.taps // 2
        share = (self.position - self.first)[:, None]
        window = np.zeros((self.after, self.taps + 1))
        window[:, :-1] = (1 - share) * taps
        window[:, 1:] += share * taps
        # Columns for the pixels beyond both borders too, which mirror those within.
        padded = np.zeros((self.after, self.before + self.taps))
        padded[np.arange(self.after)[:, None], self.first[:, None] + np.arange(self.taps + 1)] = window
        matrix = padded[:, half : half + self.before]
        beyond = np.r_[-half:0, self.before : self.before + half + 1]
        np.add.at(matrix.T, _mirrored(beyond, self.before), padded.T[beyond + half])
        return matrix

    def add(self, weights: Array, image: Array, result: Array) -> None:
        """Add ``weights`` times ``(before, w, 3)`` to ``(after, w, 3)``, leaving out blocks that are zero."""
        factors = torch.from_numpy(weights)
        pixels, sums = (torch.from_numpy(a).flatten(1) for a in (image, result))
        half = self.taps // 2
        for start in range(0, self.after, BLOCK):
            stop = min(start + BLOCK, self.after)
            low, high = max(0, self.first[start] - half), min(self.before, self.first[stop - 1] + half + 2)
            sums[start:stop].addmm_(factors[start:stop, low:high], pixels[low:high])


def _convolved(image: Array, full: Array) -> Iterator[Array]:
    """The planes of ``(h, w, 3)`` convolved with a kernel of odd sides, borders mirrored, by their spectra.

    One after another: three at once are more than a processor's cache holds.
    """
    height, width = image.shape[:2]
    down, right = (side // 2 for side in full.shape)
    padded = cv2.copyMakeBorder(image, down, down, right, right, cv2.BORDER_REFLECT_101)
    sides = [_fast_length(side) for side in padded.shape[:2]]
    taps = torch.fft.rfft2(torch.from_numpy(full.astype(image.dtype)), s=sides)
    for plane in cv2.split(padded):
        spectrum = torch.fft.rfft2(torch.from_numpy(plane), s=sides).mul_(taps)
        # What comes before is where the kernel reaches beyond the padding.
        result = torch.fft.irfft2(spectrum, s=sides)[2 * down :, 2 * right :]
        yield result[:height, :width].numpy()


def _fast_length(length: int) -> int:
    """The next multiple of 16 that is made of 2, 3, 5 and 7 alone: its transform is quick, and such lengths are
    few, so that kernels of many sizes have one."""
    length += -length % 16
    while True:
        rest = length
        for prime in (2, 3, 5, 7):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 16


def _mirrored(index: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """The pixel that stands for one beyond the border: -1 is 1, ``length`` is ``length - 2``."""
    if length == 1:
        return np.zeros_like(index)
    period = 2 * (length - 1)
    index = np.abs(index) % period
    return np.minimum(index, period - index)
