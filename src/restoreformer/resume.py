"""Resuming a training on any device."""

from pathlib import Path
from typing import Any

from basicsr.utils import check_resume

from restoreformer.errors import RestoreFormerError
from restoreformer.tensor_files import read_tensors


def load_resume_state(opt: dict[str, Any]) -> dict[str, Any] | None:
    """In place of ``basicsr.train``'s, which asks for a CUDA device and reads pickles of any content.

    Optimizers move what they load to where their parameters are, so the state is read to the CPU.

    Args:
        opt: the parsed options; ``path: resume_state`` and the paths of the networks are set.

    Returns:
        Epoch, iteration, optimizers and schedulers, or None for a fresh start.

    Raises:
        RestoreFormerError: the file named by ``resume_state`` does not exist, is no training state, or is
            cut short: remove it and resume from the one before.
    """
    path = opt["path"].get("resume_state")
    if opt["auto_resume"]:
        states = [p for p in Path(opt["path"]["training_states"]).glob("*.state") if p.stem.isdigit()]
        path = str(max(states, key=lambda p: int(p.stem))) if states else None
    if not path:
        return None
    if not Path(path).is_file():
        raise RestoreFormerError(f"Expected a training state at {path} (path: resume_state), found none.")
    opt["path"]["resume_state"] = path
    state = dict(read_tensors(Path(path)))
    if missing := {"epoch", "iter", "optimizers", "schedulers"} - state.keys():
        raise RestoreFormerError(
            f"Expected a training state at {path} (path: resume_state), it has no {', '.join(sorted(missing))}: name a "
            "file of training_states."
        )
    check_resume(opt, state["iter"])
    return state
