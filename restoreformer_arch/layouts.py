"""The layouts of network files: how each is read and written.

Nothing that a file holds is run: pickles are read with ``weights_only``, safetensors are none.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from restoreformer.errors import RestoreFormerError

# BasicSR's names of a network's tensors and of their moving average.
SETS = ("params", "params_ema")
# Where the released Lightning module keeps the network.
RELEASED_KEY, RELEASED_PREFIX = "state_dict", "vqvae."


class Layout(NamedTuple):
    """What files of a layout are like.

    Attributes:
        suffix: how their names end.
        keeps_config: whether they hold the network's name and arguments.
        sets: the keys of the sets of tensors that they can hold; safetensors hold one, without a key.
    """

    suffix: str
    keeps_config: bool
    sets: tuple[str, ...]


LAYOUTS = {
    "restoreformer": Layout(".pth", True, SETS),
    "gfpgan": Layout(".pth", False, ("params_ema",)),
    "released": Layout(".ckpt", False, (RELEASED_KEY,)),
    "safetensors": Layout(".safetensors", True, ("params",)),
}


def read_tensors(path: Path) -> Mapping[Any, Any]:
    """The dict that a file of tensors holds, on the CPU, without running what else it may hold.

    Safetensors come with the ``config`` of their metadata. They are mapped into memory: what is never
    touched is never read.

    Raises:
        RestoreFormerError: no such file, or another kind of file.
    """
    if not path.is_file():
        raise RestoreFormerError(f"Expected a network file at {path}, found none.")
    try:
        content = (
            _read_safetensors(path) if is_safetensors(path) else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise RestoreFormerError(f"Expected a file of tensors at {path}, could not read it: {reason}") from error
    if not isinstance(content, Mapping):
        raise RestoreFormerError(f"Expected a dict of tensors in {path}, got {type(content).__name__}.")
    return content


def is_safetensors(path: Path) -> bool:
    """Whether a file is one of safetensors, by its content."""
    with path.open("rb") as file:
        # Eight bytes say how long the JSON is that follows. No torch file has a brace there.
        return file.read(9)[8:] == b"{"


def _read_safetensors(path: Path) -> dict[str, Any]:
    with safe_open(path, "pt") as file:
        content: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        config = (file.metadata() or {}).get("config")
    return content if config is None else content | {"config": json.loads(config)}


def write_tensors(path: Path, layout: str, sets: Mapping[str, Mapping[str, Tensor]], config: Mapping[str, Any]) -> None:
    """Write a network.

    Args:
        path: where; see :func:`unfinished`.
        layout: a key of :data:`LAYOUTS`.
        sets: bare tensor names to tensors, by the keys of ``layout``.
        config: ``{"type": name, **arguments}``; left out where the layout does not keep it.
    """
    # Not in the order of memory that a network was trained in.
    sets = {key: {name: v.contiguous() for name, v in tensors.items()} for key, tensors in sets.items()}
    if layout == "safetensors":
        # One entry: of several the order, and with it the file's digest, would be left to chance.
        path.write_bytes(save(dict(sets["params"]), {"config": json.dumps(config)}))
        return
    if layout == "released":
        sets = {key: {RELEASED_PREFIX + name: v for name, v in t.items()} for key, t in sets.items()}
    torch.save({**sets, "config": dict(config)} if LAYOUTS[layout].keeps_config else sets, path)


@contextmanager
def unfinished(path: Path) -> Iterator[Path]:
    """A file of the same name, in a folder of its own beside it, that is to be written and then to replace
    ``path``; what has not done so is gone in the end.

    Raises:
        RestoreFormerError: it cannot be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            yield Path(folder) / path.name
    except (OSError, RuntimeError, SafetensorError) as error:
        raise RestoreFormerError(f"Expected to write {path}, could not: {error}") from error
