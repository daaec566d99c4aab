"""Images as everything here holds them, BGR ``(h, w, 3)`` uint8 as OpenCV's, and the way to tensors and back."""

import base64
import math
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restoreformer import LARGEST_IMAGE
from restoreformer.errors import RestoreFormerError
from restoreformer.whole_file import whole_file

Image = NDArray[np.uint8]
# Luma of BGR (ITU-R BT.601), OpenCV's weights for grey.
LUMA = np.array([0.114, 0.587, 0.299])
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


def decode(data: bytes | None, what: str) -> Image:
    """An encoded image as BGR ``(h, w, 3)``, turned as its EXIF data say.

    Raises:
        RestoreFormerError: ``data`` is missing, no image, or one that is too large; ``what`` says whose it was.
    """
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except cv2.error as error:
        refuse_size(error, what)
        image = None
    if image is None:
        raise RestoreFormerError(f"Expected an image {what}, got {len(data or b'')} bytes that are none.")
    return image.astype(np.uint8, copy=False)


def refuse_size(error: cv2.error, what: str) -> None:
    """Tell of an image that OpenCV did not decode because its header claims more pixels than are allowed.

    Raises:
        RestoreFormerError: it is so; ``what`` says which image.
    """
    if "CV_IO_MAX_IMAGE" in str(error):
        most = os.environ.get(LARGEST_IMAGE, 2**30)
        raise RestoreFormerError(
            f"Expected an image of at most {most} pixels {what}, its header claims more: set {LARGEST_IMAGE} if it "
            "is so."
        ) from error


def read_bytes(path: Path) -> bytes:
    """What an image's file holds, not decoded.

    Raises:
        RestoreFormerError: the file cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise RestoreFormerError(f"Expected an image in {path}, could not read it: {error.strerror}.") from error


def read(path: Path) -> Image:
    """The image in a file, as :func:`decode` gives it.

    Raises:
        RestoreFormerError: the file cannot be read or holds no image.
    """
    return decode(read_bytes(path), f"in {path}")


def write(path: Path, image: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Write an image, of the kind that the suffix says, making its folder; it appears there when it is whole.

    Raises:
        RestoreFormerError: it cannot be written there, or not as that kind.
    """
    try:
        # Of itself OpenCV writes WebP without loss, several times as large; 95 is what JPEG has.
        options = [cv2.IMWRITE_WEBP_QUALITY, 95] if path.suffix.lower() == ".webp" else []
        whole, data = cv2.imencode(path.suffix, image, options)
    except cv2.error as error:
        raise RestoreFormerError(f"Expected to write {path}, could not: {str(error).strip()}.") from error
    if not whole:
        raise RestoreFormerError(f"Expected to write {path}, could not encode {image.shape} of {image.dtype} so.")
    with whole_file(path) as part:
        part.write_bytes(data.tobytes())


def data_url(image: Image, quality: int) -> str:
    """The image as WebP of that quality, 1 to 100, within an address that a page shows it by."""
    _, data = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, quality])
    return "data:image/webp;base64," + base64.b64encode(data.tobytes()).decode()


def resize(image: Image, width: int, height: int) -> Image:
    """The image at another size: averaged where it shrinks, bilinear where it grows."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = width < image.shape[1] or height < image.shape[0]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=interpolation).astype(np.uint8, copy=False)


def squared(image: Image, size: int, what: str) -> Image:
    """A square image ``(s, s, 3)`` as ``(size, size, 3)``, averaged down if it is larger.

    Raises:
        RestoreFormerError: it is not square, or smaller; ``what`` says whose it is.
    """
    height, width = image.shape[:2]
    if height != width or height < size:
        raise RestoreFormerError(
            f"Expected a square image of at least {size}x{size} {what}, got {width}x{height}: align it, or name a "
            "smaller size."
        )
    return resize(image, size, size)


def tiled(tiles: Sequence[Image]) -> Image:
    """Images ``(h, w, 3)`` of one size row by row, nearly square, the first top left; what is left over is grey."""
    across = math.ceil(math.sqrt(len(tiles)))
    blank = np.full_like(tiles[0], 128)
    rows = math.ceil(len(tiles) / across)
    padded = [*tiles, *[blank] * (rows * across - len(tiles))]
    return np.vstack([np.hstack(padded[i : i + across]) for i in range(0, len(padded), across)])


def captioned(image: Image, text: str, height: int = 22) -> Image:
    """Return the image under a line of ``text``, ASCII, black on white, of ``height`` pixels."""
    bar = np.full((height, image.shape[1], 3), 255, np.uint8)
    cv2.putText(bar, text, (4, height - 6), cv2.FONT_HERSHEY_SIMPLEX, height / 44, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([bar, image])


def to_tensor(image: Image) -> Tensor:
    """BGR uint8 ``(h, w, 3)`` to RGB float32 ``(3, h, w)`` in [-1, 1]."""
    planes = np.empty((3, *image.shape[:2]), np.float32)
    # Each plane while it is in the processor's cache: samples are made of little else but such copies.
    for plane, channel in zip(planes, reversed(cv2.split(image)), strict=True):
        np.multiply(channel, np.float32(1 / 127.5), out=plane)
        plane -= 1
    return torch.from_numpy(planes)


def to_batch(images: Sequence[Image], device: torch.device) -> Tensor:
    """BGR uint8 images ``(h, w, 3)`` of one size to what :func:`to_tensor` makes of each, ``(n, 3, h, w)``.

    They travel to the device as bytes, and lie there in the order that convolutions like (channels last).
    """
    pixels = torch.from_numpy(np.stack(images)).to(device)
    return pixels.permute(0, 3, 1, 2).flip(1).float().mul_(1 / 127.5).sub_(1)


def to_images(batch: Tensor) -> list[Image]:
    """RGB ``(n, 3, h, w)``, clamped to [-1, 1], to BGR uint8 images ``(h, w, 3)``.

    All is done on the batch's device, which hands out bytes.
    """
    pixels = batch.detach().clamp(-1, 1).float().add_(1).mul_(127.5).round_().byte()
    return list(pixels.flip(1).permute(0, 2, 3, 1).contiguous().cpu().numpy())


def to_image(tensor: Tensor) -> Image:
    """RGB ``(3, h, w)``, clamped to [-1, 1], to BGR uint8 ``(h, w, 3)``."""
    return to_images(tensor[None])[0]
