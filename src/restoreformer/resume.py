"""Resuming a training on any device, from the newest checkpoint that is whole."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from basicsr.utils import check_resume

from restoreformer.datasets.sampling import Place, SeededSampler
from restoreformer.errors import RestoreFormerError
from restoreformer.tensor_files import read_tensors

NEEDED = {"epoch", "iter", "optimizers", "schedulers"}
# Under this key, what the log cannot be told before there is one.
PASSED_OVER = "passed_over"


def load_resume_state(opt: dict[str, Any]) -> dict[str, Any] | None:
    """In place of ``basicsr.train``'s, which asks for a CUDA device, reads pickles of any content, and takes the newest
    file for whole.

    Optimizers move what they load to where their parameters are, so the state is read to the CPU.

    Args:
        opt: the parsed options; ``path: resume_state`` and the paths of the networks are set.

    Returns:
        Epoch, iteration, optimizers, schedulers and what else was saved, or None for a fresh start. With
        ``--auto_resume`` also why newer checkpoints were passed over, a list of texts.

    Raises:
        RestoreFormerError: the file named by ``resume_state`` does not exist, is no training state, or is
            cut short; with ``--auto_resume`` there are checkpoints, but none that is whole.
    """
    SeededSampler.resumed_at = None
    named = opt["path"].get("resume_state")
    if opt["auto_resume"]:
        state = _newest(opt)
    elif named:
        state = _read(Path(named))
        opt["path"]["resume_state"] = str(named)
    else:
        state = None
    if state is None:
        return None
    check_resume(opt, state["iter"])
    SeededSampler.resumed_at = Place(state["epoch"], state["iter"])
    return state


def _newest(opt: dict[str, Any]) -> dict[str, Any] | None:
    """The newest state of a run whose networks are there and whole; None for a run that has none yet."""
    states = [p for p in Path(opt["path"]["training_states"]).glob("*.state") if p.stem.isdigit()]
    passed_over: list[str] = []
    for path in sorted(states, key=lambda p: int(p.stem), reverse=True):
        try:
            state = _read(path)
            for network in _networks(opt, path.stem):
                read_tensors(network)
        except RestoreFormerError as error:
            passed_over.append(str(error))
            continue
        opt["path"]["resume_state"] = str(path)
        return state | {PASSED_OVER: passed_over}
    if states:
        raise RestoreFormerError(
            f"Expected a whole checkpoint among {len(states)} in {states[0].parent}, found none: remove the folder to "
            f"start anew. The newest: {passed_over[0]}"
        )
    return None


def _networks(opt: dict[str, Any], iteration: str) -> Iterator[Path]:
    """The files of the networks that are resumed with a state."""
    ignored = opt["path"].get("ignore_resume_networks") or ()
    for key in opt:
        if key.startswith("network_") and opt[key] is not None and key not in ignored:
            yield Path(opt["path"]["models"]) / f"net_{key.removeprefix('network_')}_{iteration}.pth"


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise RestoreFormerError(f"Expected a training state at {path} (path: resume_state), found none.")
    state = dict(read_tensors(path))
    if missing := NEEDED - state.keys():
        raise RestoreFormerError(
            f"Expected a training state at {path} (path: resume_state), it has no {', '.join(sorted(missing))}: name a "
            "file of training_states."
        )
    return state
