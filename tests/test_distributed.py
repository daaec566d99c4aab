"""Starting processes; what they then do together: tests/models and tests/test_pipeline.py."""

import atexit
import multiprocessing
import os
import sys

import basicsr.utils.options
import pytest
import torch
from torch import distributed

import restoreformer.plugin  # noqa: F401
from restoreformer.distributed import LEAVES, init_dist, process_count
from restoreformer.errors import RestoreFormerError


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith("SLURM_") or name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
            monkeypatch.delenv(name)
    # What it sets in the environment goes with the test, and so does the way processes start.
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr(multiprocessing, "set_start_method", lambda method: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    yield
    if distributed.is_initialized():
        distributed.destroy_process_group()


def test_basicsr_starts_processes_by_it():
    assert basicsr.utils.options.init_dist is init_dist


@pytest.mark.parametrize(
    "launcher, told", [("pytorch", "RANK, WORLD_SIZE .* torchrun"), ("slurm", "SLURM_PROCID.*srun")]
)
def test_a_launcher_that_did_not_launch(launcher, told):
    with pytest.raises(RestoreFormerError, match=told):
        init_dist(launcher)


def test_slurm_without_a_gpu(tmp_path, monkeypatch):
    """The first of the nodes that slurm names is where processes meet."""
    script = tmp_path / "scontrol"
    script.write_text('#!/bin/sh\n[ "$3" = "node[1-2]" ] && printf "127.0.0.1\\nelsewhere\\n"\n')
    script.chmod(0o755)
    values = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_PROCID": "0", "SLURM_NTASKS": "1"}
    os.environ.update(values | {"SLURM_NODELIST": "unknown", "MASTER_PORT": "0"})
    with pytest.raises(RestoreFormerError, match="Expected slurm's scontrol to name"):
        init_dist("slurm")
    os.environ["SLURM_NODELIST"] = "node[1-2]"
    init_dist("slurm", backend="nccl", port=None)
    assert distributed.get_backend() == "gloo" and process_count() == 1
    assert os.environ["MASTER_ADDR"] == "127.0.0.1"


@pytest.mark.skipif(torch.__version__ < LEAVES, reason="with an older torch leaving may wait for good")
@pytest.mark.parametrize("raised", [False, True])
def test_a_process_leaves_the_group_at_its_end(raised, tmp_path, monkeypatch):
    """Not after an exception: the others may be waiting for it."""
    at_exit = []
    monkeypatch.setattr(atexit, "register", at_exit.append)
    os.environ |= {"RANK": "0", "WORLD_SIZE": "1"}
    init_dist("pytorch", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    if raised:
        monkeypatch.setattr(sys, "last_type", ValueError, raising=False)
    (leave,) = at_exit
    leave()
    assert distributed.is_initialized() == raised
