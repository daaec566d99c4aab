"""How far a photo is from itself when its faces are cut out and put back by a network that changes nothing.

python benchmarks/pasting.py --photos PHOTOS --detector centerface

Within the crops, in dB, and beyond them the greatest difference, in values of 255. Without --photos the
photo is scikit-image's astronaut. For comparison: crops by linear interpolation, as facexlib makes them.
"""

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
from restoreformer.program import option_parser

SCALES = (1, 2, 4)


def linear_crop(photo: Image, matrix: Any, size: int) -> Image:
    """As facexlib's."""
    return cv2.warpAffine(photo, matrix, (size, size), flags=cv2.INTER_LINEAR, borderValue=OUTSIDE).astype(np.uint8)


def back_again(photo: Image, faces: list[DetectedFace], upscale: float, crop: Any) -> tuple[float, int]:
    """PSNR in dB within the crops, and the greatest difference more than two pixels beyond."""
    larger = enlarged(photo, upscale)
    pasted, within = larger.copy(), np.zeros(larger.shape[:2], np.uint8)
    for face in faces:
        matrix = alignment(face.landmarks, FRAME)
        assert matrix is not None, "detected landmarks are five places"
        there = from_resized(matrix, photo.shape[1::-1], larger.shape[1::-1])
        paste_face(pasted, crop(photo, matrix, FRAME), there)
        corners = np.array([[0, 0], [FRAME, 0], [FRAME, FRAME], [0, FRAME]]) - there[:, 2]
        cv2.fillPoly(within, [np.rint(corners @ np.linalg.inv(there[:, :2]).T).astype(np.int32)], 1)
    difference = pasted.astype(float) - larger
    beyond = cv2.dilate(within, np.ones((5, 5))) == 0
    psnr = 10 * np.log10(255**2 / np.mean(difference[within == 1] ** 2))
    return float(psnr), int(np.abs(difference[beyond]).max())


def main() -> None:
    parser = option_parser(__doc__)
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
