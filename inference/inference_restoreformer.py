"""Restore the faces of photos.

python inference/inference_restoreformer.py -i photos -o results
python inference/inference_restoreformer.py -i aligned_faces -o results --aligned

Writes restored_imgs (whole photos), cropped_faces, restored_faces, cmp (both side by side) and index.html, which shows
each photo before and after.
"""

import argparse
import sys
import time
from pathlib import Path

import cv2
from tqdm import tqdm

from restoreformer.archs.about import COLOR_FIXES
from restoreformer.archs.precision import PRECISIONS
from restoreformer.detection import CHOICES
from restoreformer.errors import RestoreFormerError
from restoreformer.images import SUFFIXES
from restoreformer.inference.comparison_page import ComparisonPage, shown_in
from restoreformer.inference.face_restorer import (
    DEFAULT_MODEL,
    SMALL_MODEL,
    FaceRestorer,
    check_strength,
    check_upscale,
)
from restoreformer.inference.file_run import FileRun
from restoreformer.inference.photo_list import PhotoFile, list_photos
from restoreformer.memory import keep_freed_memory
from restoreformer.program import option_parser


def parser() -> argparse.ArgumentParser:
    """The program's options; those that GFPGAN has too have its names."""
    parser = option_parser(__doc__)
    add = parser.add_argument
    add("-i", "--input", type=Path, required=True, help="a photo or a folder of photos")
    add("-o", "--output", type=Path, default=Path("results"), help="folder to write to (default results)")
    add("-s", "--upscale", type=float, default=2, help="how many times longer a photo's sides become (default 2)")
    add("--model", help=f"a pretrained name or a file (default {DEFAULT_MODEL}; {SMALL_MODEL} if unavailable)")
    add("--strength", type=float, default=1, help="0 the photo as it is, 1 the restored faces (default), or between")
    add(
        "--aligned",
        action="store_true",
        help="inputs are aligned faces, as FFHQ's; results have the network's size, whole-photo options are ignored",
    )
    add("--only_center_face", action="store_true", help="restore the face nearest the middle alone")
    add("--recursive", action="store_true", help="go into folders, and make the same ones below the output")
    add("--skip-existing", action="store_true", help="leave out photos whose results are there and whole: to go on")
    add("--suffix", default="", help="added to the names of restored photos and faces, after an underscore")
    add("--ext", default="auto", help="of restored photos: png, jpg, ...; auto keeps each one's (default)")
    add("--bg_upsampler", default="none", help="for what is no face: realesrgan, a network's file, or none (default)")
    add("--bg_tile", type=int, default=400, help="side of the tiles it works in, 0 for none (default 400)")
    add(
        "--color-fix",
        choices=COLOR_FIXES,
        help="take from the input: low = brightness and colour, chroma = colour only",
    )
    add(
        "--keep-detail",
        action=argparse.BooleanOptionalAction,
        help="for faces larger than the network's size, add its change to the photo instead of replacing the face "
        "(default: for networks below 512 pixels)",
    )
    add("--detector", default="auto", help=f"{CHOICES}; auto: retinaface, or centerface without its weights")
    add("--confidence", type=float, help="least score of a face, 0 to 1 (default: what suits the detector)")
    add("--device", help="cuda, mps or cpu (default: the best there is)")
    add("--precision", choices=PRECISIONS, default="fp32", help="bf16: faster on GPUs and on CPUs that know it")
    add("--batch_size", type=int, default=1, help="faces restored at once, of one photo or of several")
    add("--compile", action="store_true", help="torch.compile the network first: for many photos")
    add("--weights-dir", type=Path, help="where pretrained files are looked for first")
    return parser


def make_run(args: argparse.Namespace) -> FileRun:
    """What the options ask for.

    Raises:
        RestoreFormerError: values out of range, or files that cannot be had.
    """
    check_upscale(args.upscale)
    check_strength(args.strength)
    extension = None if args.ext == "auto" else "." + args.ext.removeprefix(".").lower()
    if extension not in (None, *SUFFIXES):
        known = ", ".join(sorted(s.removeprefix(".") for s in SUFFIXES))
        raise RestoreFormerError(f"Expected --ext auto or one of {known}, got {args.ext}.")
    if Path(args.suffix).name != args.suffix:
        raise RestoreFormerError(f"Expected a --suffix that can stand in a file's name, got {args.suffix}.")
    has_background = not args.aligned and args.bg_upsampler.lower() != "none"
    restorer = FaceRestorer(
        args.model,
        None if args.aligned else args.detector,
        args.device,
        args.weights_dir,
        args.precision,
        args.batch_size,
        args.compile,
        args.bg_upsampler if has_background else None,
        args.bg_tile,
        args.confidence,
        args.color_fix,
        args.keep_detail,
    )
    return FileRun(
        restorer, args.output, args.aligned, args.upscale, args.strength, args.only_center_face, args.suffix, extension
    )


def restore_files(run: FileRun, files: list[PhotoFile], skip_existing: bool = False) -> bool:
    """Restore files with a progress bar, a page to look at and a summary on stderr; whether all went well.

    Raises:
        RestoreFormerError: the page cannot be written.
    """
    began = time.perf_counter()
    page_path = run.output / "index.html"
    there = [file for file in files if skip_existing and run.result(file).is_file()]
    if there and (shown := shown_in(page_path)) is not None:
        # Not those that the page tells of as failed, nor those that a killed process did not come to show.
        there = [file for file in there if shown.get(_title(file))]
    todo = [file for file in files if file not in there]
    faces, failures, unshown = 0, [], []
    with ComparisonPage(page_path, "Restored photos", keep=set(map(_title, there))) as page:
        for outcome in tqdm(run.restore(todo), total=len(todo), desc="restoring", unit="photo"):
            faces += outcome.faces
            if outcome.failure is not None:
                failures.append(outcome.failure)
            if outcome.pair is not None:
                page.add(_title(outcome.file), outcome.pair, outcome.failure)
            elif outcome.failure is not None:
                unshown.append(outcome.failure)
        summary = f"{len(todo) - len(failures)} of {len(todo)} restored, {faces} faces"
        summary += f", {len(there)} skipped" if there else ""
        summary += f" in {time.perf_counter() - began:.1f} s"
        page.finish(summary, unshown)
    sys.stderr.write("".join(f"error: {line}\n" for line in failures))
    sys.stderr.write(f"{summary}; see {page.path}\n")
    return not failures


def _title(file: PhotoFile) -> str:
    """What the page calls a photo: its path below the input."""
    return str(file.name.with_name(file.path.name))


def silence_opencv() -> None:
    """Of a damaged file the summary speaks."""
    if hasattr(cv2.utils, "logging"):
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    else:
        # Up to 4.10.
        cv2.setLogLevel(0)  # type: ignore[attr-defined]


def main() -> None:
    args = parser().parse_args()
    keep_freed_memory()
    silence_opencv()
    try:
        files = list_photos(args.input, args.recursive, args.output)
        whole = restore_files(make_run(args), files, args.skip_existing)
    except RestoreFormerError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.stderr.write("\nerror: interrupted; --skip-existing goes on where this stopped\n")
        sys.exit(130)
    if not whole:
        sys.exit(1)


if __name__ == "__main__":
    main()
