"""Draw the documentation's pictures of restored faces, chosen by rules that were stated before they were seen.

python benchmarks/gallery.py --faces LONDON_512 --photo PHOTO --model small --out docs

LONDON_512 holds the Face Research Lab London Set's faces, aligned, 512x512. People from number 81 on are in no training
set. Degradation is the paper's, scaled to the network's size, in thirds by strength, drawn by each file's name with
seed 0. Restoration is that of inference, with the network's own colour fix.

gallery.jpg      the first eight neutral faces by number: degraded and restored by strength, and original
failures.jpg     of all neutral faces, strongly degraded: the eight whose restored face is farthest from the original
                 by --metrics' identity angle
color_fix.jpg    the first eight smiling faces on a faded, yellowed print, with each colour fix
unseen.jpg       the first six smiling faces, two of each strength, for the README
degradation.jpg  one face degraded by each preset, with the same draws at 512, 256 and 128 pixels, scaled and not
whole_NAME.jpg   PHOTO, and a group picture of the first twelve smiling faces: degraded, restored, original
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml

import restoreformer.plugin  # noqa: F401
from restoreformer.archs.about import COLOR_FIXES
from restoreformer.datasets.degradation import (
    PRESETS,
    STRENGTHS,
    Degradation,
    Strengths,
    build_degradation,
    file_generator,
)
from restoreformer.geometry import FRAME
from restoreformer.images import Image, captioned, read, resize, write
from restoreformer.inference.face_restorer import FaceRestorer
from restoreformer.metrics.collector import make_collector
from restoreformer.program import option_parser

HELD_OUT = 81
SHOWN = 256
# A faded print: contrast halved, brightened, blue lost to yellowing (BGR).
FADED = np.array([[0.42, 70], [0.5, 90], [0.52, 105]])


def people(folder: Path, look: str, count: int | None = None) -> list[Path]:
    """Return the held-out faces of one look, ``neutral`` or ``smiling``, by number."""
    return [p for p in sorted(folder.glob(f"*_{look}.jpg")) if int(p.name.split("_")[0]) >= HELD_OUT][:count]


def degraded(path: Path, size: int, strength: str) -> tuple[Image, Image]:
    """Return a face and its degraded self at ``size``."""
    face = resize(read(path), size, size)
    return face, STRENGTHS[strength].scaled(size / FRAME)(face, file_generator(path.stem, 0), exact=True)


def rows_of(rows: dict[str, list[Image]]) -> Image:
    """Stack rows of images of one size, each under its caption."""
    return np.vstack([captioned(np.hstack(images), caption) for caption, images in rows.items()])


def gallery(restorer: FaceRestorer, faces: list[Path]) -> Image:
    rows: dict[str, list[Image]] = {}
    for strength in STRENGTHS:
        pairs = [degraded(path, restorer.size, strength) for path in faces]
        rows[f"{strength} degradation"] = [lq for _, lq in pairs]
        rows[f"{strength} degradation, restored"] = restorer.restore_aligned(rows[f"{strength} degradation"])
    return rows_of({**rows, "original": [resize(read(path), restorer.size, restorer.size) for path in faces]})


def failures(restorer: FaceRestorer, faces: list[Path], metrics: Path) -> Image:
    pairs = [degraded(path, restorer.size, "strong") for path in faces]
    restored = restorer.restore_aligned([lq for _, lq in pairs])
    blocks = yaml.safe_load(metrics.read_text()).values()
    angle = make_collector(next(b for b in blocks if b["type"] == "calculate_idd"), torch.device("cpu"))
    for face, (original, _) in zip(restored, pairs, strict=True):
        angle.add(face, original)
    worst = np.argsort(-angle.values().ravel())[:8]
    return rows_of(
        {
            "strong degradation: the eight farthest from their originals": [pairs[i][1] for i in worst],
            "restored": [restored[i] for i in worst],
            "original": [pairs[i][0] for i in worst],
        }
    )


def color_fixes(restorer: FaceRestorer, faces: list[Path]) -> Image:
    prints = []
    for path in faces:
        _, lq = degraded(path, restorer.size, "medium")
        prints.append(np.clip(np.rint(lq * FADED[:, 0] + FADED[:, 1]), 0, 255).astype(np.uint8))
    rows = {"faded print": prints}
    for color_fix in COLOR_FIXES:
        rows[f"--color-fix {color_fix}"] = restorer.with_color_fix(color_fix).restore_aligned(prints)
    return rows_of(rows)


def unseen(restorer: FaceRestorer, faces: list[Path]) -> Image:
    """Degraded above restored above original, enlarged 1.5 times."""
    pairs = [degraded(path, restorer.size, list(STRENGTHS)[i // 2]) for i, path in enumerate(faces)]
    rows = {
        "degraded": [lq for _, lq in pairs],
        "restored": restorer.restore_aligned([lq for _, lq in pairs]),
        "original": [face for face, _ in pairs],
    }
    return rows_of({name: [_enlarged(image, 1.5) for image in images] for name, images in rows.items()})


def degradations(path: Path) -> Image:
    """One face by preset (rows) and size (columns), each shown at 256 pixels after its original."""
    rows = {}
    for preset in PRESETS:
        images = [resize(read(path), SHOWN, SHOWN)]
        for size, reference in ((512, FRAME), (256, FRAME), (128, FRAME), (128, None)):
            degradation = build_degradation({"preset": preset, "reference_size": reference}, size)
            face = resize(read(path), size, size)
            lq = degradation(face, file_generator(path.stem, 45), exact=True)
            images.append(
                cv2.resize(lq, (SHOWN, SHOWN), interpolation=cv2.INTER_AREA if size > SHOWN else cv2.INTER_CUBIC)
            )
        rows[f"{preset}: original; at 512, 256 and 128 pixels, scaled; at 128, not scaled"] = images
    return rows_of(rows)


def _enlarged(image: Image, factor: float) -> Image:
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC).astype(np.uint8, copy=False)


def group_picture(faces: list[Path], across: int, side: int) -> Image:
    """Tile faces as on a class photo."""
    tiles = [resize(read(path), side, side) for path in faces]
    return np.vstack([np.hstack(tiles[i : i + across]) for i in range(0, len(tiles), across)])


def whole(restorer: FaceRestorer, photo: Image) -> Image:
    """A photo degraded as a small scan, restored at its size, and as it was."""
    rng = np.random.default_rng(0)
    lq = Degradation()(photo, rng, Strengths(1.2, 2.0, 6.0, 75, 13))
    return np.hstack(
        [captioned(image, caption) for image, caption in
         ((lq, "degraded"), (restorer.restore(lq).image, "restored"), (photo, "original"))]
    )  # fmt: skip


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--faces", type=Path, required=True, help="folder of the London set's aligned faces")
    parser.add_argument("--photo", type=Path, help="a photo that may be shown (default: scikit-image's astronaut)")
    parser.add_argument("--model", default="small", help="the network (default small)")
    parser.add_argument("--metrics", type=Path, default=Path("metrics/standins.yml"), help="YAML of metrics")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="folder for the pictures (default docs)")
    args: argparse.Namespace = parser.parse_args()
    restorer = FaceRestorer(args.model, "centerface", "cpu")
    neutral, smiling = people(args.faces, "neutral"), people(args.faces, "smiling")
    if args.photo is None:
        from skimage import data

        name, photo = "astronaut", np.ascontiguousarray(data.astronaut()[:, :, ::-1])
    else:
        name, photo = args.photo.stem, read(args.photo)
    pictures = {
        "gallery": gallery(restorer, neutral[:8]),
        "failures": failures(restorer, neutral, args.metrics),
        "color_fix": color_fixes(restorer, smiling[:8]),
        "unseen": unseen(restorer, smiling[:6]),
        "degradation": degradations(neutral[0]),
        f"whole_{name}": whole(restorer, photo),
        "whole_group": whole(restorer, group_picture(smiling[:12], 4, 128)),
    }
    for stem, picture in pictures.items():
        write(args.out / f"{stem}.jpg", picture)


if __name__ == "__main__":
    main()
