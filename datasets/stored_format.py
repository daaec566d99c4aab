"""How an LMDB stores its images; docs/data.md has the measured size and decoding time of each."""

from dataclasses import dataclass
from typing import NamedTuple

import cv2

from restoreformer.errors import RestoreFormerError
from restoreformer.images import Image


class _Codec(NamedTuple):
    suffix: str
    levels: range
    default: int
    flags: tuple[int, ...]
    level_flag: int


# WebP without loss is quality 101 to OpenCV; JPEG keeps a colour for each pixel.
CODECS = {
    "png": _Codec(".png", range(10), 1, (), cv2.IMWRITE_PNG_COMPRESSION),
    "webp": _Codec(".webp", range(101, 102), 101, (), cv2.IMWRITE_WEBP_QUALITY),
    "jpeg": _Codec(
        ".jpg",
        range(1, 101),
        95,
        (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
        cv2.IMWRITE_JPEG_QUALITY,
    ),
}


@dataclass(frozen=True)
class StoredFormat:
    """A format and its level.

    Attributes:
        name: ``png`` or ``webp``, both without loss, or ``jpeg``.
        level: of PNG 0 (large, quick) to 9, default 1, which is BasicSR's; of JPEG the quality, 1 to 100,
            default 95; WebP has none.

    Raises:
        RestoreFormerError: an unknown format, or a level that it does not have.
    """

    name: str = "png"
    level: int | None = None

    def __post_init__(self) -> None:
        if self.name not in CODECS:
            raise RestoreFormerError(f"Expected a format among {', '.join(CODECS)}, got {self.name}.")
        levels = self._codec.levels
        if self.level is None:
            object.__setattr__(self, "level", self._codec.default)
        elif self.level not in levels:
            known = "no level" if len(levels) == 1 else f"a level from {levels[0]} to {levels[-1]}"
            raise RestoreFormerError(f"Expected {known} for {self.name}, got {self.level}.")

    @property
    def _codec(self) -> _Codec:
        return CODECS[self.name]

    @property
    def suffix(self) -> str:
        """What an image's name ends in, in the LMDB's list."""
        return self._codec.suffix

    def encode(self, image: Image) -> bytes:
        """An image, BGR ``(h, w, 3)`` uint8, as a file of this format."""
        assert self.level is not None
        _, data = cv2.imencode(self.suffix, image, [*self._codec.flags, self._codec.level_flag, self.level])
        return data.tobytes()
