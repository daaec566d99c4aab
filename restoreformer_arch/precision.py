"""Networks that compute in half precision where it costs no accuracy, for restoring."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from restoreformer.archs.autoencoder import VQAutoencoder
from restoreformer.errors import RestoreFormerError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def set_precision(net: VQAutoencoder, precision: str) -> None:
    """Let ``net.half_parts()`` compute in ``precision``, and all else in float32.

    Which entries are nearest hangs on small differences, so most of the encoder and the dictionary stay
    in float32; docs/speed.md has what each part costs and brings. Images go in and come out as float32.
    Half the weights are rounded for good, so this is not for training.

    Args:
        net: a network in float32; changed in place.
        precision: ``fp32`` (nothing changes), ``bf16`` or ``fp16``.

    Raises:
        RestoreFormerError: another precision, or a network that is in half precision already.
    """
    if precision not in PRECISIONS:
        raise RestoreFormerError(f"Expected precision among {', '.join(PRECISIONS)}, got {precision}.")
    if half := [name for name, p in net.named_parameters() if p.dtype != torch.float32]:
        raise RestoreFormerError(f"Expected a network in float32, but {half[0]} and {len(half) - 1} more are not.")
    dtype = PRECISIONS[precision]
    if dtype == torch.float32:
        return
    for part in net.half_parts():
        halve(part, dtype)


def halve(part: nn.Module, dtype: torch.dtype) -> None:
    """Let one part compute in ``dtype``; what goes in is converted, what comes out is float32 again."""
    part.to(dtype)
    part.register_forward_pre_hook(partial(_before, dtype))
    part.register_forward_hook(_after)


def _before(dtype: torch.dtype, part: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(_cast(value, dtype) for value in inputs)


def _after(part: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
    return _cast(output, torch.float32)


def _cast(value: Any, dtype: torch.dtype) -> Any:
    """A tensor, or a tuple of tensors, in ``dtype``; anything else as it is."""
    if isinstance(value, Tensor):
        return value.to(dtype)
    if not isinstance(value, tuple):
        return value
    cast = (_cast(v, dtype) for v in value)
    return type(value)(*cast) if hasattr(value, "_fields") else tuple(cast)
