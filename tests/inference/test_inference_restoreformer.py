"""The program as a user runs it."""

import subprocess
import sys

import cv2
import numpy as np

from restoreformer.archs.checkpoint import save_checkpoint
from restoreformer.archs.patch_discriminator_arch import PatchDiscriminator

PROGRAM = "inference/inference_restoreformer.py"


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*.*"))


def test_a_folder_with_bad_files_is_restored_as_far_as_it_goes(tmp_path, model, astronaut):
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    cv2.imwrite(str(photos / "good.jpg"), astronaut)
    cv2.imwrite(str(photos / "noface.png"), np.full((90, 90, 3), 100, np.uint8))
    (photos / "broken.jpg").write_bytes(b"no image")
    (photos / "notes.txt").write_text("no photo")
    (photos / "gone.png").symlink_to(photos / "nowhere.png")
    (photos / "folder.png").mkdir()
    cv2.imwrite(str(photos / "good.png"), astronaut)
    options = ["-i", photos, "-o", out, "--model", model, "--detector", "centerface", "--batch_size", "4"]
    done = subprocess.run([sys.executable, "-W", "ignore", PROGRAM, *options], capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert sorted(errors) == [
        f"error: Expected a face in {photos / 'noface.png'}, found none: the photo is written with nothing restored.",
        f"error: Expected an image in {photos / 'broken.jpg'}, got 8 bytes that OpenCV does not read as one.",
        f"error: Expected an image in {photos / 'folder.png'}, could not read it: Is a directory.",
        f"error: Expected an image in {photos / 'gone.png'}, could not read it: No such file or directory.",
    ]
    assert "2 of 6 restored, 2 faces in " in done.stderr
    assert files(out) == [
        "cmp/good_jpg_00.png",
        "cmp/good_png_00.png",
        "cropped_faces/good_jpg_00.png",
        "cropped_faces/good_png_00.png",
        "index.html",
        "restored_faces/good_jpg_00.png",
        "restored_faces/good_png_00.png",
        "restored_imgs/good_jpg.jpg",
        "restored_imgs/good_png.png",
        "restored_imgs/noface.png",
    ]
    assert cv2.imread(str(out / "cmp" / "good_jpg_00.png")).shape == (64, 128, 3)
    # Twice as large, as GFPGAN's.
    assert cv2.imread(str(out / "restored_imgs" / "noface.png")).shape == (180, 180, 3)
    page = (out / "index.html").read_text()
    assert page.count("<figure ") == 3 and "Expected a face in" in page


def test_what_cannot_go_on_ends_in_one_line(tmp_path, model, astronaut, forks):
    cv2.imwrite(str(tmp_path / "photo.png"), astronaut)
    save_checkpoint(tmp_path / "d.pth", PatchDiscriminator())
    cases = {
        "found none.": ("-i", tmp_path / "nowhere", "--model", model),
        "got PatchDiscriminator": ("-i", tmp_path / "photo.png", "--model", tmp_path / "d.pth", "--aligned"),
        "Expected a network file at": ("-i", tmp_path / "photo.png", "--model", tmp_path / "none.pth"),
        "Expected a device that this machine has, got foo": (
            *("-i", tmp_path / "photo.png", "--model", model, "--device", "foo"),
        ),
    }
    for expected, arguments in cases.items():
        done = forks.run(PROGRAM, *arguments, "-o", tmp_path / "out", "--detector", "centerface")
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        assert done.returncode == 1 and len(lines) == 1, done.stderr
        assert lines[0].startswith("error: Expected") and expected in lines[0]
