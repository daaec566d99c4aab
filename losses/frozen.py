"""Networks that only measure: their weights are found or the training stops, and they never learn."""

from pathlib import Path

from basicsr.utils import get_root_logger
from torch import nn

from restoreformer.archs.checkpoint import read_checkpoint
from restoreformer.errors import RestoreFormerError
from restoreformer.pretrained import local_file


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
        checkpoint = read_checkpoint(local_file(weights), None, with_config=False)
        path, tensors = checkpoint.path, checkpoint.tensors
        own = net.state_dict()
        if missing := [k for k in own if k not in tensors or tensors[k].shape != own[k].shape]:
            raise RestoreFormerError(
                f"Expected the weights of {type(net).__name__} for the {what} in {path}, but {missing[0]} and "
                f"{len(missing) - 1} more are missing or of another shape."
            )
        net.load_state_dict({k: tensors[k] for k in own})
    net.eval().requires_grad_(False)
