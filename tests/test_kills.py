"""Kill -9 at any moment of a training: it resumes, and ends as it would have ended."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from test_pipeline import command, opts, root  # noqa: F401

KILLS, INTERVAL, TOTAL = 20, 3, 300
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def start(folder, words, log):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | ENVIRONMENT
    python = [sys.executable, "-u", "-W", "ignore", *words]
    # In a session of its own: its workers go with it.
    return subprocess.Popen(python, cwd=folder, stdout=log, stderr=log, env=environment, start_new_session=True)


def logged(text):
    return [int(n) for n in re.findall(r"iter: +(\d+), lr", text)]


@pytest.mark.slow
def test_twenty_kills(root, opts):  # noqa: F811
    opt = opts["stage1"]
    opt["datasets"]["train"] |= {"batch_size_per_gpu": 1, "num_images": 3}
    opt["train"] |= {"total_iter": TOTAL, "ema_decay": 0.9}
    opt["logger"] |= {"save_checkpoint_freq": INTERVAL, "use_tb_logger": False}
    opt["val"]["val_freq"] = 10
    log = root / "log.txt"

    def trained(*words):
        with log.open("wb") as file:
            assert start(root, command(root, opt, *words), file).wait(600) == 0, log.read_text()
        return torch.load(root / "experiments" / "stage1" / "models" / f"net_g_{TOTAL}.pth", weights_only=True)

    expected = trained()
    for folder in ("models", "training_states"):
        for path in (root / "experiments" / "stage1" / folder).iterdir():
            path.unlink()
    chance, reached, resumed_at = np.random.default_rng(0), 0, []
    for _ in range(KILLS):
        with log.open("wb") as file:
            process = start(root, command(root, opt, "--auto_resume"), file)
            # Some while it starts, most while it trains: for long enough to write some checkpoints.
            begun = chance.random() < 0.9
            while begun and "Start training" not in log.read_text() and process.poll() is None:
                time.sleep(0.01)
            time.sleep(chance.uniform(0, 2))
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        text = log.read_text()
        assert "Traceback" not in text and "error" not in text, text
        if resumed := re.search(r"Resuming training from epoch: \d+, iter: (\d+)", text):
            resumed_at.append(int(resumed[1]))
            assert reached - INTERVAL <= resumed_at[-1], (
                f"{reached} was reached, and the next begins at {resumed_at[-1]}"
            )
        reached = max([reached, *logged(text)])
    assert reached < TOTAL and len(set(resumed_at)) > 5, resumed_at
    found = trained("--auto_resume")
    for key in ("params", "params_ema"):
        assert all(torch.equal(v, found[key][k]) for k, v in expected[key].items())
