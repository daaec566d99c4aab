"""Restoring photos and aligned faces with a trained RestoreFormer."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from restoreformer.archs.autoencoder import VQAutoencoder
from restoreformer.archs.build import build_from_checkpoint
from restoreformer.archs.checkpoint import read_checkpoint
from restoreformer.archs.precision import set_precision
from restoreformer.detection import DetectedFace, build_detector
from restoreformer.errors import RestoreFormerError
from restoreformer.images import Image, resize, to_batch, to_images
from restoreformer.inference.alignment import alignment, crop_face, paste_face
from restoreformer.inference.onnx_network import OnnxNetwork
from restoreformer.pretrained import local_file

DEFAULT_MODEL = "RestoreFormer.ckpt"


class RestoredFace(NamedTuple):
    """A face of a photo before and after, aligned, ``(size, size, 3)`` BGR uint8, and where it was found."""

    crop: Image
    restored: Image
    found: DetectedFace


class RestoredPhoto(NamedTuple):
    """The photo with its faces restored, same shape as the input, and the faces, largest first."""

    image: Image
    faces: list[RestoredFace]


def choose_device(name: str | None = None) -> torch.device:
    """The device of that name, or the best that this machine has: cuda, mps, cpu.

    Raises:
        RestoreFormerError: the machine does not have it.
    """
    if name is not None:
        try:
            torch.empty(0, device=name).cpu()
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            reason = str(error).splitlines()[0]
            raise RestoreFormerError(f"Expected a device that this machine has, got {name}: {reason}") from error
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


class FaceRestorer:
    """A network, a detector and what lies between them and a photo.

    Args:
        model: a name of ``restoreformer.pretrained.FILES`` or a path: the authors' ``.ckpt``, GFPGAN's
            ``.pth``, a file that training here wrote, or an ``.onnx`` of ``scripts/export_onnx.py``, which has its
            own precision.
        detector: what ``restoreformer.detection.build_detector`` takes, or None to restore aligned faces only.
        device: ``cuda``, ``mps``, ``cpu``; None takes the best there is.
        weights_dir: searched first for pretrained files, and downloaded to.
        precision: ``fp32``, ``bf16`` or ``fp16``, see :func:`~restoreformer.archs.precision.set_precision`.
        batch_size: how many faces go through the network at once.
        compile: have ``torch.compile`` prepare the network, which takes a minute or so at its first face and
            again for another number of faces.

    Raises:
        RestoreFormerError: weights that cannot be had, or that are another network's, or values out of range.
    """

    def __init__(
        self,
        model: str | Path = DEFAULT_MODEL,
        detector: str | None = "retinaface",
        device: str | None = None,
        weights_dir: str | Path | None = None,
        precision: str = "fp32",
        batch_size: int = 1,
        compile: bool = False,
    ) -> None:
        if batch_size < 1:
            raise RestoreFormerError(f"Expected a batch_size of 1 or more, got {batch_size}.")
        self.device = choose_device(device)
        self.batch_size = batch_size
        self.net = _build_network(local_file(model, weights_dir), self.device, precision, compile)
        self.size = self.net.resolution
        self.detect = None if detector is None else build_detector(detector, weights_dir, self.device)

    def restore(self, photo: Image) -> RestoredPhoto:
        """Find and restore every face of a photo; a find without the shape of a face is passed over.

        Args:
            photo: BGR, ``(h, w, 3)``, uint8.

        Raises:
            RestoreFormerError: no detector, or a photo of another form.
        """
        _check_image(photo)
        if self.detect is None:
            raise RestoreFormerError("Expected a detector for whole photos: name one, or restore aligned faces.")
        found = self.detect(photo)
        placed = [(face, matrix) for face in found if (matrix := alignment(face.landmarks, self.size)) is not None]
        found, matrices = [face for face, _ in placed], [matrix for _, matrix in placed]
        crops = [crop_face(photo, matrix, self.size) for matrix in matrices]
        restored = self.restore_aligned(crops)
        image = photo.copy()
        # Largest last, so that a face in the background does not cover one in front of it.
        for face, matrix in reversed(list(zip(restored, matrices, strict=True))):
            paste_face(image, face, matrix)
        return RestoredPhoto(image, [RestoredFace(*f) for f in zip(crops, restored, found, strict=True)])

    @torch.inference_mode()
    def restore_aligned(self, faces: list[Image]) -> list[Image]:
        """Restore aligned faces, each BGR ``(s, s, 3)`` uint8 of any side, to the network's size.

        Raises:
            RestoreFormerError: a picture of another form.
        """
        for face in faces:
            check_aligned(face)
        sized = [resize(face, self.size, self.size) for face in faces]
        results: list[Image] = []
        for i in range(0, len(sized), self.batch_size):
            results += to_images(self.net(to_batch(sized[i : i + self.batch_size], self.device)))
        return results


def _build_network(path: Path, device: torch.device, precision: str, compile: bool) -> VQAutoencoder | OnnxNetwork:
    """The network of a file, ready to restore."""
    if path.suffix == ".onnx":
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
    _check_image(face)
    if face.shape[0] != face.shape[1]:
        raise RestoreFormerError(
            f"Expected a square aligned face, got {face.shape[1]}x{face.shape[0]}: restore it as a photo."
        )


def _check_image(image: Image) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise RestoreFormerError(f"Expected a BGR image (h, w, 3) of uint8, got {image.shape} of {image.dtype}.")
