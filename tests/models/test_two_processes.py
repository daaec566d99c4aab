"""Two processes with half a batch each are one with all of it."""

import os
from pathlib import Path

import pytest
import torch
from basicsr.models import build_model

ROOT = Path(__file__).parents[2]
PATHS = os.pathsep.join(str(ROOT / p) for p in ("src", "tests", "tests/models"))
# A metric of single faces and one of their set.
METRICS = {
    "psnr": {"type": "calculate_psnr", "crop_border": 0},
    "set": {"type": "calculate_fid", "network": "mobilenet_v2"},
}
VAL = {"save_img": False, "metrics": METRICS}


def run(forks, options, processes, folder):
    script, environment = Path(__file__).parent / "two_processes.py", {"PYTHONPATH": PATHS, "CUDA_VISIBLE_DEVICES": ""}
    running = [forks.start(script, options, rank, processes, folder, **environment) for rank in range(processes)]
    for process in running:
        done = process.wait()
        assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"{rank}_of_{processes}.pth") for rank in range(processes)]


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_two_processes_are_one(stage, request, batch, tmp_path, forks):
    opt = request.getfixturevalue(stage)
    opt["train"] |= {"adaptive_gan_weight": True, "ema_decay": 0.9}
    opt["val"] = {"save_img": False}
    model = build_model({**opt, "train": {**opt["train"], "scheduler": dict(opt["train"]["scheduler"])}})
    four = {k: torch.cat([v, v.flip(0).roll(3, -1)]) if torch.is_tensor(v) else 2 * v for k, v in batch.items()}
    for key, boxes in four.items():
        if key.startswith("loc_"):
            four[key] = boxes + torch.arange(4)[:, None] * 0.3
    nets = {"network_g": model.net_g} | {name: a.net for name, a in model.adversaries.items()}
    losses = {n: c.state_dict() for n, c in model.image_losses.items() if c is not None}
    opt["val"] = VAL
    content = {"opt": opt, "batch": four, "nets": {n: net.state_dict() for n, net in nets.items()}, "losses": losses}
    torch.save(content, tmp_path / "content.pth")
    (one,) = run(forks, tmp_path / "content.pth", 1, tmp_path)
    two = run(forks, tmp_path / "content.pth", 2, tmp_path)

    for half in two:
        assert half["gradients"].keys() == one["gradients"].keys()
        for name, gradient in one["gradients"].items():
            found = half["gradients"][name]
            torch.testing.assert_close(found, gradient, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
        for name, value in one["buffers"].items():
            torch.testing.assert_close(half["buffers"][name], value, msg=lambda m, n=name: f"{n}: {m}")
        assert half["metrics"] == [pytest.approx(m, rel=1e-12) for m in one["metrics"]]
    # The first process logs.
    assert two[0]["log"] == pytest.approx(one["log"], rel=1e-4, abs=1e-6)
