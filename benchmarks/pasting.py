"""How far a photo is from itself when its faces are cut out and put back by a network that changes nothing.

python benchmarks/pasting.py --photos PHOTOS --detector centerface

Within the parts where faces show, in dB; beyond them the greatest difference, in values of 255. Without --photos the
photo is scikit-image's astronaut. For comparison: crops by linear interpolation, as facexlib makes them.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from skimage import data

from restoreformer.detection import DetectedFace, build_detector
from restoreformer.errors import RestoreFormerError
from restoreformer.geometry import FRAME
from restoreformer.images import Image, read
from restoreformer.inference.alignment import OUTSIDE, alignment, crop_face, from_resized
from restoreformer.inference.pasting import paste_face
from restoreformer.inference.photo_list import list_photos
from restoreformer.inference.upsampling import enlarged

SCALES = (1, 2, 4)


def linear_crop(photo: Image, matrix: Any, size: int) -> Image:
    """As facexlib's."""
    return cv2.warpAffine(photo, matrix, (size, size), flags=cv2.INTER_LINEAR, borderValue=OUTSIDE).astype(np.uint8)


def back_again(photo: Image, faces: list[DetectedFace], upscale: float, crop: Any) -> tuple[float, int]:
    """PSNR in dB within the parts where faces show, and the greatest difference beyond."""
    larger = enlarged(photo, upscale)
    pasted, shown = larger.copy(), np.zeros_like(larger)
    for face in faces:
        matrix = alignment(face.landmarks, FRAME)
        assert matrix is not None, "detected landmarks are five places"
        there = from_resized(matrix, photo.shape[1::-1], larger.shape[1::-1])
        paste_face(pasted, crop(photo, matrix, FRAME), there)
        paste_face(shown, np.full((FRAME, FRAME, 3), 255, np.uint8), there)
    within = (shown > 0).any(2)
    difference = pasted.astype(float) - larger
    return float(10 * np.log10(255**2 / np.mean(difference[within] ** 2))), int(np.abs(difference[~within]).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="a folder of photos")
    parser.add_argument("--detector", default="centerface")
    args = parser.parse_args()
    try:
        detect = build_detector(args.detector)
        photos = {f.path.name: read(f.path) for f in list_photos(args.photos)} if args.photos else {}
    except RestoreFormerError as error:
        sys.exit(f"error: {error}")
    photos["astronaut"] = np.ascontiguousarray(data.astronaut()[:, :, ::-1])
    print("| photo | faces, pixels between the eyes | " + " | ".join(f"-s {s}, linear" for s in SCALES) + " | beyond |")
    print("| --- | --- | " + " | ".join("---" for _ in SCALES) + " | --- |")
    for name, photo in photos.items():
        faces = detect(photo)
        ours = [back_again(photo, faces, s, crop_face) for s in SCALES]
        linear = [back_again(photo, faces, s, linear_crop)[0] for s in SCALES]
        eyes = ", ".join(f"{np.linalg.norm(f.landmarks[0] - f.landmarks[1]):.0f}" for f in faces)
        cells = [f"{a:.1f}, {b:.1f} dB" for (a, _), b in zip(ours, linear, strict=True)]
        print(f"| {name} | {eyes} | {' | '.join(cells)} | {max(beyond for _, beyond in ours)} |")


if __name__ == "__main__":
    main()
