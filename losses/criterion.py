"""The two distances that the paper and the released code measure with."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from restoreformer.errors import RestoreFormerError

_CRITERIA: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"l1": F.l1_loss, "l2": F.mse_loss}


def elementwise(criterion: str) -> Callable[[Tensor, Tensor], Tensor]:
    """``l1``, the mean of absolute differences, or ``l2``, the mean of squared ones.

    Raises:
        RestoreFormerError: another name.
    """
    if criterion not in _CRITERIA:
        raise RestoreFormerError(f"Expected criterion l1 or l2, got {criterion}.")
    return _CRITERIA[criterion]
