"""Networks that only measure: their weights are found or the work stops, and they never learn."""

from collections.abc import Mapping
from pathlib import Path

from basicsr.utils import get_root_logger
from torch import Tensor, nn

from restoreformer.errors import RestoreFormerError
from restoreformer.nesting import bare_names, find_set
from restoreformer.pretrained import local_file
from restoreformer.tensor_files import read_tensors


def read_weights(weights: str | Path) -> tuple[Path, Mapping[str, Tensor]]:
    """Where a file was found, and its tensors by name, without the prefix ``module.``.

    Args:
        weights: a file of ``restoreformer.pretrained.FILES``, or a path.

    Raises:
        RestoreFormerError: the file cannot be had, or holds no tensors.
    """
    path = local_file(weights)
    entries = find_set(read_tensors(path), None).entries
    names, _ = bare_names(entries)
    tensors = {name: entries[k] for k, name in names.items() if name is not None and isinstance(entries[k], Tensor)}
    if not tensors:
        raise RestoreFormerError(f"Expected tensors in {path}, found none.")
    return path, tensors


def load_frozen(net: nn.Module, weights: str | Path | None, what: str) -> None:
    """Fill ``net`` from a pretrained file and freeze it in eval mode.

    Args:
        net: the network to fill; its tensor names must be the file's (a prefix ``module.`` is taken off).
        weights: a file of ``restoreformer.pretrained.FILES``, a path, or ``none`` for the random
            weights that ``net`` has, which the log then says.
        what: what the network is for, for messages.

    Raises:
        RestoreFormerError: the weights cannot be had or do not fit.
    """
    if weights is None:
        raise RestoreFormerError(f"Expected weights for the {what}, got nothing: name a file, or write none in words.")
    if str(weights) == "none":
        get_root_logger().warning(f"The {what} uses a RANDOM network (weights: none): its value means little.")
    else:
        path, tensors = read_weights(weights)
        own = net.state_dict()
        if missing := [k for k in own if k not in tensors or tensors[k].shape != own[k].shape]:
            raise RestoreFormerError(
                f"Expected the weights of {type(net).__name__} for the {what} in {path}, but {missing[0]} and "
                f"{len(missing) - 1} more are missing or of another shape."
            )
        net.load_state_dict({k: tensors[k] for k in own})
    net.eval().requires_grad_(False)
