"""Resuming a training on any device."""

from pathlib import Path
from typing import Any

import torch
from basicsr.utils import check_resume, scandir

from restoreformer.errors import RestoreFormerError


def load_resume_state(opt: dict[str, Any]) -> dict[str, Any] | None:
    """In place of ``basicsr.train``'s, which asks for a CUDA device and reads pickles of any content.

    Optimizers move what they load to where their parameters are, so the state is read to the CPU.

    Args:
        opt: the parsed options; ``path: resume_state`` and the paths of the networks are set.

    Returns:
        Epoch, iteration, optimizers and schedulers, or None for a fresh start.

    Raises:
        RestoreFormerError: the file named by ``resume_state`` does not exist.
    """
    path = opt["path"].get("resume_state")
    if opt["auto_resume"]:
        folder = Path(opt["path"]["training_states"])
        states = (
            [int(name.removesuffix(".state")) for name in scandir(str(folder), ".state")] if folder.is_dir() else []
        )
        path = str(folder / f"{max(states)}.state") if states else None
    if not path:
        return None
    if not Path(path).is_file():
        raise RestoreFormerError(f"Expected a training state at {path} (path: resume_state), found none.")
    opt["path"]["resume_state"] = path
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    check_resume(opt, state["iter"])
    return state
