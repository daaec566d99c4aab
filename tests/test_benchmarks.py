import json
from pathlib import Path

import restoreformer.plugin  # noqa: F401  # isort: skip  (first: it makes basicsr importable)

import pytest
import torch
import training
from load import watch
from measuring import machine, operations, peak_memory, ratio, report
from measuring.five_passes import FivePasses
from measuring.training_log import losses, read_log, validations

ROOT = Path(__file__).parents[1]


def test_each_script_starts_by_itself(forks):
    for script in sorted((ROOT / "benchmarks").glob("*.py")):
        done = forks.run(script, "--help")
        assert done.returncode == 0, f"{script}: {done.stderr}"
        assert f"python benchmarks/{script.name}" in done.stdout


def test_ratios_operations_and_memory():
    assert ratio([1.0, 2.0, 9.0], [2.0, 4.0, 9.0]) == 0.5
    layer, x = torch.nn.Conv2d(3, 8, 3, padding=1), torch.zeros(2, 3, 16, 16, requires_grad=True)
    assert operations(lambda: layer(x)) == 2 * (2 * 16 * 16) * 8 * 27
    with torch.inference_mode():
        assert operations(lambda: layer(x)) == 2 * (2 * 16 * 16) * 8 * 27
    # With both gradients, twice as much again; also where torch's own counter stops.
    backward = lambda: torch.autograd.grad(layer(x).sum(), (x, layer.weight))  # noqa: E731
    assert operations(backward) == 3 * operations(lambda: layer(x))
    assert peak_memory(lambda: torch.ones(50, 1_000_000).sum(), torch.device("cpu")) == pytest.approx(200e6, rel=0.1)


def test_a_log_is_read(tmp_path):
    """Two parts, as of a training that was killed after its validation and lost the last twenty iterations."""
    line = "2026-01-01 INFO: [x..][epoch:  0, iter: {i}, lr:(5.000e-04,)] [eta: 0:01:00] l_pix: {a:.4e} l_pixel: 7 "
    first = [
        line.format(i="     980", a=0.5),
        line.format(i="   1,000", a=0.25),
        "Validation faces",
        "\t # psnr: 21.5\tBest",
    ]
    (tmp_path / "train_x_1.log").write_text("\n".join([*first, line.format(i="   1,020", a=0.125)]) + "\n")
    again = [
        line.format(i="   1,020", a=-1),
        line.format(i="   1,040", a=2),
        "\t # psnr: 22\tBest",
        "\t # angle: 1e-1\tBest",
    ]
    (tmp_path / "train_x_2.log").write_text("\n".join(again))
    log = read_log(tmp_path)
    assert [(r["iteration"], r["l_pix"]) for r in losses(log, ["l_pix"])] == [
        (980, 0.5), (1000, 0.25), (1020, -1), (1040, 2)
    ]  # fmt: skip
    assert validations(log) == [{"iteration": 1000, "psnr": 21.5}, {"iteration": 1040, "psnr": 22, "angle": 0.1}]


def test_a_run_is_watched_with_its_workers(tmp_path):
    """A child of a child takes 64 MiB and three files in the midst of its time."""
    worker = "import time; time.sleep(2); held = bytearray(2**26); held[::4096] = b'1' * 2**14; "
    worker += "files = [open(__file__) for _ in range(3)]; time.sleep(2)"
    (tmp_path / "worker.py").write_text(worker)
    parent = "import subprocess, sys; print('x' * 1023, flush=True); subprocess.run([sys.executable, sys.argv[1]])"
    (tmp_path / "parent.py").write_text(parent)
    words = [str(tmp_path / "parent.py"), str(tmp_path / "worker.py")]
    samples, status = watch(words, tmp_path / "log.txt", interval=0.1)
    assert status == 0 and len(samples) > 10
    before, after = samples[len(samples) // 4], samples[len(samples) * 3 // 4]
    assert after.memory - before.memory == pytest.approx(2**26, rel=0.05)
    assert after.files - before.files == 3
    assert before.printed == after.printed == 1024


def test_a_table_and_its_json_say_where_they_come_from(tmp_path, capsys):
    about = machine(torch.device("cpu"))
    assert {"device", "torch", "date", "python"} <= about.keys()
    report("Title", [{"network": "ours", "seconds": 1.25}], about, tmp_path / "a" / "b.json")
    printed = capsys.readouterr().out
    assert "| ours | 1.25 |" in printed and about["date"] in printed and about["device"] in printed
    assert json.loads((tmp_path / "a" / "b.json").read_text())["machine"] == about


def test_the_released_loop_has_five_passes_and_five_steps():
    small = ROOT / "options" / "small" / "train_restoreformer.yml"
    model = training.build(small, {}, torch.device("cpu"))
    model.feed_data(training.batch(64, 1))
    five = FivePasses(model)
    passes = []
    five.nets["network_g"].decoder.register_forward_hook(lambda *_: passes.append(1))
    before = {name: [p.detach().clone() for p in learning] for name, learning in five.learning.items()}
    five.iterate()
    assert len(passes) == len(five.optimizers) == 5
    for name, learning in five.learning.items():
        assert any(not torch.equal(a, b) for a, b in zip(before[name], learning, strict=True)), name
    with torch.no_grad():
        # The same network from the same weights.
        image, _ = FivePasses(model)._generate()
        torch.testing.assert_close(image, model.net_g(model.lq), rtol=1e-4, atol=1e-4)
