"""Restoring photos and aligned faces with a trained RestoreFormer."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from restoreformer.archs.build import build_from_checkpoint
from restoreformer.archs.checkpoint import read_checkpoint
from restoreformer.detection import DetectedFace, build_detector
from restoreformer.errors import RestoreFormerError
from restoreformer.images import Image, resize, to_image, to_tensor
from restoreformer.inference.alignment import alignment, crop_face, paste_face
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
            ``.pth`` or a file that training here wrote.
        detector: what ``restoreformer.detection.build_detector`` takes, or None to restore aligned faces only.
        device: ``cuda``, ``mps``, ``cpu``; None takes the best there is.
        weights_dir: searched first for pretrained files, and downloaded to.

    Raises:
        RestoreFormerError: weights that cannot be had, or that are another network's.
    """

    def __init__(
        self,
        model: str | Path = DEFAULT_MODEL,
        detector: str | None = "retinaface",
        device: str | None = None,
        weights_dir: str | Path | None = None,
    ) -> None:
        self.device = choose_device(device)
        self.net = build_from_checkpoint(read_checkpoint(local_file(model, weights_dir))).to(self.device)
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
        results = []
        for face in faces:
            _check_image(face)
            if face.shape[0] != face.shape[1]:
                raise RestoreFormerError(
                    f"Expected a square aligned face, got {face.shape[1]}x{face.shape[0]}: restore it as a photo."
                )
            tensor = to_tensor(resize(face, self.size, self.size)).to(self.device)
            results.append(to_image(self.net(tensor[None])[0]))
        return results


def _check_image(image: Image) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise RestoreFormerError(f"Expected a BGR image (h, w, 3) of uint8, got {image.shape} of {image.dtype}.")
