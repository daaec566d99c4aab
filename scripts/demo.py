"""The whole job on real faces, small: pack, learn a dictionary, learn to restore, test, restore a photo.

make demo
make demo DATA=folder_of_face_photos
"""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
from skimage import data
from tqdm import tqdm

from restoreformer.datasets.degradation import Degradation
from restoreformer.datasets.image_source import list_images
from restoreformer.detection import Detector, build_detector
from restoreformer.errors import RestoreFormerError
from restoreformer.images import Image, decode
from restoreformer.inference.alignment import alignment, crop_face

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "demo_output"
SIZE = 128
# Few photos are cut out several times, each time a little turned, scaled and moved.
TRAIN_CROPS, TEST_CROPS = 32, 8


def photos(folder: Path | None) -> list[tuple[str, Image]]:
    """Names and pixels of the faces to learn from: scikit-image's astronaut, or a folder's."""
    if folder is None:
        return [("astronaut", np.ascontiguousarray(data.astronaut()[:, :, ::-1]))]
    return [(path.stem, decode(path.read_bytes(), f"in {path}")) for path in list_images(folder)]


def cut_faces(images: list[tuple[str, Image]], detect: Detector) -> None:
    """Write aligned crops of the largest face of each photo, one in five for testing."""
    rng = np.random.default_rng(0)
    found = [(name, image, faces[0]) for name, image in tqdm(images, desc="finding faces") if (faces := detect(image))]
    if not found:
        raise RestoreFormerError("Expected photos of faces, found no face in any of them.")
    repeats = -(-(TRAIN_CROPS + TEST_CROPS) // len(found))
    crops = []
    for name, image, face in found:
        base = alignment(face.landmarks, SIZE)
        crops += [(f"{name}_{i:02d}", crop_face(image, varied(base, rng, i > 0), SIZE)) for i in range(repeats)]
    for i, (name, crop) in enumerate(crops):
        part = "test" if i % 5 == 0 else "train"
        folder = OUT / "faces" / part
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{name}.png"), crop)


def varied(matrix: np.ndarray, rng: np.random.Generator, vary: bool) -> np.ndarray:
    """The alignment, turned by up to 10 degrees, scaled by up to 12 % and moved by up to 6 pixels."""
    if not vary:
        return matrix
    turn = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), rng.uniform(-10, 10), rng.uniform(0.88, 1.12))
    turn[:, 2] += rng.uniform(-6, 6, 2)
    return turn @ np.vstack([matrix, [0, 0, 1]])


def run(*command: str) -> str:
    """Run a command of this project, showing how it goes; returns all that it printed."""
    sys.stdout.write(f"\n$ python {' '.join(command)}\n")
    lines = []
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            sys.stdout.write(progress(line))
            sys.stdout.flush()
    if process.returncode:
        sys.exit("".join(lines[-12:]) + f"error: {command[0]} ended with status {process.returncode}")
    return "".join(lines)


def progress(line: str) -> str:
    """What of a line is worth showing: BasicSR logs every layer and, each time, every loss."""
    if match := re.search(r"iter: *([\d,]+),.*eta: ([\d:]+).*?(l_pix.*)", line):
        values = dict(re.findall(r"(\w+): (\S+)", match[3]))
        return f"  iteration {match[1]:>4}, {match[2]} left, l_pix {values['l_pix']}, {len(values) - 1} more\n"
    return (
        line
        if re.search(r"\d+%\||Loaded|End of training|Validation|\t # |of \d+ restored|error|faces with boxes", line)
        else ""
    )


def logged(text: str, name: str) -> list[float]:
    """The values that a training logged under a name, first to last."""
    return [float(v) for v in re.findall(rf"{name}: (\S+)", text)]


def first_and_last(text: str, name: str) -> str:
    """How a logged value went."""
    values = logged(text, name)
    return f"{values[0]:.4g} -> {values[-1]:.4g}"


def label(image: Image, text: str) -> Image:
    """The image under a line of text."""
    bar = np.full((28, image.shape[1], 3), 255, np.uint8)
    cv2.putText(bar, text, (6, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([bar, image])


def degraded_photo(detect: Detector, images: list[tuple[str, Image]]) -> Path:
    """The first photo as a small, blurred, noisy JPEG at its old size, which the demo then restores."""
    name, photo = images[0]
    # The network saw degradations in pixels of its 128 px crops; the photo's face is about as large.
    worse = Degradation((1.5, 1.5), (2.5, 2.5), (4, 4), (70, 70))(photo, np.random.default_rng(1))
    path = OUT / "photo" / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), worse)
    return path


def compare(name: str, original: Image, photo: Path) -> tuple[Path, float, float]:
    """One picture of the degraded photo, its restoration and the original, and the PSNR in dB of the
    first two within the part that was restored."""
    degraded, restored = (cv2.imread(str(p)) for p in (photo, OUT / "restored" / "restored_imgs" / photo.name))
    path = OUT / "demo.png"
    row = [label(degraded, "degraded"), label(restored, "restored by the demo's network"), label(original, "original")]
    cv2.imwrite(str(path), np.hstack(row))
    face = cv2.imread(str(OUT / "restored" / "cmp" / f"{name}_00.png"))
    cv2.imwrite(str(OUT / "face.png"), cv2.resize(face, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC))
    changed = (degraded != restored).any(2)
    before, after = (
        10 * np.log10(255**2 / np.mean((image[changed].astype(float) - original[changed]) ** 2))
        for image in (degraded, restored)
    )
    return path, float(before), float(after)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of face photos (default: scikit-image's astronaut)")
    args = parser.parse_args()
    shutil.rmtree(OUT, ignore_errors=True)
    try:
        detect = build_detector("centerface")
        images = photos(args.data)
        cut_faces(images, detect)
        photo = degraded_photo(detect, images)
    except RestoreFormerError as error:
        sys.exit(f"error: {error}")
    for part in ("train", "test"):
        run(
            "datasets/pack_lmdb.py",
            "--input",
            f"{OUT}/faces/{part}",
            "--output",
            f"{OUT}/{part}.lmdb",
            "--size",
            str(SIZE),
        )
    run("datasets/find_components.py", "--input", f"{OUT}/train.lmdb", "--output", f"{OUT}/boxes.pth")
    stage1 = run("basicsr/train.py", "-opt", "options/demo/train_dictionary.yml")
    stage2 = run("basicsr/train.py", "-opt", "options/demo/train_restoreformer.yml")
    tested = run("basicsr/test.py", "-opt", "options/demo/test_restoreformer.yml")
    model = "experiments/demo_restoreformer/models/net_g_latest.pth"
    run("inference/inference_restoreformer.py", "-i", str(photo), "-o", f"{OUT}/restored", "--model", model,
        "--detector", "centerface")  # fmt: skip
    picture, before, after = compare(*images[0], photo)
    figures = {
        "stage 1, pixel loss": first_and_last(stage1, "l_pix"),
        "stage 1, dictionary loss": first_and_last(stage1, "l_dict"),
        "stage 1, dictionary entries in use": f"{logged(stage1, 'entries_in_use')[-1]:.0f} of 1024",
        "stage 2, pixel loss": first_and_last(stage2, "l_pix"),
        "stage 2, prior loss": first_and_last(stage2, "l_prior"),
        "test, PSNR (dB)": f"{logged(tested, '# psnr')[-1]:.2f}",
        "test, SSIM": f"{logged(tested, '# ssim')[-1]:.4f}",
        "the photo's face, PSNR (dB)": f"{before:.2f} degraded, {after:.2f} restored",
    }
    sys.stdout.write("\n" + "".join(f"{name:36s} {value}\n" for name, value in figures.items()))
    sys.stdout.write(
        f"\nThe photo, degraded and restored:  {picture}\n"
        f"Its face, before and after:        {OUT / 'face.png'}\n"
        f"Everything that inference wrote:   {OUT / 'restored'}\n"
        f"Restored test faces:               {ROOT / 'results' / 'demo_test' / 'visualization'}\n"
    )


if __name__ == "__main__":
    main()
