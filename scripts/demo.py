"""The whole job on real faces, small: pack, learn a dictionary, learn to restore, test, restore a photo.

make demo
make demo DATA=folder_of_face_photos
"""

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
from restoreformer.detection import Detector, build_detector
from restoreformer.errors import RestoreFormerError
from restoreformer.image_source import list_images
from restoreformer.images import Image, read, resize, write
from restoreformer.inference.alignment import alignment, crop_face
from restoreformer.program import option_parser

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "demo_output"
SIZE = 128
# Few photos are cut out several times, each time a little turned, scaled and moved.
TRAIN_CROPS, TEST_CROPS = 32, 8


def photos(folder: Path | None) -> list[tuple[str, Image]]:
    """Names and pixels of the faces to learn from: scikit-image's astronaut, or a folder's."""
    if folder is None:
        return [("astronaut", np.ascontiguousarray(data.astronaut()[:, :, ::-1]))]
    images = {}
    for path in list_images(folder):
        try:
            images.setdefault(path.stem, read(path))
        except RestoreFormerError as error:
            sys.stdout.write(f"left out: {error}\n")
    return list(images.items())


def cut_faces(images: list[tuple[str, Image]], detect: Detector) -> list[tuple[str, Image]]:
    """Write aligned crops of the largest face of each photo, one in five for testing; returns those photos."""
    rng = np.random.default_rng(0)
    found = [
        (name, image, matrix)
        for name, image in tqdm(images, desc="finding faces")
        if (faces := detect(image)) and (matrix := alignment(faces[0].landmarks, SIZE)) is not None
    ]
    if not found:
        raise RestoreFormerError("Expected photos of faces, found no face in any of them.")
    repeats = -(-(TRAIN_CROPS + TEST_CROPS) // len(found))
    crops = [crop_face(image, varied(matrix, rng, i > 0), SIZE) for _, image, matrix in found for i in range(repeats)]
    for i, crop in enumerate(crops):
        write(OUT / "faces" / ("test" if i % 5 == 0 else "train") / f"{i:05d}.png", crop)
    return [(name, image) for name, image, _ in found]


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


def degrade_photo(images: list[tuple[str, Image]], detect: Detector) -> tuple[str, Image, Path]:
    """A photo as a small, blurred, noisy JPEG at its old size, which the demo then restores: its name, its
    pixels, and where the worse one is."""
    for name, photo in images:
        matrix = alignment(detect(photo)[0].landmarks, SIZE)
        assert matrix is not None, "cut_faces took it"
        # The network saw degradations in pixels of its crops; this is the same in pixels of the photo.
        scale = 1 / float(np.hypot(*matrix[:, 0]))
        blur, factor = 1.1 * scale, max(1.0, 1.8 * scale)
        worse = Degradation((blur, blur), (factor, factor), (4, 4), (70, 70))(photo, np.random.default_rng(1))
        if detect(worse):
            path = OUT / "photo" / f"{name}.png"
            write(path, worse)
            return name, photo, path
    raise RestoreFormerError("Expected a photo whose face is still found when it is degraded, got none.")


def compare(name: str, original: Image, photo: Path) -> tuple[Path, float, float]:
    """One picture of the degraded photo, its restoration and the original, and the PSNR in dB of the
    first two within the part that was restored."""
    degraded, restored = (read(p) for p in (photo, OUT / "restored" / "restored_imgs" / photo.name))
    path = OUT / "demo.png"
    row = [label(degraded, "degraded"), label(restored, "restored by the demo's network"), label(original, "original")]
    write(path, np.hstack(row))
    face = read(OUT / "restored" / "cmp" / f"{name}_00.png")
    write(OUT / "face.png", resize(face, 3 * face.shape[1], 3 * face.shape[0]))
    changed = (degraded != restored).any(2)
    before, after = (
        10 * np.log10(255**2 / np.mean((image[changed].astype(float) - original[changed]) ** 2))
        for image in (degraded, restored)
    )
    return path, float(before), float(after)


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--data", type=Path, help="folder of face photos (default: scikit-image's astronaut)")
    args = parser.parse_args()
    shutil.rmtree(OUT, ignore_errors=True)
    try:
        detect = build_detector("centerface")
        images = cut_faces(photos(args.data), detect)
        name, original, photo = degrade_photo(images, detect)
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
    run("inference/inference_restoreformer.py", "-i", str(photo), "-o", f"{OUT}/restored", "-s", "1", "--model", model,
        "--detector", "centerface")  # fmt: skip
    picture, before, after = compare(name, original, photo)
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
