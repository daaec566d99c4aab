import csv
import json
import shutil
import sys

import numpy as np
import pytest
import torch
import yaml
from skimage.metrics import peak_signal_noise_ratio
from torch.nn import functional as F

from restoreformer.images import read, write
from restoreformer.metrics import evaluate
from restoreformer.metrics.frechet import Moments

pytestmark = pytest.mark.usefixtures("corners")
METRICS = {
    "set": {"type": "calculate_fid"},
    "psnr": {"type": "calculate_psnr", "crop_border": 0},
    "ssim": {"type": "calculate_ssim", "crop_border": 0, "test_y_channel": False},
}


@pytest.fixture
def folders(faces, tmp_path):
    """Four faces of 64 as they are, and with noise."""
    for name, noise in (("gt", 0), ("lq", 50), ("good", 5), ("bad", 20)):
        for i, image in enumerate(faces(4, noise=noise)):
            write(tmp_path / name / f"{i:02d}.png", image)
    return tmp_path


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """The program's exit status and what it wrote to stdout and stderr."""
    (tmp_path / "metrics.yml").write_text(yaml.safe_dump({"val": {"metrics": METRICS}}, sort_keys=False))

    def run(*options, metrics=tmp_path / "metrics.yml"):
        always = ["--out", tmp_path / "out", "--metrics", metrics, "--device", "cpu"]
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *map(str, [*options, *always])])
        try:
            evaluate.main()
            status = 0
        except SystemExit as exit:
            status = exit.code
        return status, *capsys.readouterr()

    return run


def values(folder):
    """Value by method, dataset and metric, and the other columns, of evaluation.csv."""
    with (folder / "out" / "evaluation.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {
        (r["method"], r["dataset"], r["metric"]): float(r["value"]) for r in rows if r["source"] == "measured"
    }, rows


def features(folder):
    pixels = [
        torch.from_numpy(read(p)[:, :, ::-1] / 127.5 - 1).permute(2, 0, 1)[None] for p in sorted(folder.iterdir())
    ]
    return torch.cat([F.adaptive_avg_pool2d(p, 2).flatten(1) for p in pixels]).numpy()


def test_the_layout_of_table_1(run, folders):
    gt, lq, good, bad = (folders / n for n in ("gt", "lq", "good", "bad"))
    options = ("--gt", gt, "--lq", lq, "--method", f"Good={good}", "--method", f"Bad={bad}", "--reference", gt)
    status, out, err = run(*options, "--dataset", "CelebA-Test", "--published")
    assert status == 0 and "measuring Bad CelebA-Test" in err
    assert "- Missing: CelebA-Test has 3,000 faces in the paper, here 4\n" in out
    table = [line.strip("| ").split(" | ") for line in out.splitlines() if line.startswith("|")]
    assert table[0] == ["Methods", "FID↓", "PSNR↑", "SSIM↑"]
    assert table[2] == ["Input (published)", "132.69", "24.96", "0.6624"]
    assert table[9] == ["GT (published)", "43.43", "∞", "1.0000"]
    assert [row[0] for row in table[10:]] == ["Input", "Good", "Bad", "GT"]
    assert table[13][2:] == ["∞", "1.0000"] and table[13][1].startswith("0.00 [0.00, ")

    found, rows = values(folders)
    psnr = [
        [peak_signal_noise_ratio(*(read(folder / f"{i:02d}.png") for folder in (gt, other))) for i in range(4)]
        for other in (lq, good, bad)
    ]
    for name, folder, expected in zip(("Input", "Good", "Bad"), (lq, good, bad), psnr, strict=True):
        assert found[name, "CelebA-Test", "PSNR"] == pytest.approx(np.mean(expected), rel=1e-12)
        distance = Moments.of(features(gt)).gaussian().distance(features(folder))
        assert found[name, "CelebA-Test", "FID"] == pytest.approx(distance, rel=1e-4)
    assert found["GT", "CelebA-Test", "PSNR"] == np.inf and found["GT", "CelebA-Test", "FID"] == pytest.approx(
        0, abs=1e-6
    )
    for r in rows:
        assert r["source"] == "published" or not r["low"] or float(r["low"]) <= float(r["value"]) <= float(r["high"])
    assert {r["metric"] for r in rows if r["source"] == "published"} == {"FID", "PSNR", "SSIM"}

    with (folders / "out" / "faces.csv").open(newline="") as file:
        of_faces = list(csv.DictReader(file))
    assert [float(r["PSNR"]) for r in of_faces[4:8]] == pytest.approx(psnr[1], rel=1e-12)
    assert [r["face"] for r in of_faces[4:8]] == ["00", "01", "02", "03"] and {r["method"] for r in of_faces[4:8]} == {
        "Good"
    }
    assert np.mean([float(r["SSIM"]) for r in of_faces[8:12]]) == pytest.approx(found["Bad", "CelebA-Test", "SSIM"])

    def refused(constant):
        raise AssertionError(f"{constant} is not JSON")

    text = (folders / "out" / "evaluation.json").read_text(encoding="utf-8")
    content = json.loads(text, parse_constant=refused)
    told = {(e["method"], e["dataset"], k): f["value"] for e in content["evaluations"] for k, f in e["figures"].items()}
    assert told.pop(("GT", "CelebA-Test", "PSNR")) == "infinity"
    assert told == {k: v for k, v in found.items() if v != np.inf}
    assert (folders / "out" / "evaluation.md").read_text(encoding="utf-8") == out


def test_the_header_tells_what_was_measured_how(run, folders):
    _, out, _ = run("--gt", folders / "gt", "--method", f"A={folders / 'good'}")
    header = dict(line[2:].split(": ", 1) for line in out.splitlines() if line.startswith("- "))
    assert header["Faces"] == "4 of 64x64" and header["Missing"] == "nothing"
    assert header["FID to GT"] == "calculate_fid"
    assert header["SSIM"] == "calculate_ssim: crop_border 0, test_y_channel False"
    assert f"torch {torch.__version__.split('+')[0]}" in header["Versions"] and "basicsr 1.4" in header["Versions"]
    for path in (folders / "good").iterdir():
        write(path, read(path)[:32, :32])
    _, out, _ = run(
        "--method", f"A={folders / 'good'}", "--method", f"B={folders / 'bad'}", "--reference", folders / "gt"
    )
    assert "- Faces: 4 of 32x32 (A), 4 of 64x64 (B)\n" in out
    assert "- Missing: no ground truth, and so no psnr, ssim\n" in out
    assert {metric for _, _, metric in values(folders)[0]} == {"FID"}
    assert f"- FID: calculate_fid; against {folders / 'gt'}, 4 images\n" in out


def test_truth_and_result_exchanged(run, folders):
    found = []
    for gt, method in (("gt", "bad"), ("bad", "gt")):
        assert run("--gt", folders / gt, "--method", f"A={folders / method}")[0] == 0
        found.append({metric: v for (name, _, metric), v in values(folders)[0].items() if name == "A"})
    assert found[0].keys() == {"FID to GT", "PSNR", "SSIM"}
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_an_incomplete_set_is_told_and_not_averaged(run, folders):
    sets = {"missing": "bad", "extra": "bad", "renamed": "bad", "hurt": "bad", "sized": "bad"}
    for name, source in sets.items():
        shutil.copytree(folders / source, folders / name)
    (folders / "missing" / "01.png").unlink()
    shutil.copy(folders / "extra" / "01.png", folders / "extra" / "07.png")
    for path in (folders / "renamed").iterdir():
        path.rename(path.with_stem(f"{path.stem}_00"))
    # The first face of the first row: the header is made in spite of it.
    hurt = folders / "hurt" / "00.png"
    hurt.write_bytes(hurt.read_bytes()[:1000])
    write(folders / "sized" / "02.png", read(folders / "sized" / "02.png")[:60])
    methods = [f"{name}={folders / name}" for name in ("hurt", "missing", "extra", "renamed", "sized", "good")]
    status, out, _ = run("--gt", folders / "gt", *(o for m in methods for o in ("--method", m)))
    assert status == 1
    told = {line.split(": ")[1]: line for line in out.splitlines() if line.startswith("Not measured: ")}
    assert told.keys() == {"hurt", "missing", "extra", "renamed", "sized"}
    assert "Expected an image in" in told["hurt"] and "hurt/00.png" in told["hurt"]
    assert told["missing"].endswith(f"1 of {folders / 'gt'} missing in {folders / 'missing'} (01)")
    assert told["extra"].endswith(f"1 of {folders / 'extra'} missing in {folders / 'gt'} (07)")
    assert f"4 of {folders / 'gt'} missing in {folders / 'renamed'} (" in told["renamed"]
    assert told["renamed"].endswith(f"with '_00' after it: give the folder as {folders / 'renamed'}/*_00.png")
    assert told["sized"].endswith("02 has 64x60 pixels, its ground truth 64x64")
    assert "- Missing: not measured for want of faces: hurt, missing, extra, renamed, sized\n" in out
    assert "- Faces: 4 of 64x64\n" in out
    for name in told:
        assert f"| {name} | incomplete | incomplete | incomplete |" in out
    found, rows = values(folders)
    assert {name for name, _, _ in found} == {"good", "GT"}
    assert [r["method"] for r in rows if r["source"].startswith("not measured: ")] == list(told)
    # What the others left behind changes nothing.
    assert run("--gt", folders / "gt", "--method", methods[-1])[0] == 0
    assert values(folders)[0] == found
    content = json.loads((folders / "out" / "evaluation.json").read_text())
    assert all(e["problem"] is None for e in content["evaluations"])


def test_the_layout_of_table_4(run, folders):
    gt, good, bad = (folders / n for n in ("gt", "good", "bad"))
    methods = (f"exp3={bad}", f"Ours, seed 1={good}", f"Ours, seed 2={bad}")
    options = ["--gt", gt, *(o for m in methods for o in ("--method", m)), "--reference", gt]
    status, out, _ = run(*options, "--dataset", "CelebA-Test", "--published", "--ablation")
    assert status == 0
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("|")]
    head = ["No. of exp.", "degraded", "prior", "none", "MHSA", "SFT", "MHCA-D", "MHCA-P", "FID↓", "PSNR↑", "SSIM↑"]
    assert table[0] == head
    assert table[2] == ["exp1 (published)", "✓", "", "✓", "", "", "", "", "50.68", "–", "–"]
    assert table[7] == ["Ours (published)", "✓", "✓", "", "", "", "", "✓", "41.45", "–", "–"]
    assert [row[:8] for row in table[8:]] == [
        ["exp3", "", "✓", "", "✓", "", "", ""],
        ["Ours, seed 1", "✓", "✓", "", "", "", "", "✓"],
        ["Ours, seed 2", "✓", "✓", "", "", "", "", "✓"],
        ["GT", "", "", "", "", "", "", ""],
    ]
    status, _, _ = run(*options, "--ablation", "--method", f"exp6={good}")
    assert "Expected rows of Table 4 with --ablation, exp1, exp2" in status and "got exp6: rename it" in status


def test_what_was_measured_is_kept_if_the_next_is_never_done(run, folders, monkeypatch):
    measured = evaluate.evaluate

    def interrupted(method, *arguments):
        if method == "Bad":
            raise KeyboardInterrupt
        return measured(method, *arguments)

    monkeypatch.setattr(evaluate, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("--gt", folders / "gt", *(o for n in ("good", "bad") for o in ("--method", f"{n.title()}={folders / n}")))
    assert {method for method, _, _ in values(folders)[0]} == {"Good"}
    assert "| Good | " in (folders / "out" / "evaluation.md").read_text(encoding="utf-8")


def test_the_layout_of_table_2(run, folders):
    np.savez(folders / "reference.npz", mu=np.zeros(12), sigma=np.eye(12))
    shutil.copytree(folders / "bad", folders / "web")
    (folders / "web" / "00.png").write_bytes(b"nothing")
    shutil.copytree(folders / "bad", folders / "part")
    (folders / "part" / "00.png").rename(folders / "part" / "00.gif")
    named = (("Input@LFW-Test", "lq"), ("Input@Own", "lq"), ("Ours@LFW-Test", "good"), ("Ours@WebPhoto-Test", "web"))
    # Without truth the sets of a dataset are held against each other.
    named = (*named, ("Part@Own", "part"))
    options = [o for name, folder in named for o in ("--method", f"{name}={folders / folder}")]
    status, out, _ = run(*options, "--reference", folders / "reference.npz", "--published")
    assert status == 1
    table = [line.strip("| ").split(" | ") for line in out.splitlines() if line.startswith("|")]
    assert table[0] == ["Methods", "LFW-Test FID↓", "Own FID↓"]
    assert table[2] == ["Input (published)", "137.56", "–"] and table[8] == ["RestoreFormer (published)", "47.75", "–"]
    assert [row[0] for row in table[9:]] == ["Input", "Ours", "Part"] and table[10][2] == "–"
    assert "Not measured: Part on Own: 1 of all folders of Own missing in {} (00)".format(folders / "part") in out
    assert "; no images in Part on Own: 00.gif; LFW-Test has 1,711 faces in the paper, here 4\n" in out
    assert "Not measured: Ours on WebPhoto-Test: Expected an image in" in out
    assert "against {}, which does not tell how many images".format(folders / "reference.npz") in out
    assert "- Faces: LFW-Test: 4 of 64x64; Own: 4 of 64x64; WebPhoto-Test: no complete set\n" in out
    found = values(folders)[0]
    distance = Moments(2, np.zeros(12), np.eye(12)).gaussian().distance(features(folders / "good"))
    assert found["Ours", "LFW-Test", "FID"] == pytest.approx(distance, rel=1e-5)
    assert found["Input", "LFW-Test", "FID"] == found["Input", "Own", "FID"]


def test_what_cannot_be_measured_ends_in_one_line(run, folders):
    gt, method = ("--gt", folders / "gt"), ("--method", f"A={folders / 'good'}")
    cases = {
        "Expected --method NAME=DIR, got no folder": (),
        "Expected --reference or --gt for set to compare with, got neither": method,
        "Expected a name of its own for each row, got A twice": (*method, *method),
        "Expected one dataset with --gt, got one without name and LFW": (*gt, "--method", f"A@LFW={folders / 'good'}"),
        "Expected a dataset for each row, got A without": (*method, "--method", f"A@LFW={folders / 'good'}"),
        "Expected NAME@DATASET=DIR, got @LFW=": ("--method", f"@LFW={folders / 'good'}"),
        "Expected a folder of faces at": ("--method", f"A={folders / 'none'}"),
        "found nothing": (*method, "--reference", folders / "none.npz"),
    }
    for told, options in cases.items():
        status, _, _ = run(*options)
        assert isinstance(status, str) and status.startswith("error: Expected") and told in status
    wrong = folders / "wrong.yml"
    for told, content in {
        "psnr: crop_boarder is not an option: did you mean crop_border?": {
            "psnr": {"type": "calculate_psnr", "crop_boarder": 0}
        },
        "psnr: crop_border is missing": {"psnr": {"type": "calculate_psnr"}},
        "x: type: calculate_psrn is not registered: did you mean calculate_psnr?": {"x": {"type": "calculate_psrn"}},
        "where blocks of metrics are expected": {"val": {"metrics": None}},
        "Expected a metric for --reference": {"psnr": METRICS["psnr"]},
        "Expected one metric of a kind, got 2 of PSNR": {"a": METRICS["psnr"], "b": METRICS["psnr"]},
    }.items():
        wrong.write_text(yaml.safe_dump(content))
        reference = ("--reference", folders / "gt") if "--reference" in told else ()
        status, _, _ = run(*gt, *method, *reference, metrics=wrong)
        assert isinstance(status, str) and told in status


def test_of_the_papers_metrics_fid_alone_needs_no_truth():
    assert list(evaluate.METRICS) == ["fid", "psnr", "ssim", "lpips", "idd"]
    options, left_out = evaluate.metric_options(None, "ffhq.npz", None)
    assert options == {"fid": {"type": "calculate_fid", "reference": "ffhq.npz"}}
    assert left_out == ["psnr", "ssim", "lpips", "idd"]
