import csv
import hashlib
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from restoreformer.datasets.blind_face_dataset import BlindFaceDataset
from restoreformer.datasets.degradation import PRESETS, Strengths
from restoreformer.datasets.make_test_set import make_test_set
from restoreformer.errors import RestoreFormerError
from restoreformer.images import to_image

# What a processor of another kind would choose: older instructions for each library that has a choice.
OLDER = {
    "OPENCV_CPU_DISABLE": "AVX512-SKX,AVX512-ICL,AVX2,FP16,AVX",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "ATEN_CPU_CAPABILITY": "default",
    "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR AVX2 FMA3",
    "OPENBLAS_CORETYPE": "Nehalem",
}


def digests(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def rows(folder):
    with (folder / "manifest.csv").open(newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def test_it_is_what_validation_sees(faces_folder, tmp_path):
    assert make_test_set(faces_folder, tmp_path / "set", 48, seed=5) == 4
    block = {"phase": "val", "dataroot_gt": str(faces_folder), "gt_size": 48, "degradation": {}, "validation_seed": 5}
    for sample in BlindFaceDataset(block):
        for key, part in (("lq", "lq"), ("gt", "hq")):
            stored = cv2.imread(str(tmp_path / "set" / part / sample[f"{key}_path"]))
            assert (stored == to_image(sample[key])).all()


def test_a_scaled_set_is_what_scaled_validation_sees(faces_folder, tmp_path):
    make_test_set(faces_folder, tmp_path / "set", 48, reference_size=512)
    degradation = {"reference_size": 512}
    block = {"phase": "val", "dataroot_gt": str(faces_folder), "gt_size": 48, "degradation": degradation}
    for sample in BlindFaceDataset(block):
        assert (cv2.imread(str(tmp_path / "set" / "lq" / sample["lq_path"])) == to_image(sample["lq"])).all()
    assert all(float(row["blur_sigma"]) <= 10 * 48 / 512 for row in rows(tmp_path / "set").values())


def test_the_manifest_makes_each_file_again(faces_folder, tmp_path):
    make_test_set(faces_folder, tmp_path / "set", 64, seed=5, preset="released")
    lines = rows(tmp_path / "set")
    assert list(lines) == [f"{i:05d}" for i in range(4)]
    for name, row in lines.items():
        assert 0.1 <= float(row["blur_sigma"]) <= 10 and 0.8 <= float(row["downsample"]) <= 8
        assert 0 <= float(row["noise"]) <= 20 and 60 <= int(row["jpeg"]) <= 100
        rng = np.random.default_rng([int(row["seed"]), int(row["name_crc32"])])
        drawn = PRESETS["released"].draw(rng)
        assert [row[f] for f in Strengths._fields[:4]] == [repr(v) for v in drawn[:4]]
        hq, lq = (cv2.imread(str(tmp_path / "set" / part / f"{name}.png")) for part in ("hq", "lq"))
        assert (PRESETS["released"](hq, rng, drawn, exact=True) == lq).all()
    assert any(row["across"] for row in lines.values()) and not all(row["across"] for row in lines.values())


def test_byte_identical_with_other_instructions_and_workers(tmp_path, face):
    """In a process that is kept from the newer half of this processor."""
    (tmp_path / "faces").mkdir()
    for i in range(6):
        cv2.imwrite(str(tmp_path / "faces" / f"{i}.png"), np.roll(face, 9 * i, axis=1))
    make_test_set(tmp_path / "faces", tmp_path / "a", 144, seed=1, preset="released")
    command = [sys.executable, "datasets/make_test_set.py", "--input", tmp_path / "faces", "--output", tmp_path / "b"]
    command += ["--size", "144", "--seed", "1", "--preset", "released", "--workers", "2"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **OLDER})
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path / "a") == digests(tmp_path / "b") and len(digests(tmp_path / "a")) == 13
    make_test_set(tmp_path / "faces", tmp_path / "c", 144, seed=2, preset="released")
    assert digests(tmp_path / "a")["lq/0.png"] != digests(tmp_path / "c")["lq/0.png"]


def test_a_name_alone_decides(faces_folder, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "00002.png").write_bytes((faces_folder / "00002.png").read_bytes())
    make_test_set(faces_folder, tmp_path / "all", 64)
    make_test_set(tmp_path / "one", tmp_path / "alone", 64)
    assert digests(tmp_path / "alone")["lq/00002.png"] == digests(tmp_path / "all")["lq/00002.png"]


def test_faces_are_never_overwritten(faces_folder, tmp_path):
    shutil.copytree(faces_folder, tmp_path / "set" / "hq")
    before = digests(tmp_path)
    for source, output in (("set/hq", "set"), ("set", "set"), ("set", "set/hq/new")):
        with pytest.raises(RestoreFormerError, match="Expected a folder apart from the faces"):
            make_test_set(tmp_path / source, tmp_path / output, 32)
    assert digests(tmp_path) == before


def test_sets_that_cannot_be_made(faces_folder, tmp_path):
    with pytest.raises(RestoreFormerError, match="at least 128x128 under 00000 in .*, got 64x64"):
        make_test_set(faces_folder, tmp_path / "a", 128, workers=2)
    assert not (tmp_path / "a" / "manifest.csv").exists()
    make_test_set(faces_folder, tmp_path / "a", 64)
    with pytest.raises(RestoreFormerError, match="Expected no test set in"):
        make_test_set(faces_folder, tmp_path / "a", 64)
    (tmp_path / "b" / "lq").mkdir(parents=True)
    (tmp_path / "b" / "lq" / "other.png").touch()
    with pytest.raises(RestoreFormerError, match="alone in .*, got other"):
        make_test_set(faces_folder, tmp_path / "b", 64)
    for arguments, message in (
        ((0, 0), "size from 1"),
        ((64, -1), "seed from 0"),
        ((64, 0, "x"), "preset to be one of"),
    ):
        with pytest.raises(RestoreFormerError, match=message):
            make_test_set(faces_folder, tmp_path / "c", *arguments)
