"""Photos at a larger size: interpolated, or by a super-resolution network in tiles."""

import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from restoreformer.errors import RestoreFormerError, first_line
from restoreformer.extras import import_extra
from restoreformer.inference.photos import Photo, is_grey
from restoreformer.pretrained import local_file

# GFPGAN's name for its default.
NAMES = {"realesrgan": "RealESRGAN_x2plus.pth"}
# Pixels around a tile that the network sees and that are cut off again.
MARGIN = 16


def enlarged(photo: Photo, upscale: float) -> Photo:
    """The photo, of any form that a photo has, with sides ``upscale`` times as long, by cubic interpolation; always
    another array.

    Raises:
        RestoreFormerError: no longer a size that OpenCV has.
    """
    return photo.copy() if upscale == 1 else resized(photo, *enlarged_size(photo, upscale))


def enlarged_size(photo: Photo, upscale: float) -> tuple[int, int]:
    """Width and height of a photo with sides ``upscale`` times as long."""
    height, width = photo.shape[:2]
    return round(width * upscale), round(height * upscale)


def resized(photo: Photo, width: int, height: int) -> Photo:
    """The photo ``(h, w)``, ``(h, w, 3)`` or ``(h, w, 4)`` at another size: averaged where it shrinks, cubic where it
    grows.

    Raises:
        RestoreFormerError: a size that OpenCV does not have.
    """
    if photo.shape[:2] == (height, width):
        return photo
    shrinks = width < photo.shape[1] or height < photo.shape[0]
    try:
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        return cv2.resize(photo, (width, height), interpolation=interpolation).astype(photo.dtype, copy=False)
    except cv2.error as error:
        raise RestoreFormerError(f"Expected a photo that fits {width}x{height}, could not: {error}") from error


class Upsampler:
    """A super-resolution network that spandrel loads, run in tiles so that any photo fits.

    Args:
        model: ``realesrgan``, a name of ``restoreformer.pretrained.FILES``, or a file.
        device: where it runs.
        weights_dir: searched first for pretrained files, and downloaded to.
        tile: side of a tile in pixels of the photo; 0 takes the photo whole.

    Raises:
        RestoreFormerError: no spandrel, no such file, another kind of network, or a tile out of range.
    """

    def __init__(
        self, model: str | Path, device: torch.device, weights_dir: str | Path | None = None, tile: int = 400
    ) -> None:
        spandrel = import_extra("spandrel", "background")
        if tile < 0:
            raise RestoreFormerError(f"Expected a tile of 0 or more pixels, got {tile}.")
        path = local_file(NAMES.get(str(model), model), weights_dir)
        if not path.is_file():
            raise RestoreFormerError(
                f"Expected realesrgan or the file of a super-resolution network, found nothing at {path}."
            )
        try:
            net = spandrel.ModelLoader(device).load_from_file(path)
        except Exception as error:
            raise RestoreFormerError(
                f"Expected a network that spandrel loads in {path}, could not: {first_line(error)}"
            ) from error
        if not isinstance(net, spandrel.ImageModelDescriptor) or (net.purpose, net.input_channels) != ("SR", 3):
            raise RestoreFormerError(
                f"Expected a super-resolution network for RGB images in {path}, got {net.architecture.name} for "
                f"{net.purpose}: name another."
            )
        self.net = net.eval()
        self.scale = net.scale
        self.device = device
        # Networks that take pixels in groups see the same groups in each tile.
        group = max(1, net.size_requirements.multiple_of)
        self.tile = math.ceil(tile / group) * group
        self.margin = math.ceil(MARGIN / group) * group

    def __call__(self, photo: Photo, upscale: float) -> Photo:
        """The photo ``(h, w)``, ``(h, w, 3)`` or ``(h, w, 4)`` with sides ``upscale`` times as long.

        By the network, then resized to that. Alpha is interpolated, and a photo without colours stays without.

        Raises:
            RestoreFormerError: not enough memory for a tile.
        """
        size = enlarged_size(photo, upscale)
        if photo.ndim == 3 and is_grey(photo):
            result = np.repeat(resized(self._by_network(photo[:, :, 0]), *size)[:, :, None], 3, 2)
        else:
            result = resized(self._by_network(photo if photo.ndim == 2 else photo[:, :, :3]), *size)
        if photo.ndim == 3 and photo.shape[2] == 4:
            return np.dstack([result, resized(np.ascontiguousarray(photo[:, :, 3]), *size)])
        return result

    def _by_network(self, photo: Photo) -> Photo:
        height, width = photo.shape[:2]
        result = np.empty((height * self.scale, width * self.scale, *photo.shape[2:]), photo.dtype)
        for y, x in self._tiles(height, width):
            # What the network is shown, and how much of it lies before the tile.
            top, left = max(0, y - self.margin), max(0, x - self.margin)
            bottom, right = y + (self.tile or height), x + (self.tile or width)
            shown = self._upsampled(photo[top : bottom + self.margin, left : right + self.margin])
            kept = shown[(y - top) * self.scale : (bottom - top) * self.scale]
            kept = kept[:, (x - left) * self.scale : (right - left) * self.scale]
            result[y * self.scale : bottom * self.scale, x * self.scale : right * self.scale] = kept
        return result

    def _tiles(self, height: int, width: int) -> Iterator[tuple[int, int]]:
        """Top left corner of each tile."""
        for y in range(0, height, self.tile or height):
            for x in range(0, width, self.tile or width):
                yield y, x

    @torch.inference_mode()
    def _upsampled(self, part: Photo) -> Photo:
        greatest = np.iinfo(part.dtype).max
        bgr = part if part.ndim == 3 else np.repeat(part[:, :, None], 3, 2)
        rgb = torch.from_numpy(np.ascontiguousarray(bgr[:, :, ::-1])).to(self.device)
        try:
            out: Tensor = self.net((rgb.permute(2, 0, 1).float() / greatest)[None])[0]
        except RuntimeError as error:
            raise RestoreFormerError(
                f"Expected to enlarge a tile of {part.shape[1]}x{part.shape[0]}, could not: {first_line(error)} If "
                "it was for want of memory, choose smaller tiles."
            ) from error
        image = (out.clamp(0, 1) * greatest).round().permute(1, 2, 0).cpu().numpy()[:, :, ::-1].astype(part.dtype)
        if part.ndim == 2:
            return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2GRAY).astype(part.dtype, copy=False)
        return image
