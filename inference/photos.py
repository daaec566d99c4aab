"""Photos as their files have them, grey or colour, with alpha or without, of 8 or 16 bits, and the way to 8-bit BGR."""

import re
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import PIL.PngImagePlugin
import PIL.TiffImagePlugin
import PIL.WebPImagePlugin
from numpy.typing import NDArray

from restoreformer.errors import RestoreFormerError
from restoreformer.images import SUFFIXES, Image, read_bytes, refuse_size, write

_JPEG, _END_OF_JPEG = b"\xff\xd8", b"\xff\xd9"
# Any number of these stands before a mark. Some marks have no length behind them; a scan or the end ends the segments.
_FILL = re.compile(rb"\xff+")
_WITHOUT_LENGTH, _LAST_MARKS = {0x01, *range(0xD0, 0xD9)}, {0xD9, 0xDA}
# Those that OpenCV turns as their EXIF data say in some versions only.
_TURNED_HERE = (b"\x89PNG", b"RIFF")
_ORIENTATION = 0x0112

# (h, w) grey, (h, w, 3) BGR or (h, w, 4) BGRA, of uint8 or uint16, as OpenCV has them.
Photo = NDArray[np.unsignedinteger[Any]]

# Files that are taken for photos: those that are written, and others that OpenCV reads, or that are to be told of.
READ_SUFFIXES = SUFFIXES | {".gif", ".jfif", ".jpe", ".jp2", ".avif", ".ppm", ".pgm", ".heic", ".heif"}
# What a kind of file holds beside 8-bit BGR, where OpenCV writes it.
HOLD_16_BITS = {".png", ".tif", ".tiff"}
HOLD_ALPHA = {".png", ".tif", ".tiff", ".webp", ".bmp"}
# Longest side in pixels.
LONGEST_SIDES = {".jpg": 65535, ".jpeg": 65535, ".webp": 16383}


class CutOffError(RestoreFormerError):
    """A photo whose file ends before it does.

    Attributes:
        photo: what there is of it, grey below.
    """

    def __init__(self, path: Path, photo: Photo) -> None:
        super().__init__(f"Expected a whole photo in {path}, it is cut off: only what is there can be restored.")
        self.photo = photo


def check_photo(photo: Photo) -> None:
    """See that an array can be a photo.

    Raises:
        RestoreFormerError: another shape or type than :data:`Photo` has, or no pixels.
    """
    form = photo.ndim == 2 or (photo.ndim == 3 and photo.shape[2] in (3, 4))
    if not form or photo.dtype not in (np.uint8, np.uint16) or 0 in photo.shape:
        raise RestoreFormerError(
            f"Expected a photo (h, w), (h, w, 3) or (h, w, 4) of uint8 or uint16, got {photo.shape} of {photo.dtype}."
        )


def read_photo(path: Path) -> Photo:
    """The photo in a file with its own channels and depth, turned as its EXIF data say.

    Raises:
        CutOffError: the file is a part of a JPEG.
        RestoreFormerError: the file cannot be read, or holds no picture, several, or numbers of another kind.
    """
    data = read_bytes(path)
    turned_here = data.startswith(_TURNED_HERE)
    flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH | (cv2.IMREAD_IGNORE_ORIENTATION if turned_here else 0)
    # Some versions of OpenCV take a part of a JPEG for the whole.
    cut_off = data.startswith(_JPEG) and not _has_end(data)
    photo = None if cut_off else _decode(data, flags, path)
    if cut_off and (part := _decode(data + _END_OF_JPEG, flags, path)) is not None:
        raise CutOffError(path, part)
    if photo is None:
        raise RestoreFormerError(
            f"Expected an image in {path}, got {len(data)} bytes that OpenCV does not read as one."
        )
    if photo.dtype not in (np.uint8, np.uint16):
        raise RestoreFormerError(f"Expected 8 or 16 bits a colour in {path}, got {photo.dtype}: convert it.")
    if data.startswith(_JPEG):  # JPEG has neither alpha nor frames.
        return photo
    frames, has_alpha = _header(data)
    if frames > 1:
        raise RestoreFormerError(f"Expected one picture in {path}, got {frames}: restore them one by one.")
    photo = photo if has_alpha is False else _with_alpha(data, photo, path, has_alpha)
    return _upright(photo, _orientation(data)) if turned_here else photo


def read_part(path: Path) -> tuple[Photo, str | None]:
    """What :func:`read_photo` gives, and None; of a photo that is cut off what there is, and a line that says so.

    Raises:
        RestoreFormerError: as :func:`read_photo`.
    """
    try:
        return read_photo(path), None
    except CutOffError as error:
        return error.photo, str(error)


def _decode(data: bytes, flags: int, path: Path) -> NDArray[Any] | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error as error:
        if error.code == cv2.Error.STS_NO_MEM:
            raise MemoryError(str(error)) from error
        refuse_size(error, f"in {path}")
        return None


def _has_end(jpeg: bytes) -> bool:
    """Whether the end's mark comes anywhere behind the segments, of which one may hold a smaller JPEG with its own."""
    at = len(_JPEG)
    while (fill := _FILL.match(jpeg, at)) and (place := fill.end()) + 3 <= len(jpeg) and jpeg[place] not in _LAST_MARKS:
        has_length = jpeg[place] not in _WITHOUT_LENGTH
        at = place + 1 + (int.from_bytes(jpeg[place + 1 : place + 3], "big") if has_length else 0)
    return _END_OF_JPEG in jpeg[at:]


def _header(data: bytes) -> tuple[int, bool | None]:
    """How many frames, and whether there is alpha; None where Pillow does not tell."""
    try:
        with _open(data) as image:
            return getattr(image, "n_frames", 1), image.has_transparency_data
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError):
        # OpenCV has read it, so it is a picture; whether it has alpha is seen there.
        return 1, None


def _orientation(data: bytes) -> int:
    """EXIF's number of how a picture lies, 1 where it tells none."""
    exif = PIL.Image.Exif()
    try:
        with _open(data) as image:
            exif.load(image.info.get("exif") or b"")
            return exif.get(_ORIENTATION, 1)
    except Exception:
        # Whatever Pillow stumbles over in a damaged block: the picture itself OpenCV has read.
        return 1


def _upright(photo: Photo, orientation: int) -> Photo:
    """A photo turned and mirrored by EXIF's number, 1 to 8; 1, and what is no such number, leave it as it is."""
    if orientation in (5, 6, 7, 8):
        photo = photo.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        photo = photo[::-1]
    if orientation in (2, 3, 6, 7):
        photo = photo[:, ::-1]
    return np.ascontiguousarray(photo)


def _open(data: bytes) -> PIL.Image.Image:
    # Without the limit that Pillow has, which a large scan exceeds.
    if _is_tiff(data):
        return PIL.TiffImagePlugin.TiffImageFile(BytesIO(data))
    if data.startswith(_TURNED_HERE):
        png = data.startswith(_TURNED_HERE[0])
        return (PIL.PngImagePlugin.PngImageFile if png else PIL.WebPImagePlugin.WebPImageFile)(BytesIO(data))
    with warnings.catch_warnings():
        # Size is for OpenCV to judge, which has decoded it by now.
        warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
        return PIL.Image.open(BytesIO(data))


def _is_tiff(data: bytes) -> bool:
    return data[:2] in (b"II", b"MM")


def _with_alpha(data: bytes, colours: Photo, path: Path, has_alpha: bool | None) -> Photo:
    # OpenCV does not turn pictures with alpha, and in TIFFs of 8 bits it multiplies colours by it.
    if not _is_tiff(data) or colours.dtype == np.uint16:
        whole = _decode(data, cv2.IMREAD_UNCHANGED, path)
        if whole is not None and whole.shape[2:] == (4,) and np.array_equal(whole[:, :, :3], colours):
            return whole
        if has_alpha is None:
            return colours
        if colours.dtype == np.uint16:
            raise RestoreFormerError(f"Expected {path} upright or without alpha, got 16 bits with both: turn it.")
    try:
        with _open(data) as image:
            upright = image if data.startswith(_TURNED_HERE) else PIL.ImageOps.exif_transpose(image)
            turned = np.asarray(upright.convert("RGBA"))
    except (OSError, PIL.Image.DecompressionBombError) as error:
        raise RestoreFormerError(f"Expected {path} upright or without alpha, could not turn it: {error}") from error
    return cv2.cvtColor(turned, cv2.COLOR_RGBA2BGRA).astype(np.uint8, copy=False)


def write_photo(path: Path, photo: Photo) -> None:
    """Write a photo, as far as that kind of file holds it: else 16 bits become 8, and alpha is left out.

    Raises:
        RestoreFormerError: it cannot be written there, or not as that kind.
    """
    suffix = path.suffix.lower()
    height, width = photo.shape[:2]
    if max(height, width) > (longest := LONGEST_SIDES.get(suffix, max(height, width))):
        raise RestoreFormerError(
            f"Expected sides of up to {longest} pixels for {path}, got {width}x{height}: write PNG, or enlarge it less."
        )
    if photo.dtype == np.uint16 and suffix not in HOLD_16_BITS:
        photo = in_8_bits(photo)
    if photo.ndim == 3 and photo.shape[2] == 4 and suffix not in HOLD_ALPHA:
        photo = np.ascontiguousarray(photo[:, :, :3])
    write(path, photo)


def in_8_bits(photo: Photo) -> NDArray[np.uint8]:
    """A photo ``(h, w)``, ``(h, w, 3)`` or ``(h, w, 4)`` with its values as 0 to 255, rounded."""
    if photo.dtype == np.uint8:
        return photo.astype(np.uint8, copy=False)
    return cv2.convertScaleAbs(photo, alpha=1 / 257).astype(np.uint8, copy=False)


def as_bgr(photo: Photo) -> Image:
    """A photo as the networks take it: BGR ``(h, w, 3)`` of uint8, without alpha; the photo itself if it is that."""
    eight = in_8_bits(photo)
    if eight.ndim == 2:
        return cv2.cvtColor(eight, cv2.COLOR_GRAY2BGR).astype(np.uint8, copy=False)
    return eight if eight.shape[2] == 3 else np.ascontiguousarray(eight[:, :, :3])


def is_grey(photo: Photo) -> bool:
    """Whether a photo has no colours, be it stored as grey ``(h, w)`` or as three alike ``(h, w, 3 or 4)``."""
    if photo.ndim == 2:
        return True
    blue, green, red = (photo[:, :, i] for i in range(3))
    return np.array_equal(blue, green) and np.array_equal(green, red)


def in_grey(image: Image) -> Image:
    """An image ``(h, w, 3)`` without its colours, of the same shape."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR).astype(np.uint8, copy=False)


def colours_like(photo: Photo, image: Image) -> Photo:
    """BGR uint8 ``(h, w, 3)`` in the depth of ``photo``, and grey ``(h, w)`` where ``photo`` has one channel."""
    if photo.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.uint8, copy=False)
    return image.astype(np.uint16) * np.uint16(257) if photo.dtype == np.uint16 else image
