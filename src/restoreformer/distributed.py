"""Several processes, with or without GPUs."""

import atexit
import multiprocessing
import os
import subprocess
import sys
from typing import Any

import numpy as np
import torch
from basicsr.utils import dist_util
from numpy.typing import NDArray
from torch import Tensor, distributed

from restoreformer.errors import RestoreFormerError

_PORT = "29500"  # torch's own default
# The oldest torch that is known to leave a group; 2.4 and 2.7 may wait for good for a process that has left before.
LEAVES = "2.15"


def init_dist(launcher: str, backend: str = "nccl", port: int | None = None, **options: Any) -> None:
    """In place of BasicSR's, which divides by the number of GPUs: without any, processes meet through gloo.

    Args:
        launcher: ``pytorch`` (torchrun) or ``slurm``.
        backend: for machines with GPUs.
        port: of the first machine, for slurm; the default is ``$MASTER_PORT``, else 29500.
        options: of ``torch.distributed.init_process_group``.

    Raises:
        RestoreFormerError: the launcher did not say which process this is, or slurm not on which machines.
    """
    needed = ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_NODELIST") if launcher == "slurm" else ("RANK", "WORLD_SIZE")
    if missing := [name for name in needed if name not in os.environ]:
        start = "srun" if launcher == "slurm" else "torchrun"
        raise RestoreFormerError(
            f"Expected {', '.join(missing)} in the environment, which {start} sets: start with {start}, or leave out "
            f"--launcher {launcher}."
        )
    if torch.cuda.is_available():
        ports = {"port": port} if launcher == "slurm" else {}
        dist_util.init_dist(launcher, backend=backend, **ports, **options)
        return
    if launcher == "slurm":
        os.environ |= _from_slurm(port)
    if multiprocessing.get_start_method(allow_none=True) is None:
        # As BasicSR does: what reads the data is not to inherit half of a process group.
        multiprocessing.set_start_method("spawn")
    distributed.init_process_group("gloo", **options)
    atexit.register(_leave)


def _leave() -> None:
    # A thread of gloo's that outlives the interpreter aborts the process (pytorch issue 190489), and BasicSR's scripts
    # leave no group. After an exception the others may still wait for this process, and leaving would wait for them.
    if distributed.is_initialized() and not hasattr(sys, "last_type") and torch.__version__ >= LEAVES:
        distributed.destroy_process_group()


def _from_slurm(port: int | None) -> dict[str, str]:
    """What torchrun would have set."""
    command = ["scontrol", "show", "hostname", os.environ["SLURM_NODELIST"]]
    try:
        hosts = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError) as error:
        raise RestoreFormerError(f"Expected slurm's scontrol to name this job's machines: {error}") from error
    return {
        "MASTER_ADDR": hosts[0],
        "MASTER_PORT": str(port or os.environ.get("MASTER_PORT", _PORT)),
        "WORLD_SIZE": os.environ["SLURM_NTASKS"],
        "RANK": os.environ["SLURM_PROCID"],
    }


def process_count() -> int:
    """How many processes work together; 1 without a process group."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of each process's ``value``, without gradient."""
    if process_count() == 1:
        return value
    value = value.detach().clone()
    distributed.all_reduce(value)
    return value / process_count()


def of_all_processes(value: Any) -> list[Any]:
    """Each process's ``value``, anything that can be pickled, that of the first process first."""
    gathered: list[Any] = [value]
    if process_count() > 1:
        gathered = [None] * process_count()
        distributed.all_gather_object(gathered, value)
    return gathered


def rows_of_all_processes(rows: NDArray[Any]) -> NDArray[Any]:
    """The rows of every process's array ``(n, ...)``, those of the first process first."""
    return np.concatenate(of_all_processes(rows))
