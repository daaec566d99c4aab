"""Restoring photos and aligned faces with a trained RestoreFormer."""

import copy
import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch

from restoreformer.archs.autoencoder import VQAutoencoder
from restoreformer.archs.build import build_from_checkpoint
from restoreformer.archs.checkpoint import read_checkpoint
from restoreformer.archs.precision import set_precision
from restoreformer.detection import DetectedFace, build_detector
from restoreformer.device import choose_device
from restoreformer.errors import RestoreFormerError
from restoreformer.geometry import FRAME
from restoreformer.images import Image, resize, to_batch, to_images
from restoreformer.inference.alignment import alignment, crop_face, from_resized
from restoreformer.inference.batches import PlacedPhoto, in_batches
from restoreformer.inference.color_fix import check_color_fix, fix_color
from restoreformer.inference.onnx_network import OnnxNetwork
from restoreformer.inference.pasting import paste_face
from restoreformer.inference.photos import Photo, as_bgr, check_photo, in_grey, is_grey, read_photo
from restoreformer.inference.upsampling import Upsampler, enlarged
from restoreformer.pretrained import FILES, UnavailableError, local_file, search_folders

logger = logging.getLogger("restoreformer")

DEFAULT_MODEL = "RestoreFormer.ckpt"
# Used instead where the default is unavailable; it comes with the package.
SMALL_MODEL = "small"
# Landmarks of a smaller face, in pixels between the eyes, say nothing of how it lies. As GFPGAN's.
LEAST_EYE_DISTANCE = 5
# How many times longer the sides of a photo may become.
LARGEST_UPSCALE = 8


class RestoredFace(NamedTuple):
    """A face of a photo.

    Attributes:
        crop: before, aligned, BGR ``(size, size, 3)`` uint8.
        restored: after, of the same shape.
        found: where it was found, in pixels of the photo as it came: box, score, landmarks.
    """

    crop: Image
    restored: Image
    found: DetectedFace


class RestoredPhoto(NamedTuple):
    """The photo with its faces restored, of the input's channels and type, and the faces, largest first."""

    image: Photo
    faces: list[RestoredFace]


class FaceRestorer:
    """A network, a detector and what lies between them and a photo.

    Several threads may use one: it holds nothing of a photo.

    Attributes:
        about: where the network's weights come from, as its file says.
        notes: lines that a user should see before the first result; they are logged as warnings too.

    Args:
        model: a name of ``restoreformer.pretrained.FILES`` or ``SHIPPED``, or a path: the authors' ``.ckpt``,
            GFPGAN's ``.pth``, a file that training here wrote, or an ``.onnx`` of ``scripts/export_onnx.py``, which
            has its own precision. None takes the authors', or ``small`` where that is unavailable.
        detector: what ``restoreformer.detection.build_detector`` takes, or None to restore aligned faces only.
        device: ``cuda``, ``mps``, ``cpu``; None takes the best there is.
        weights_dir: searched first for pretrained files, and downloaded to.
        precision: ``fp32``, ``bf16`` or ``fp16``, see :func:`~restoreformer.archs.precision.set_precision`.
        batch_size: how many faces go through the network at once.
        compile: have ``torch.compile`` prepare the network, which takes a minute or so at its first face and
            again for another number of faces.
        background: what :class:`~restoreformer.inference.upsampling.Upsampler` takes, to restore the rest of the
            photo too; None interpolates where a photo is enlarged.
        tile: side in pixels of the tiles in which the background goes through its network.
        confidence: least score of a face, 0 to 1; None takes what suits the detector.
        keep_detail: for faces larger than the network's size, add the network's change to the photo instead of
            replacing the face, so that finer detail stays. None does so for networks of less than 512 pixels.
        color_fix: ``none``, ``low`` or ``chroma``: what a restored face takes from the degraded one, see
            :mod:`~restoreformer.inference.color_fix`; None takes what suits the network.

    Raises:
        RestoreFormerError: weights that cannot be had, or that are another network's, or values out of range.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        detector: str | None = "auto",
        device: str | None = None,
        weights_dir: str | Path | None = None,
        precision: str = "fp32",
        batch_size: int = 1,
        compile: bool = False,
        background: str | Path | None = None,
        tile: int = 400,
        confidence: float | None = None,
        color_fix: str | None = None,
        keep_detail: bool | None = None,
    ) -> None:
        if batch_size < 1:
            raise RestoreFormerError(f"Expected a batch_size of 1 or more, got {batch_size}.")
        if color_fix is not None:
            check_color_fix(color_fix)
        self.device = choose_device(device)
        self.batch_size = batch_size
        model, unavailable = default_model(weights_dir) if model is None else (model, "")
        self.net = _build_network(local_file(model, weights_dir), self.device, precision, compile)
        self.size = self.net.resolution
        self.about = self.net.about
        self.color_fix = self.about.color_fix if color_fix is None else color_fix
        self.keep_detail = self.size < FRAME if keep_detail is None else keep_detail
        self.notes = tuple(filter(None, (unavailable or self.about.note, self.about.warning)))
        for note in self.notes:
            logger.warning(note)
        self.detect = None if detector is None else build_detector(detector, weights_dir, self.device, confidence)
        self.enlarge = enlarged if background is None else Upsampler(background, self.device, weights_dir, tile)

    def with_color_fix(self, color_fix: str) -> "FaceRestorer":
        """Return a restorer with another colour fix that shares the networks of this one.

        Raises:
            RestoreFormerError: an unknown ``color_fix``.
        """
        check_color_fix(color_fix)
        other = copy.copy(self)
        other.color_fix = color_fix
        return other

    def restore(
        self, photo: Photo | str | Path, upscale: float = 1, strength: float = 1, only_center_face: bool = False
    ) -> RestoredPhoto:
        """Find and restore every face of a photo; finds that are tiny or without the shape of a face are passed over.

        Args:
            photo: ``(h, w)`` grey, ``(h, w, 3)`` BGR or ``(h, w, 4)`` BGRA, uint8 or uint16, or a file. A photo
                without colours stays without, and alpha stays as it is.
            upscale: how many times longer the sides become, 1 to 8.
            strength: 0 shows the photo as it is, 1 the restored faces, between them a mixture.
            only_center_face: restore the face nearest the middle alone.

        Raises:
            RestoreFormerError: no detector, a file that is no photo, an array of another form, values out of range.
        """
        placed = self.place(photo, only_center_face)
        return self.finish(placed, self.restore_aligned(placed.crops), upscale, strength)

    def restore_many(
        self,
        photos: Iterable[Photo | str | Path],
        upscale: float = 1,
        strength: float = 1,
        only_center_face: bool = False,
    ) -> Iterator[RestoredPhoto]:
        """What :meth:`restore` gives for each photo, in order, with the faces of several photos in one batch.

        Raises:
            RestoreFormerError: as :meth:`restore`.
        """
        if isinstance(photos, np.ndarray | str | Path):
            raise RestoreFormerError("Expected several photos, got one: put it into a list, or call restore.")
        placed = (self.place(photo, only_center_face) for photo in photos)
        for photo, restored in in_batches(placed, self.restore_aligned, self.batch_size):
            yield self.finish(photo, restored, upscale, strength)

    def place(self, photo: Photo | str | Path, only_center_face: bool = False) -> PlacedPhoto:
        """The first step of :meth:`restore`: find the faces of a photo and cut them out.

        Raises:
            RestoreFormerError: no detector, a file that is no photo, an array of another form.
        """
        if not isinstance(photo, np.ndarray | str | Path):
            raise RestoreFormerError(f"Expected a photo as an array or a file, got {type(photo).__name__}.")
        pixels = photo if isinstance(photo, np.ndarray) else read_photo(Path(photo))
        check_photo(pixels)
        if self.detect is None:
            raise RestoreFormerError("Expected a detector for whole photos: name one, or restore aligned faces.")
        bgr = as_bgr(pixels)
        large = [f for f in self.detect(bgr) if np.linalg.norm(f.landmarks[0] - f.landmarks[1]) >= LEAST_EYE_DISTANCE]
        faces = [(f, m) for f in large if (m := alignment(f.landmarks, self.size)) is not None]
        if only_center_face and faces:
            faces = [min(faces, key=partial(_from_middle, pixels))]
        crops = [crop_face(bgr, matrix, self.size) for _, matrix in faces]
        return PlacedPhoto(pixels, [f for f, _ in faces], [m for _, m in faces], crops, is_grey(pixels))

    def finish(
        self, placed: PlacedPhoto, restored: list[Image], upscale: float = 1, strength: float = 1
    ) -> RestoredPhoto:
        """The last step of :meth:`restore`: enlarge the photo and put the restored faces into it.

        Args:
            placed: what :meth:`place` gave.
            restored: its crops as :meth:`restore_aligned` restored them.
            upscale, strength: as :meth:`restore` takes them.

        Raises:
            RestoreFormerError: values out of range, or a size that cannot be had.
        """
        check_upscale(upscale)
        check_strength(strength)
        image = self.enlarge(placed.photo, upscale)
        if placed.is_grey:
            restored = [in_grey(face) for face in restored]
        sizes = (placed.photo.shape[1::-1], image.shape[1::-1])
        # Largest last, so that a face in the background does not cover one in front of it.
        for face, crop, matrix in reversed(list(zip(restored, placed.crops, placed.matrices, strict=True))):
            is_larger = np.hypot(matrix[0, 0], matrix[1, 0]) < 1
            crop = in_grey(crop) if placed.is_grey else crop
            keep_detail_beyond = crop if self.keep_detail and is_larger else None
            paste_face(image, face, from_resized(matrix, *sizes), strength, keep_detail_beyond)
        mixed = [mix(*pair, strength) for pair in zip(placed.crops, restored, strict=True)]
        return RestoredPhoto(image, [RestoredFace(*f) for f in zip(placed.crops, mixed, placed.found, strict=True)])

    @torch.inference_mode()
    def restore_aligned(self, faces: Sequence[Image], strength: float = 1) -> list[Image]:
        """Restore aligned faces, each BGR ``(s, s, 3)`` uint8 of any side, to the network's size.

        Raises:
            RestoreFormerError: a picture of another form, or a strength out of range.
        """
        check_strength(strength)
        faces = list(faces)
        for face in faces:
            check_aligned(face)
        sized = [resize(face, self.size, self.size) for face in faces]
        results: list[Image] = []
        try:
            for i in range(0, len(sized), self.batch_size):
                batch = sized[i : i + self.batch_size]
                images = to_images(self.net(to_batch(batch, self.device)))
                results += [fix_color(*pair, self.color_fix) for pair in zip(batch, images, strict=True)]
        except RuntimeError as error:
            if "memory" not in str(error):
                raise
            raise RestoreFormerError(
                f"Expected memory for {self.batch_size} faces at once, there is none: choose a smaller batch_size."
            ) from error
        return [mix(*pair, strength) for pair in zip(sized, results, strict=True)]


def default_model(weights_dir: str | Path | None = None) -> tuple[str, str]:
    """Return the name of the default model, downloaded if need be, or of the small one and a line that says so.

    Raises:
        RestoreFormerError: there is a file of that name with another content.
    """
    try:
        local_file(DEFAULT_MODEL, weights_dir)
        return DEFAULT_MODEL, ""
    except UnavailableError as error:
        row, folder = FILES[DEFAULT_MODEL], search_folders(weights_dir)[0]
        return SMALL_MODEL, (
            f"{DEFAULT_MODEL} is neither here nor downloadable ({error.reason}): using the included small model, for "
            f"faces of 30 to 130 pixels. For the large one, put {row.url} ({row.megabytes} MB) into {folder}."
        )


def mix(before: Image, after: Image, strength: float) -> Image:
    """Two images ``(h, w, 3)`` of uint8: at ``strength`` 1 ``after``, at 0 ``before``, between them their mixture."""
    if strength == 1:
        return after
    return cv2.addWeighted(after, strength, before, 1 - strength, 0).astype(np.uint8, copy=False)


def _from_middle(photo: Photo, face: tuple[DetectedFace, object]) -> float:
    middle = np.array(photo.shape[1::-1]) / 2
    return float(np.linalg.norm(face[0].box.reshape(2, 2).mean(0) - middle))


def check_strength(strength: float) -> None:
    """See that a strength is one.

    Raises:
        RestoreFormerError: it is not from 0 to 1.
    """
    if not 0 <= strength <= 1:
        raise RestoreFormerError(f"Expected a strength from 0 (the photo) to 1 (the restored faces), got {strength}.")


def check_upscale(upscale: float) -> None:
    """See that a photo can become so many times larger.

    Raises:
        RestoreFormerError: it is not from 1 to 8.
    """
    if not 1 <= upscale <= LARGEST_UPSCALE:
        raise RestoreFormerError(f"Expected upscale from 1 to {LARGEST_UPSCALE}, got {upscale}.")


def _build_network(path: Path, device: torch.device, precision: str, compile: bool) -> VQAutoencoder | OnnxNetwork:
    """The network of a file, ready to restore."""
    if path.suffix.lower() == ".onnx":
        if precision != "fp32" or compile:
            raise RestoreFormerError(
                f"Expected neither precision nor compile with {path}, whose precision was chosen when it was exported, "
                f"got precision {precision} and compile {compile}: leave them out."
            )
        return OnnxNetwork(path, device)
    net = build_from_checkpoint(read_checkpoint(path))
    set_precision(net, precision)
    net.to(device).to(memory_format=torch.channels_last)
    if compile:
        net.compile()
    return net


def check_aligned(face: Image) -> None:
    """See that a picture can be an aligned face.

    Raises:
        RestoreFormerError: it is no square BGR image ``(s, s, 3)`` of uint8.
    """
    if face.ndim != 3 or face.shape[2] != 3 or face.dtype != np.uint8 or not face.size:
        raise RestoreFormerError(f"Expected a BGR image (h, w, 3) of uint8, got {face.shape} of {face.dtype}.")
    if face.shape[0] != face.shape[1]:
        raise RestoreFormerError(
            f"Expected a square aligned face, got {face.shape[1]}x{face.shape[0]}: restore it as a photo."
        )
