"""The two distances that the paper and the released code measure with."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from restoreformer.errors import RestoreFormerError

_CRITERIA: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"l1": F.l1_loss, "l2": F.mse_loss}


def elementwise(criterion: str) -> Callable[[Tensor, Tensor], Tensor]:
    """``l1``, the mean of absolute differences, or ``l2``, the mean of squared ones; in float32 at least.

    Raises:
        RestoreFormerError: another name.
    """
    if criterion not in _CRITERIA:
        raise RestoreFormerError(f"Expected criterion l1 or l2, got {criterion}.")
    return lambda a, b: _CRITERIA[criterion](at_least_float32(a), at_least_float32(b))


def at_least_float32(value: Tensor) -> Tensor:
    """``value`` in float32 if it comes in half precision, as features do under autocast."""
    return value.float() if value.dtype.itemsize < 4 else value
