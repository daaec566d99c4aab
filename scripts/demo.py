"""The main job on real faces: restore people the network has never seen, then run the whole pipeline in miniature.

make demo
make demo DATA=folder_of_photos

First the shipped model restores degraded photos of people that no training has seen, and your own with DATA. Then both
stages are fine-tuned for a minute each on 24 other people, from an LMDB with boxes of eyes and mouth, and tested before
and after. The faces are from the Face Research Lab London Set (demo/london/LICENSE.md).
"""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import restoreformer  # noqa: F401  # isort: skip  (first: it makes basicsr importable)

from restoreformer.datasets.degradation import STRENGTHS, file_generator
from restoreformer.errors import RestoreFormerError
from restoreformer.geometry import FRAME
from restoreformer.image_source import list_images
from restoreformer.images import Image, captioned, read, resize, write
from restoreformer.program import option_parser

ROOT = Path(__file__).resolve().parents[1]
FACES = ROOT / "demo" / "london"
OUT = ROOT / "demo_output"
UNSEEN = OUT / "unseen"
SIZE = 128
SHIPPED, TUNED = "small", "experiments/demo_restoreformer/models/net_g_latest.pth"


def degrade(people: list[Path]) -> dict[str, str]:
    """Write the originals and degraded faces of ``people``; return the strength of each by name."""
    strengths = {}
    for i, path in enumerate(people):
        strength = list(STRENGTHS)[i * len(STRENGTHS) // len(people)]
        face = resize(read(path), SIZE, SIZE)
        degraded = STRENGTHS[strength].scaled(SIZE / FRAME)(face, file_generator(path.stem, 0), exact=True)
        write(UNSEEN / "original" / f"{path.stem}.png", face)
        write(UNSEEN / "degraded" / f"{path.stem}.png", degraded)
        strengths[path.stem] = strength
    return strengths


def restore_unseen() -> Path:
    """Restore degraded faces of people that no training has seen; return the picture that shows them."""
    strengths = degrade(list_images(FACES / "held_out"))
    run("inference/inference_restoreformer.py", "-i", f"{UNSEEN}/degraded", "-o", f"{UNSEEN}/restored", "--aligned",
        "--model", SHIPPED)  # fmt: skip
    rows = {
        "degraded": UNSEEN / "degraded",
        "restored": UNSEEN / "restored" / "restored_faces",
        "original": UNSEEN / "original",
    }
    faces = {row: [read(folder / f"{name}.png") for name in strengths] for row, folder in rows.items()}
    write(OUT / "unseen.png", np.vstack([captioned(np.hstack(images), row) for row, images in faces.items()]))
    sys.stdout.write("\nPSNR in dB       " + "".join(f"{s:>8}" for s in STRENGTHS) + "\n")
    for row in ("degraded", "restored"):
        means = [
            np.mean([psnr(f, o) for f, o, s in zip(faces[row], faces["original"], strengths.values(), strict=True)
                     if s == strength])
            for strength in STRENGTHS
        ]  # fmt: skip
        sys.stdout.write(f"{row:17}" + "".join(f"{mean:8.2f}" for mean in means) + "\n")
    return OUT / "unseen.png"


def psnr(image: Image, original: Image) -> float:
    """In dB; float for uint8 images of one shape."""
    return float(10 * np.log10(255**2 / np.mean((image.astype(float) - original) ** 2)))


def fine_tune() -> dict[str, str]:
    """Run packing, boxes, both stages and tests in miniature; return what to report, by name."""
    for part in ("train", "held_out"):
        run("datasets/pack_lmdb.py", "--input", f"{FACES}/{part}", "--output", f"{OUT}/{part}.lmdb", "--size",
            str(SIZE))  # fmt: skip
    run("datasets/find_components.py", "--input", f"{FACES}/train", "--output", f"{OUT}/boxes.pth")
    before = run("basicsr/test.py", "-opt", "options/demo/test_restoreformer.yml")
    stage1 = run("basicsr/train.py", "-opt", "options/demo/train_dictionary.yml")
    stage2 = run("basicsr/train.py", "-opt", "options/demo/train_restoreformer.yml")
    after = run("basicsr/test.py", "-opt", "options/demo/test_restoreformer.yml", "--force_yml",
                f"path:pretrain_network_g={TUNED}", "name=demo_test_tuned")  # fmt: skip
    return {
        "stage 1, pixel loss": first_and_last(stage1, "l_pix"),
        "stage 1, dictionary entries in use": f"{logged(stage1, 'entries_in_use')[-1]:.0f} of 1024",
        "stage 2, pixel loss": first_and_last(stage2, "l_pix"),
        "people not trained on, PSNR (dB)": f"{logged(before, '# psnr')[-1]:.2f} -> {logged(after, '# psnr')[-1]:.2f}",
        "people not trained on, SSIM": f"{logged(before, '# ssim')[-1]:.4f} -> {logged(after, '# ssim')[-1]:.4f}",
    }


def run(*command: str) -> str:
    """Run a command of this project, showing its progress; return all that it printed."""
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
    """Return what of a line is worth showing: BasicSR logs every layer and, each time, every loss."""
    if match := re.search(r"iter: *([\d,]+),.*eta: ([\d:]+).*?(l_pix.*)", line):
        values = dict(re.findall(r"(\w+): (\S+)", match[3]))
        return f"  iteration {match[1]:>4}, {match[2]} left, l_pix {values['l_pix']}, {len(values) - 1} more\n"
    shown = r"\d+%\||Loaded|End of training|Validation|\t # |of \d+ restored|error|faces with boxes"
    return line if re.search(shown, line) else ""


def logged(text: str, name: str) -> list[float]:
    """Return the values that a training logged under a name, first to last."""
    return [float(v) for v in re.findall(rf"{name}: (\S+)", text)]


def first_and_last(text: str, name: str) -> str:
    """Return the first and the last of the values logged under a name."""
    values = logged(text, name)
    return f"{values[0]:.4g} -> {values[-1]:.4g}"


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--data", type=Path, help="folder of photos to restore too")
    args = parser.parse_args()
    began = time.perf_counter()
    shutil.rmtree(OUT, ignore_errors=True)
    try:
        picture = restore_unseen()
    except RestoreFormerError as error:
        sys.exit(f"error: {error}")
    sys.stdout.write(f"\nPeople that no training has seen, after {time.perf_counter() - began:.0f} s: {picture}\n")
    if args.data is not None:
        sys.stdout.flush()
        command = ["inference/inference_restoreformer.py", "-i", str(args.data.resolve()), "-o", f"{OUT}/yours"]
        command += ["--model", SHIPPED, "--detector", "centerface"]
        # Status 1 means that some photos were not restored, which the program has reported.
        if subprocess.run([sys.executable, "-W", "ignore", *command], cwd=ROOT).returncode in (0, 1):
            sys.stdout.write(f"Your photos: {OUT / 'yours' / 'index.html'}\n")
    figures = fine_tune()
    sys.stdout.write("\n" + "".join(f"{name:36s} {value}\n" for name, value in figures.items()))
    sys.stdout.write(
        f"\nPeople that no training has seen: {picture}\n"
        f"The same, one by one:             {UNSEEN / 'restored' / 'index.html'}\n"
        f"After fine-tuning:                {ROOT / 'results' / 'demo_test_tuned' / 'visualization'}\n"
        f"The whole demo took {time.perf_counter() - began:.0f} s. Its fine-tuned network has seen 24 people and is "
        "for no other use.\n"
    )


if __name__ == "__main__":
    main()
