"""How much of the dictionary is in use: the sign of a collapse."""

import torch
from torch import Tensor


def count_entries(indices: Tensor, n_embed: int) -> Tensor:
    """How often each of ``n_embed`` entries occurs in ``indices`` (any shape, int64): ``(n_embed,)``."""
    flat = indices.reshape(-1)
    # Unlike bincount this asks the device nothing.
    return torch.zeros(n_embed, dtype=flat.dtype, device=flat.device).scatter_add_(0, flat, torch.ones_like(flat))


def entries_in_use(counts: Tensor) -> Tensor:
    """Number of entries that were chosen at all, a scalar float tensor."""
    return (counts > 0).sum().float()


def perplexity(counts: Tensor) -> Tensor:
    """exp of the entropy of the choice: n if n entries are chosen equally often; 0 for no choices."""
    total = counts.sum()
    if total == 0:
        return torch.zeros((), device=counts.device)
    share = counts.double() / total
    return torch.exp(-torch.special.xlogy(share, share).sum()).float()
