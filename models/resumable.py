"""Checkpoints of a training: all that it needs to go on as if it had not been interrupted."""

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from basicsr.utils import get_root_logger
from basicsr.utils.dist_util import master_only
from torch import nn

from restoreformer.archs.checkpoint import save_checkpoint
from restoreformer.distributed import of_all_processes, process_count
from restoreformer.errors import RestoreFormerError
from restoreformer.models.execution import ExecutionModel
from restoreformer.resume import PASSED_OVER
from restoreformer.whole_file import whole_file


class ResumableModel(ExecutionModel):
    """Writes what BasicSR forgets: in its ``.state`` the random states of every process, beside it the best metrics.

    Files appear when they are whole and on the disk, the networks first and the state last: where there is a
    state, there is a checkpoint. What cannot be written stops the training, and so does a network that has come
    to hold NaN or infinity, before it takes the place of a good one.
    """

    # The iteration of the last checkpoint that this process wrote.
    _saved_iter: int | None = None
    _random_state: Mapping[str, Any] | None = None

    def save_training_state(self, epoch: int, current_iter: int) -> None:
        """In place of BasicSR's, which writes in place, and goes on where it cannot.

        Raises:
            RestoreFormerError: it cannot be written.
        """
        if current_iter == -1:
            return
        processes = of_all_processes({"random": random_state(), "parts": self.parts_state()})
        if self.opt["rank"] != 0:
            return
        state = {
            "epoch": epoch,
            "iter": current_iter,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
            "processes": processes,
        }
        path = Path(self.opt["path"]["training_states"]) / f"{current_iter}.state"
        self._write_best_metrics(current_iter)
        with whole_file(path, durable=True) as part, part.open("wb") as file:
            torch.save(state, file)

    def _write_best_metrics(self, current_iter: int) -> None:
        path = best_metrics_file(Path(self.opt["path"]["training_states"]), current_iter)
        with whole_file(path, durable=True) as part:
            part.write_text(json.dumps(self.best_metrics, indent=1) + "\n", encoding="utf-8")
        self._saved_iter = current_iter

    def validation(self, dataloader: Any, current_iter: int, tb_logger: Any, save_img: bool = False) -> None:
        """BasicSR's; it comes after the checkpoint of its iteration, which is told of the best metrics then."""
        super().validation(dataloader, current_iter, tb_logger, save_img)
        if current_iter == self._saved_iter:
            self._write_best_metrics(current_iter)

    def parts_state(self) -> dict[str, Any]:
        """What a stage's own parts in this process must know to go on: tensors and plain values."""
        return {}

    def load_parts_state(self, state: Mapping[str, Any]) -> None:
        """Give them back what :meth:`parts_state` gave."""

    def resume_training(self, resume_state: dict[str, Any]) -> None:
        """BasicSR's, and what :meth:`save_training_state` adds. States of BasicSR have none of it: then the log says
        so."""
        super().resume_training(resume_state)
        logger = get_root_logger()
        for told in resume_state.get(PASSED_OVER, ()):
            logger.warning(f"A newer checkpoint is passed over. {told}")
        self.best_before = read_best_metrics(Path(self.opt["path"]["training_states"]), resume_state["iter"])
        states = resume_state.get("processes", ())
        if len(states) == process_count():
            state = states[self.opt["rank"]]
            self._random_state = state["random"]
            self.load_parts_state(state["parts"])
        else:
            logger.warning(
                f"Chance begins anew: the state tells it for {len(states)} processes, and here are {process_count()}."
            )

    def feed_data(self, data: Mapping[str, Any]) -> None:
        if self._random_state is not None:
            # Only now: what is made for a training to resume draws too.
            set_random_state(self._random_state)
            self._random_state = None
        super().feed_data(data)

    @master_only
    def save_network(
        self, net: nn.Module | list[nn.Module], net_label: str, current_iter: int, param_key: str | list[str] = "params"
    ) -> None:
        """As BasicSR's, with the configuration in the file.

        Raises:
            RestoreFormerError: it cannot be written, or should not be: it holds NaN or infinity.
        """
        nets = [self.get_bare_model(n) for n in (net if isinstance(net, list) else [net])]
        iteration = "latest" if current_iter == -1 else current_iter
        path = Path(self.opt["path"]["models"]) / f"{net_label}_{iteration}.pth"
        for name, tensor in (item for n in nets for item in n.state_dict().items()):
            if not tensor.isfinite().all():
                raise RestoreFormerError(
                    f"Expected numbers in {path.name}, got NaN or infinity in {name}, and so it is not written: resume "
                    "from the checkpoint before, with a smaller learning rate."
                )
        save_checkpoint(path, *nets)


def best_metrics_file(folder: Path, iteration: int) -> Path:
    """Beside a checkpoint's state, so that a validation need not write that again."""
    return folder / f"{iteration}.best_metrics.json"


def read_best_metrics(folder: Path, iteration: int) -> dict[str, Any]:
    """The best metrics up to a checkpoint, by dataset and metric; none where the file is not there or not whole."""
    try:
        found = json.loads(best_metrics_file(folder, iteration).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def random_state() -> dict[str, Any]:
    """Where the generators of this process stand: Python's, numpy's, torch's and the device's, as tensors and plain
    values."""
    kind, keys, *rest = np.random.get_state(legacy=True)
    state = {
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: Mapping[str, Any]) -> None:
    """Put them back where :func:`random_state` found them."""
    random.setstate(state["python"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
