"""Weights of large networks in small files: within a tensor a few numbers come again and again."""

import zlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

# From one place along each dimension to the next.
STRIDES = (1, 3, 5, 7)


def small_tensor(name: str, like: Tensor) -> Tensor:
    """By the name, as :func:`golden.golden_tensor`; a file keeps the few numbers that its storage holds."""
    if not like.is_floating_point():
        return torch.zeros(like.shape, dtype=like.dtype)
    steps = STRIDES[: like.ndim]
    count = 1 + sum((size - 1) * step for size, step in zip(like.shape, steps, strict=True))
    z = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(count).astype(np.float32)
    if like.ndim >= 2:
        z *= np.sqrt(2 / np.prod(like.shape[1:])).astype(np.float32)
    else:
        z = np.abs(1 + 0.1 * z) if name.endswith(("weight", "running_var")) else 0.1 * z
    return torch.from_numpy(z).as_strided(tuple(like.shape), steps)


def small_weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights for a state dict, which may lie on torch's device ``meta``."""
    return {name: small_tensor(name, like) for name, like in tensors.items()}
