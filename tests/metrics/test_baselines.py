import csv
import sys

import cv2
import numpy as np
import pytest

from restoreformer.datasets.make_test_set import make_test_set
from restoreformer.images import read, write
from restoreformer.metrics import baselines


@pytest.fixture
def test_set(tmp_path):
    ramp = np.tile(np.linspace(20, 230, 64), (64, 1))
    face = np.dstack([ramp, ramp.T, 255 - ramp]).astype(np.uint8)
    write(tmp_path / "faces" / "a.png", face)
    make_test_set(tmp_path / "faces", tmp_path / "set", 64)
    return tmp_path / "set"


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["baselines.py", *map(str, arguments)])
    baselines.main()


def test_faces_are_brought_to_the_size_of_the_manifest_and_back(test_set, tmp_path, monkeypatch):
    run(monkeypatch, "--test-set", test_set, "--out", tmp_path / "out")
    with (test_set / "manifest.csv").open(newline="") as file:
        factor = float(next(csv.DictReader(file))["downsample"])
    degraded, side = read(test_set / "lq" / "a.png"), round(64 / factor)
    small = cv2.resize(degraded, (side, side), interpolation=cv2.INTER_AREA)
    expected = cv2.resize(small, (64, 64), interpolation=cv2.INTER_CUBIC)
    assert (read(tmp_path / "out" / "bicubic" / "a.png") == expected).all()
    truth = read(test_set / "hq" / "a.png").astype(float)
    errors = [np.square(x - truth).mean() for x in (degraded, read(tmp_path / "out" / "denoised" / "a.png"))]
    assert 0 < errors[1] < errors[0]


def test_a_set_without_its_manifest_is_an_error(test_set, tmp_path, monkeypatch):
    (test_set / "manifest.csv").unlink()
    with pytest.raises(SystemExit, match=r"error: Expected the manifest of a test set at .*make_test_set.py"):
        run(monkeypatch, "--test-set", test_set, "--out", tmp_path / "out")
