import subprocess
import sys

import cv2
import numpy as np
import pytest
from basicsr.data.data_util import paths_from_lmdb
from basicsr.utils import FileClient, imfrombytes

from restoreformer.datasets.pack_lmdb import pack
from restoreformer.errors import RestoreFormerError


def test_basicsr_reads_it(faces_folder, tmp_path):
    path = str(tmp_path / "faces.lmdb")
    pack(faces_folder, path, 64)
    names = paths_from_lmdb(path)
    assert len(names) == 4
    client = FileClient("lmdb", db_paths=path)
    for name in names:
        image = imfrombytes(client.get(name))
        assert (image == cv2.imread(str(faces_folder / f"{name}.png"))).all()


def test_images_are_averaged_down(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    pack(tmp_path, tmp_path / "x.lmdb", 64)
    stored = imfrombytes(FileClient("lmdb", db_paths=str(tmp_path / "x.lmdb")).get("a"))
    mean = image.reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert np.abs(stored - mean).max() <= 0.5


def test_what_cannot_be_packed_is_told_and_the_rest_is_packed(tmp_path, face):
    images = tmp_path / "images"
    (images / "nested").mkdir(parents=True)
    cv2.imwrite(str(images / "nested" / "good.png"), face)
    cv2.imwrite(str(images / "small.png"), face[:32, :32])
    cv2.imwrite(str(images / "wide.png"), face[:64])
    (images / "broken.png").write_bytes(b"no image")
    cv2.imwrite(str(images / "müller.png"), face)
    command = [
        sys.executable,
        "datasets/pack_lmdb.py",
        "--input",
        images,
        "--output",
        tmp_path / "x.lmdb",
        "--size",
        "64",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    for part in ("under broken in", "small to be square and at least 64x64, got 32x32", "wide to be square"):
        assert part in done.stderr
    assert "a name in ASCII, as BasicSR's LMDBs have, got müller" in done.stderr
    assert "4 images were left out" in done.stderr and "Traceback" not in done.stderr
    assert (tmp_path / "x.lmdb" / "meta_info.txt").read_text() == "good.png (64,64,3) 1\n"


def test_nothing_is_overwritten_or_half_made(tmp_path, faces_folder):
    pack(faces_folder, tmp_path / "x.lmdb", 64)
    with pytest.raises(RestoreFormerError, match="Expected no file at"):
        pack(faces_folder, tmp_path / "x.lmdb", 64)
    with pytest.raises(RestoreFormerError, match=r"ends in \.lmdb"):
        pack(faces_folder, tmp_path / "x", 64)
    with pytest.raises(RestoreFormerError, match="none would do"):
        pack(faces_folder, tmp_path / "y.lmdb", 128)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.lmdb"]


def test_sizes_and_outputs_that_cannot_be(faces_folder, tmp_path):
    with pytest.raises(RestoreFormerError, match="Expected a size of at least 1 pixel, got 0"):
        pack(faces_folder, tmp_path / "x.lmdb", 0)
    (tmp_path / "file").touch()
    with pytest.raises(RestoreFormerError, match="Expected to write into .*file, could not"):
        pack(faces_folder, tmp_path / "file" / "x.lmdb", 64)
