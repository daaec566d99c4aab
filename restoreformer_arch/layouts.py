"""The layouts of network files, and how each is written."""

import json
from collections.abc import Mapping
from typing import IO, Any, NamedTuple

import torch
from safetensors.torch import save
from torch import Tensor

from restoreformer.nesting import RELEASED_KEY, RELEASED_PREFIX, SETS


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


def write_tensors(
    file: IO[bytes], layout: str, sets: Mapping[str, Mapping[str, Tensor]], config: Mapping[str, Any]
) -> None:
    """Write a network.

    Args:
        file: where; no path, whose name torch would put into the file.
        layout: a key of :data:`LAYOUTS`.
        sets: bare tensor names to tensors, by the keys of ``layout``.
        config: ``{"type": name, **arguments}``; left out where the layout does not keep it.
    """
    # Not in the order of memory that a network was trained in.
    sets = {key: {name: v.contiguous() for name, v in tensors.items()} for key, tensors in sets.items()}
    if layout == "safetensors":
        # One entry: of several the order, and with it the file's digest, would be left to chance.
        file.write(save(dict(sets["params"]), {"config": json.dumps(config)}))
        return
    if layout == "released":
        sets = {key: {RELEASED_PREFIX + name: v for name, v in t.items()} for key, t in sets.items()}
    torch.save({**sets, "config": dict(config)} if LAYOUTS[layout].keeps_config else sets, file)
