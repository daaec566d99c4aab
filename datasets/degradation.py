"""The degradation model of Eq. 19: blur, downsample, noise, JPEG, back to size; and colours, as peers add them."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from restoreformer.datasets.blur import Kernel, anisotropic, blur_and_resize, isotropic
from restoreformer.errors import RestoreFormerError
from restoreformer.images import LUMA, Image, decode

Range = Sequence[float]


class Strengths(NamedTuple):
    """What was drawn for one image; the names are those of :class:`Degradation`'s ranges.

    Attributes:
        across: the second sigma of a kernel that is not round, and ``direction`` its angle in radians.
        shift: grey levels added to blue, green and red.
        tone: factors of brightness, contrast and saturation.
        gray: whether the image loses its colours.
    """

    blur_sigma: float
    downsample: float
    noise: float
    jpeg: int
    blur_kernel_size: int
    across: float | None = None
    direction: float = 0.0
    shift: tuple[float, float, float] | None = None
    tone: tuple[float, float, float] | None = None
    gray: bool = False


@dataclass(frozen=True)
class Degradation:
    """Ranges of Eq. 19, drawn uniformly for each image. The defaults are the paper's (Sec. 4.1).

    Attributes:
        blur_sigma: sigma of the Gaussian kernel, pixels, 0 to 1000; 0 is no blur.
        downsample: factor r by which the sides shrink (bilinear), 0.1 to 1000; below 1 they grow.
        noise: sigma delta of white Gaussian noise, grey levels, 0 to 255.
        jpeg: quality q, 1 to 100, rounded to a whole number.
        blur_kernel_size: side of the kernel, odd, 1 to 999, or several to choose from (the paper is silent; the
            released code's are 39 and 41).
        anisotropic: share of kernels with two sigmas and a direction (the released code's 0.5).
        color_jitter_prob: share of images whose three colours are shifted, each by up to
            ``color_jitter_shift`` grey levels (GFPGAN's names and meaning).
        tone_prob: share of images with factors from ``brightness``, ``contrast`` and ``saturation``.
        gray_prob: share of images that lose their colours.

    Raises:
        RestoreFormerError: a range that is not two ascending numbers within sense.
    """

    blur_sigma: Range = (0.2, 10.0)
    downsample: Range = (1.0, 8.0)
    noise: Range = (0.0, 20.0)
    jpeg: Range = (60.0, 100.0)
    blur_kernel_size: int | Sequence[int] = 41
    anisotropic: float = 0.0
    color_jitter_prob: float = 0.0
    color_jitter_shift: float = 20.0
    tone_prob: float = 0.0
    brightness: Range = (0.5, 1.5)
    contrast: Range = (0.5, 1.5)
    saturation: Range = (0.0, 1.5)
    gray_prob: float = 0.0

    def __post_init__(self) -> None:
        limits = {"blur_sigma": (0, 1000), "downsample": (0.1, 1000), "noise": (0, 255), "jpeg": (1, 100)}
        limits |= dict.fromkeys(("brightness", "contrast", "saturation"), (0, 10))
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            ok = isinstance(value, Sequence) and len(value) == 2 and all(_is_number(v) for v in value)
            if not ok or not low <= value[0] <= value[1] <= high:
                raise RestoreFormerError(
                    f"Expected degradation: {name} to be two ascending numbers from {low} to {high}, got {value}."
                )
        sizes = self._kernel_sizes()
        if not sizes or any(type(k) is not int or k not in range(1, 1000, 2) for k in sizes):
            raise RestoreFormerError(
                f"Expected degradation: blur_kernel_size to be odd, from 1 to 999, got {self.blur_kernel_size}."
            )
        most = dict.fromkeys(("anisotropic", "color_jitter_prob", "tone_prob", "gray_prob"), 1)
        for name, high in {**most, "color_jitter_shift": 255}.items():
            if not _is_number(value := getattr(self, name)) or not 0 <= value <= high:
                raise RestoreFormerError(f"Expected degradation: {name} to be a number from 0 to {high}, got {value}.")

    def scaled(self, factor: float) -> "Degradation":
        """Scale blur, kernel and downsampling by ``factor``, the face's size over the reference size.

        The factor of downsampling r becomes ``1 + factor * (r - 1)``, so that r = 1 stays. Noise and JPEG are kept:
        they act on the downsampled image.
        """
        sizes = tuple(2 * round((factor * k - 1) / 2) + 1 for k in self._kernel_sizes())
        return replace(
            self,
            blur_sigma=tuple(factor * sigma for sigma in self.blur_sigma),
            downsample=tuple(1 + factor * (r - 1) for r in self.downsample),
            blur_kernel_size=tuple(max(1, size) for size in sizes),
        )

    def _kernel_sizes(self) -> Sequence[int]:
        return self.blur_kernel_size if isinstance(self.blur_kernel_size, Sequence) else (self.blur_kernel_size,)

    def draw(self, rng: np.random.Generator) -> Strengths:
        """Draw the strengths for one image; the same state of ``rng`` gives the same ones."""
        ranges = (self.blur_sigma, self.downsample, self.noise, self.jpeg)
        sigma, factor, delta, quality = (_uniform(r, rng) for r in ranges)
        sizes = self._kernel_sizes()
        drawn = Strengths(sigma, factor, delta, round(quality), sizes[0] if len(sizes) == 1 else int(rng.choice(sizes)))
        # What is off draws nothing: the paper's settings give the same values whatever options are added here.
        if sigma > 0 and _happens(self.anisotropic, rng):
            across = max(_uniform(self.blur_sigma, rng), 1e-3)
            drawn = drawn._replace(across=across, direction=float(rng.uniform(-np.pi, np.pi)))
        if _happens(self.color_jitter_prob, rng):
            blue, green, red = map(float, rng.uniform(-self.color_jitter_shift, self.color_jitter_shift, 3))
            drawn = drawn._replace(shift=(blue, green, red))
        if _happens(self.tone_prob, rng):
            brightness, contrast = _uniform(self.brightness, rng), _uniform(self.contrast, rng)
            drawn = drawn._replace(tone=(brightness, contrast, _uniform(self.saturation, rng)))
        return drawn._replace(gray=_happens(self.gray_prob, rng))

    def __call__(
        self, image: Image, rng: np.random.Generator, drawn: Strengths | None = None, exact: bool = False
    ) -> Image:
        """Degrade one image.

        Args:
            image: BGR, ``(h, w, 3)``, uint8.
            rng: source of all chance: the same state gives the same result.
            drawn: strengths to use; otherwise they are drawn first.
            exact: compute in float64: what processors compute otherwise is then too little to round otherwise.

        Returns:
            The degraded image at the size of ``image``, uint8.
        """
        drawn = self.draw(rng) if drawn is None else drawn
        height, width = image.shape[:2]
        small_height, small_width = (max(1, round(side / drawn.downsample)) for side in (height, width))
        # Noise is added to unrounded values: blur leaves faint detail between grey levels.
        dtype = np.float64 if exact else np.float32
        small = blur_and_resize(image, _kernel(drawn), small_height, small_width, dtype)
        noise = rng.standard_normal(small.shape, dtype=np.float32).astype(small.dtype, copy=False)
        noise *= drawn.noise
        small += noise
        small = np.clip(np.rint(small, out=small), 0, 255, out=small).astype(np.uint8)
        large = cv2.resize(jpeg(small, drawn.jpeg), (width, height), interpolation=cv2.INTER_LINEAR)
        return _recolor(large.astype(np.uint8, copy=False), drawn)


def _kernel(drawn: Strengths) -> Kernel:
    if drawn.across is None:
        return isotropic(drawn.blur_kernel_size, drawn.blur_sigma)
    return anisotropic(drawn.blur_kernel_size, drawn.blur_sigma, drawn.across, drawn.direction)


def _recolor(image: Image, drawn: Strengths) -> Image:
    """Shift, tone and grey, in this order, as one affine map of the colours."""
    if drawn.shift is None and drawn.tone is None and not drawn.gray:
        return image
    matrix: NDArray[Any] = np.eye(3, 4)
    if drawn.shift is not None:
        matrix[:, 3] = drawn.shift
    if drawn.tone is not None:
        brightness, contrast, saturation = drawn.tone
        mean = LUMA @ matrix @ [*cv2.mean(image)[:3], 1]
        matrix = brightness * contrast * (saturation * matrix + (1 - saturation) * (LUMA @ matrix))
        matrix[:, 3] += brightness * (1 - contrast) * mean
    if drawn.gray:
        matrix = np.tile(LUMA @ matrix, (3, 1))
    return cv2.transform(image, matrix).astype(np.uint8, copy=False)


def _uniform(bounds: Range, rng: np.random.Generator) -> float:
    low, high = bounds
    return float(rng.uniform(low, high))


def _happens(share: float, rng: np.random.Generator) -> bool:
    return share > 0 and rng.random() < share


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def jpeg(image: Image, quality: int) -> Image:
    """Compress to JPEG of ``quality`` (1 to 100) and decode again."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return decode(data.tobytes(), "just compressed")


PAPER = Degradation()
RELEASED = replace(PAPER, blur_sigma=(0.1, 10.0), downsample=(0.8, 8.0), blur_kernel_size=(39, 41), anisotropic=0.5)
# For photos as people have them; the colours are those of GFPGAN's training but for the hue.
MIXED = replace(RELEASED, color_jitter_prob=0.3, tone_prob=0.3, gray_prob=0.01)
PRESETS = {"paper": PAPER, "released": RELEASED, "mixed": MIXED}
MAX_REFERENCE_SIZE = 8192
# Thirds of the paper's ranges, for pictures and tables by strength.
STRENGTHS = {
    "mild": Degradation((0.2, 3.5), (1.0, 3.3), (0.0, 6.7), (87.0, 100.0)),
    "medium": Degradation((3.5, 6.7), (3.3, 5.7), (6.7, 13.3), (73.0, 87.0)),
    "strong": Degradation((6.7, 10.0), (5.7, 8.0), (13.3, 20.0), (60.0, 73.0)),
}
DEGRADATION_KEYS = ("preset", "reference_size", *(f.name for f in fields(Degradation)))


def file_seed(name: str, seed: int) -> tuple[int, int]:
    """What a test face's chance begins with, by its name alone: ``seed``, and the name's CRC-32."""
    return seed, zlib.crc32(name.encode())


def file_generator(name: str, seed: int) -> np.random.Generator:
    """What a test face's degradation is drawn from: the same for a name and a seed, in every run."""
    return np.random.default_rng(file_seed(name, seed))


def build_degradation(options: Mapping[str, Any], size: int) -> Degradation:
    """Build a degradation from an option file's block.

    Args:
        options: ``preset`` (default ``paper``), values of :class:`Degradation` that replace the preset's, and
            ``reference_size``: the side in pixels of the faces that all these values are meant for, 512 for the
            presets. They are then scaled to ``size``. Without it they are used unscaled.
        size: side of the faces in pixels (``gt_size``).

    Raises:
        RestoreFormerError: an unknown preset, or a value out of range.
    """
    values = dict(options)
    preset, reference = values.pop("preset", "paper"), values.pop("reference_size", None)
    if not isinstance(preset, str) or preset not in PRESETS:
        raise RestoreFormerError(f"Expected degradation: preset to be one of {', '.join(PRESETS)}, got {preset}.")
    degradation = replace(PRESETS[preset], **values)
    if reference is None:
        return degradation
    if type(reference) is not int or not 1 <= reference <= MAX_REFERENCE_SIZE:
        raise RestoreFormerError(
            f"Expected degradation: reference_size to be a whole number from 1 to {MAX_REFERENCE_SIZE}, "
            f"got {reference}."
        )
    try:
        return degradation.scaled(size / reference)
    except RestoreFormerError as error:
        raise RestoreFormerError(f"{error} This is after scaling from reference_size {reference} to {size}.") from error
