"""Networks that only measure: their weights are found or the training stops, and they never learn."""

from pathlib import Path
from typing import Any

import torch
from basicsr.utils import get_root_logger
from torch import nn

from restoreformer.errors import RestoreFormerError
from restoreformer.pretrained import find_pretrained


def load_frozen(net: nn.Module, weights: str | Path, what: str) -> None:
    """Fill ``net`` from a pretrained file and freeze it in eval mode.

    Args:
        net: the network to fill; its tensor names must be the file's (a prefix ``module.`` is taken off).
        weights: a file of ``restoreformer.pretrained.FILES``, a path, or ``none`` for the random
            weights that ``net`` has, which the log then says.
        what: what the network is for, for messages.

    Raises:
        RestoreFormerError: the weights cannot be had or do not fit.
    """
    if str(weights) == "none":
        get_root_logger().warning(f"The {what} uses a RANDOM network (weights: none): its value means little.")
    else:
        path = find_pretrained(weights)
        tensors: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        tensors = {k.removeprefix("module."): v for k, v in tensors.items()}
        own = net.state_dict()
        if missing := [k for k in own if k not in tensors or tensors[k].shape != own[k].shape]:
            raise RestoreFormerError(
                f"Expected the weights of {type(net).__name__} for the {what} in {path}, but {missing[0]} and "
                f"{len(missing) - 1} more are missing or of another shape."
            )
        net.load_state_dict({k: tensors[k] for k in own})
    net.eval().requires_grad_(False)
