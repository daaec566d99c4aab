"""The program as a user runs it."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

from restoreformer.archs.checkpoint import save_checkpoint
from restoreformer.archs.patch_discriminator_arch import PatchDiscriminator
from restoreformer.archs.restoreformer_arch import RestoreFormer
from restoreformer.inference.face_restorer import FaceRestorer
from restoreformer.inference.inference_restoreformer import list_photos, restore_all


@pytest.fixture
def model(tmp_path, small_net):
    save_checkpoint(tmp_path / "net.pth", RestoreFormer(**small_net))
    return tmp_path / "net.pth"


def run(*arguments):
    command = [sys.executable, "-W", "ignore", "inference/inference_restoreformer.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


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
    done = run("-i", photos, "-o", out, "--model", model, "--detector", "centerface")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert errors == [
        f"error: Expected an image in {photos / 'broken.jpg'}, got 8 bytes that are none.",
        f"error: Expected an image in {photos / 'gone.png'}, could not read it: No such file or directory.",
        f"error: Expected a face in {photos / 'noface.png'}, found none: the photo is written as it is.",
    ]
    assert "2 of 5 restored" in done.stderr
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*.*")) == [
        "cmp/good_jpg_00.png",
        "cmp/good_png_00.png",
        "cropped_faces/good_jpg_00.png",
        "cropped_faces/good_png_00.png",
        "restored_faces/good_jpg_00.png",
        "restored_faces/good_png_00.png",
        "restored_imgs/good.jpg",
        "restored_imgs/good.png",
        "restored_imgs/noface.png",
    ]
    assert cv2.imread(str(out / "cmp" / "good_jpg_00.png")).shape == (64, 128, 3)


def test_aligned_faces(tmp_path, model, face):
    cv2.imwrite(str(tmp_path / "face.png"), face)
    fast = ("--precision", "bf16", "--batch_size", 2)
    done = run("-i", tmp_path / "face.png", "-o", tmp_path / "out", "--model", model, "--aligned", *fast)
    assert done.returncode == 0, done.stderr
    assert cv2.imread(str(tmp_path / "out" / "restored_faces" / "face.png")).shape == (64, 64, 3)
    assert not (tmp_path / "out" / "restored_imgs").exists()


def test_aligned_files_in_batches(tmp_path, model, face):
    """Bad ones are told, and the others of their batch restored."""
    faces = tmp_path / "faces"
    faces.mkdir()
    for i in range(5):
        cv2.imwrite(str(faces / f"{i}.png"), np.roll(face, 9 * i, 1))
    (faces / "1.png").write_bytes(b"broken")
    cv2.imwrite(str(faces / "3.png"), face[:50])
    restorer = FaceRestorer(model, None, "cpu", batch_size=2)
    sizes = []
    restorer.net.register_forward_pre_hook(lambda net, inputs: sizes.append(len(inputs[0])))
    errors = list(restore_all(restorer, list_photos(faces), tmp_path / "out", aligned=True))
    assert sizes == [1, 1, 1] and len(errors) == 2 and "1.png" in errors[0] and "square" in errors[1]
    assert sorted(p.name for p in (tmp_path / "out" / "restored_faces").iterdir()) == ["0.png", "2.png", "4.png"]
    (faces / "1.png").unlink()
    sizes.clear()
    assert len(list(restore_all(restorer, list_photos(faces), tmp_path / "out", aligned=True))) == 1
    assert sizes == [2, 1]


def test_odd_names_and_places(tmp_path, model, face):
    """In this process: starting the program takes longer than what it does here."""
    restorer = FaceRestorer(model, "centerface", "cpu")
    cv2.imwrite(str(tmp_path / "photo.png"), face)
    (tmp_path / "photo.png").rename(tmp_path / "photo.jfif")
    photos = list_photos(tmp_path / "photo.jfif")
    assert list(restore_all(restorer, photos, tmp_path / "out", aligned=False)) == []
    assert (tmp_path / "out" / "restored_imgs" / "photo.png").is_file()
    (tmp_path / "file").write_text("")
    (error,) = restore_all(restorer, photos, tmp_path / "file", aligned=False)
    assert error.startswith(f"Expected to write into {tmp_path / 'file'}")
    cv2.imwrite(str(tmp_path / "wide.png"), face[:50])
    (error,) = restore_all(restorer, list_photos(tmp_path / "wide.png"), tmp_path / "out", aligned=True)
    assert error == "Expected a square aligned face, got 160x50: restore it as a photo."


def test_what_cannot_go_on_ends_in_one_line(tmp_path, model, astronaut):
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
        done = run(*arguments, "-o", tmp_path / "out", "--detector", "centerface")
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        assert done.returncode == 1 and len(lines) == 1, done.stderr
        assert lines[0].startswith("error: Expected") and expected in lines[0]
