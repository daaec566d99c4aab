import pickle
import sys

import cv2
import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from restoreformer.errors import RestoreFormerError
from restoreformer.frozen.pooled_features import PooledFeatures
from restoreformer.images import read, write
from restoreformer.metrics import reference
from restoreformer.metrics.reference import read_reference

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("corners")


@pytest.fixture
def network(corners):
    return PooledFeatures("mobilenet_v2")


@pytest.fixture
def features(faces_folder):
    """Of the images in ``faces_folder``, ``(4, 12)``, by Pillow and numpy."""
    rows = []
    for path in sorted(faces_folder.iterdir()):
        pixels = np.asarray(PillowImage.open(path), np.float64) / 127.5 - 1
        rows.append(pixels.reshape(2, 32, 2, 32, 3).mean((1, 3)).transpose(2, 0, 1).ravel())
    return np.array(rows)


def check(found, features):
    np.testing.assert_allclose(found.gaussian.mean, features.mean(0), atol=1e-6)
    np.testing.assert_allclose(found.gaussian.covariance, np.cov(features, rowvar=False), atol=1e-6)


@pytest.mark.parametrize("kind", ["faces_folder", "faces_lmdb"])
def test_of_images(kind, network, features, request, monkeypatch):
    monkeypatch.setattr(reference, "BATCH_SIZE", 3)
    path = request.getfixturevalue(kind)
    found = read_reference(path, network, CPU)
    check(found, features)
    assert found.images == 4 and found.path == path


def test_larger_images_are_averaged_down(network, features, faces_folder, tmp_path):
    for path in faces_folder.iterdir():
        write(tmp_path / path.name, cv2.resize(read(path), (128, 128), interpolation=cv2.INTER_NEAREST))
    check(read_reference(tmp_path, network, CPU, 64), features)
    with pytest.raises(RestoreFormerError, match="at least 512x512 under 0000. in .*, got 128x128"):
        read_reference(tmp_path, network, CPU, 512)
    write(tmp_path / "x.png", read(faces_folder / "00000.png"))
    with pytest.raises(RestoreFormerError, match=r"images of one size, got \(128, 128, 3\) and \(64, 64, 3\)"):
        read_reference(tmp_path, network, CPU)


def test_as_a_program(network, features, faces_folder, tmp_path, monkeypatch, capsys):
    out = tmp_path / "made" / "four.npz"
    options = ["--input", faces_folder, "--output", out, "--network", "mobilenet_v2", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["reference.py", *map(str, options)])
    reference.main()
    assert capsys.readouterr().out == f"{out}: 4 images of {faces_folder}, mobilenet_v2\n"
    found = read_reference(out, network, CPU)
    check(found, features)
    assert found.images == 4
    with np.load(out) as file:
        assert file["mu"].shape == (12,) and file["sigma"].shape == (12, 12), "what pytorch-fid looks for"
    for given, wrong, told in ((out, "x.npy", r"an output that ends in \.npz, got x"), ("cpu", "foo", "a device that")):
        monkeypatch.setattr(sys, "argv", ["reference.py", *(str(wrong if o == given else o) for o in options)])
        with pytest.raises(SystemExit, match=f"^error: Expected {told}"):
            reference.main()


def test_files_of_others(network, features, tmp_path):
    mean, covariance = features.mean(0), np.cov(features, rowvar=False)
    np.savez_compressed(tmp_path / "pytorch_fid.npz", mu=mean, sigma=covariance)
    # As BasicSR writes it, in the format of torch before 1.6, with what numpy called its module before 2.
    content = {"name": "x", "size": 64, "mean": mean, "cov": covariance}
    torch.save(content, tmp_path / "basicsr.pth", _use_new_zipfile_serialization=False)
    whole = (tmp_path / "basicsr.pth").read_bytes()
    other = {b"numpy._core.multiarray": b"numpy.core.multiarray", b"numpy.core.multiarray": b"numpy._core.multiarray"}
    (now,) = (name for name in other if name in whole)
    (tmp_path / "other_numpy.pth").write_bytes(whole.replace(now, other[now]))
    for name in ("pytorch_fid.npz", "basicsr.pth", "other_numpy.pth"):
        found = read_reference(tmp_path / name, network, CPU)
        np.testing.assert_array_equal(found.gaussian.mean, mean)
        np.testing.assert_array_equal(found.gaussian.covariance, covariance)
        assert found.images is None


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_what_a_file_would_run_is_not_run(network, tmp_path):
    content = {"mean": np.zeros(12), "cov": Evil(tmp_path / "ran")}
    for zipped in (True, False):
        torch.save(content, tmp_path / "evil.pth", _use_new_zipfile_serialization=zipped)
        with pytest.raises(
            RestoreFormerError, match=r"statistics in .*evil\.pth, could not read it: it holds a .*open"
        ):
            read_reference(tmp_path / "evil.pth", network, CPU)
    np.savez(tmp_path / "evil.npz", mu=np.array([Evil(tmp_path / "ran")]), sigma=np.eye(1))
    (tmp_path / "plain.npz").write_bytes(pickle.dumps(content))
    for name in ("evil.npz", "plain.npz"):
        with pytest.raises(RestoreFormerError, match=f"statistics in .*{name}, could not read it"):
            read_reference(tmp_path / name, network, CPU)
    assert not (tmp_path / "ran").exists()


def test_files_that_are_none(network, tmp_path):
    np.savez(tmp_path / "whole.npz", mu=np.zeros(12), sigma=np.eye(12))
    whole = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.npz").touch()
    np.savez_compressed(tmp_path / "hurt.npz", mu=np.arange(12.0), sigma=np.random.rand(12, 12))
    hurt = bytearray((tmp_path / "hurt.npz").read_bytes())
    hurt[400:440] = bytes(40)
    (tmp_path / "hurt.npz").write_bytes(hurt)
    (tmp_path / "text.pth").write_text("nothing")
    for name in ("half.npz", "empty.npz", "hurt.npz", "text.pth"):
        with pytest.raises(RestoreFormerError, match=f"Expected statistics in .*{name}, could not read it"):
            read_reference(tmp_path / name, network, CPU)
    np.savez(tmp_path / "names.npz", mean=np.zeros(12), sigma=np.eye(12))
    with pytest.raises(RestoreFormerError, match=r"Expected arrays mu and sigma in .*names\.npz, got others"):
        read_reference(tmp_path / "names.npz", network, CPU)
    torch.save([1.0], tmp_path / "list.pth")
    with pytest.raises(RestoreFormerError, match=r"Expected arrays mean and cov in .*list\.pth, got others"):
        read_reference(tmp_path / "list.pth", network, CPU)
    contents = {
        r"got \(12,\) and \(11, 12\)": (np.zeros(12), np.zeros((11, 12))),
        r"got \(12, 1\) and \(12, 12\)": (np.zeros((12, 1)), np.eye(12)),
        "Expected finite numbers": (np.zeros(12), np.full((12, 12), np.nan)),
        "statistics of 12 features in .*, got 3: they are another network's": (np.zeros(3), np.eye(3)),
    }
    for told, (mean, covariance) in contents.items():
        np.savez(tmp_path / "x.npz", mu=mean, sigma=covariance)
        with pytest.raises(RestoreFormerError, match=told):
            read_reference(tmp_path / "x.npz", network, CPU)
    with pytest.raises(RestoreFormerError, match=r"a file of statistics at .*nowhere\.npz, found nothing"):
        read_reference(tmp_path / "nowhere.npz", network, CPU)
