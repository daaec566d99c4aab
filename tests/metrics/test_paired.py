import csv

import numpy as np
import pytest

from restoreformer.errors import RestoreFormerError
from restoreformer.metrics.paired import pair, report


def write_faces(path, methods, dataset=""):
    """``methods``: by name, by face, values of PSNR and angle."""
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["method", "dataset", "face", "PSNR", "angle"])
        for method, faces in methods.items():
            for face, (psnr, angle) in faces.items():
                lines.writerow([method, dataset, face, psnr, angle])


@pytest.fixture
def files(tmp_path):
    """Six faces: the method is 1 dB worse and half as far on each but the last, of which the opposite is so."""
    given = {f"{i}": (20 + i, 1.0 + i) for i in range(6)}
    ours = {name: (psnr - 1, angle / 2) for name, (psnr, angle) in given.items()} | {"5": (26, 12.0)}
    write_faces(tmp_path / "faces.csv", {"Input": given, "ours": ours, "GT": dict.fromkeys(given, ("inf", 0.0))})
    sigmas = [3.0, 1.0, 2.0, 6.0, 4.0, 5.0]
    (tmp_path / "manifest.csv").write_text("name,blur_sigma\n" + "".join(f"{i},{s}\n" for i, s in enumerate(sigmas)))
    return tmp_path


def test_signed_ranks_by_hand():
    """Differences of ranks 1 to 5 below and 6 above zero: 6 of 21 on one side. The sums of subsets of 1 to 6 are at
    most 6 in 14 of 64 cases, and so as far to the other side."""
    values, others = np.array([1.0, 2, 3, 4, 5, 16]), np.array([2.0, 4, 6, 8, 10, 10])
    found = pair(values, others)
    assert found.p == pytest.approx(2 * 14 / 64)
    assert found.lower == pytest.approx(5 / 6) and found.mean == pytest.approx(31 / 6)
    assert pair(others, values).p == found.p and pair(values, values).p == 1


def test_all_faces_and_by_strength(files):
    text = report(files / "faces.csv", "ours", "Input", files / "manifest.csv", "blur_sigma", 3)
    table, _, groups = text.partition("\n\n")
    assert table.splitlines()[0] == "| metric | Input | ours | ratio | ours is lower | p |"
    assert table.splitlines()[2].startswith("| PSNR | 22.50 | 21.83 | 0.970 | 83% |")
    assert table.splitlines()[3].startswith("| angle | 3.5000 | 3.2500 | 0.929 | 83% |")
    assert groups.splitlines()[0] == "| blur_sigma | faces | PSNR: Input → ours | angle: Input → ours |"
    # Faces 1 and 2, 0 and 4, 5 and 3.
    assert [line.split(" | ")[:3] for line in groups.splitlines()[2:]] == [
        ["| 1.00 to 2.00", "2", "21.50 → 20.50"],
        ["| 3.00 to 4.00", "2", "22.00 → 21.00"],
        ["| 5.00 to 6.00", "2", "24.00 → 24.00"],
    ]
    assert report(files / "faces.csv", "ours", "Input", None, "blur_sigma", 3) == table + "\n"


def test_the_truth_is_nowhere_near(files):
    text = report(files / "faces.csv", "GT", "Input", None, "blur_sigma", 1)
    assert "| PSNR | 22.50 | ∞ | inf | 0% | 3.1e-02 |" in text


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"method": "our"}, "Expected our among the methods of .*, got Input, ours, GT"),
        ({"by": "blur"}, "Expected the column blur in .*, got name, blur_sigma"),
        ({"groups": 7}, "Expected from 1 to 6 groups, got 7"),
        ({"path": "nothing.csv"}, "could not read it .*: metrics/evaluate.py writes it"),
    ],
)
def test_what_is_not_there(files, change, reason):
    asked = {"method": "ours", "by": "blur_sigma", "groups": 2, "path": "faces.csv"} | change
    with pytest.raises(RestoreFormerError, match=reason):
        report(files / asked["path"], asked["method"], "Input", files / "manifest.csv", asked["by"], asked["groups"])


def test_faces_that_do_not_fit(files):
    (files / "manifest.csv").write_text("name,blur_sigma\n0,1\n")
    with pytest.raises(RestoreFormerError, match=r"Expected 1 in .*manifest\.csv"):
        report(files / "faces.csv", "ours", "Input", files / "manifest.csv", "blur_sigma", 2)
    write_faces(files / "faces.csv", {"Input": {"0": (1, 1)}, "ours": {"1": (1, 1)}})
    with pytest.raises(RestoreFormerError, match="Expected the same faces of ours and Input"):
        report(files / "faces.csv", "ours", "Input", None, "blur_sigma", 2)
    (files / "faces.csv").write_text("method,dataset,face,PSNR\nours,a,0,1\nours,b,0,1\n")
    with pytest.raises(RestoreFormerError, match="Expected one dataset in .*, got a, b"):
        report(files / "faces.csv", "ours", "Input", None, "blur_sigma", 2)
    (files / "faces.csv").write_text("method,dataset,face,PSNR\nours,,0,much\n")
    with pytest.raises(RestoreFormerError, match="Expected numbers in .*, got much"):
        report(files / "faces.csv", "ours", "Input", None, "blur_sigma", 2)
