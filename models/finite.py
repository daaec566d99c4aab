"""Losses that are NaN or infinite: nothing learns from them, they are told by name, and no iteration waits for that."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class BadBatch(NamedTuple):
    """An iteration in which something was not finite.

    Attributes:
        iteration: its number.
        files: of the batch, in this process.
        names: of the losses, or where all of them are finite here, of the networks whose gradients are not.
    """

    iteration: int
    files: Sequence[str]
    names: Sequence[str]


class _Seen(NamedTuple):
    """What is known of an iteration when it has come from the device."""

    iteration: int
    files: Sequence[str]
    losses: Sequence[str]
    networks: Sequence[str]
    flags: Tensor
    event: torch.cuda.Event | None


class Watch:
    """Sees to it that nothing is learned from what is not finite, and remembers where that was.

    The host would have to wait for the device to learn of a bad value, and so it is the device that acts on it: the
    gradients of what follows in the iteration become NaN, which DDP carries to every process, and steps of optimizers
    with NaN in a gradient change nothing. What was bad is read when it has arrived.

    Args:
        device: where the values are.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._waiting: deque[_Seen] = deque()
        self.begin(0, ())

    def begin(self, iteration: int, files: Sequence[str]) -> None:
        """An iteration, and the files of its batch."""
        self._iteration, self._files = iteration, files
        self._losses: dict[str, Tensor] = {}
        self._networks: dict[str, Tensor] = {}

    def see(self, values: Mapping[str, Tensor]) -> None:
        """Values that should be finite, of any shape, by what to call them."""
        self._losses |= {name: ~value.detach().isfinite().all() for name, value in values.items()}

    @property
    def poison(self) -> Tensor:
        """A factor for what is to be differentiated or learned from: 1, or NaN if anything seen so far is bad."""
        bad = torch.stack(list(self._losses.values())).any()
        return torch.ones((), device=self.device).masked_fill(bad, torch.nan)

    def step(self, optimizer: torch.optim.Optimizer, network: str) -> None:
        """One step of the optimizer of ``network``, unless there is NaN or infinity in a gradient."""
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norms = torch.stack(torch._foreach_norm(gradients))
        bad = self._networks[network] = ~norms.isfinite().all()
        if optimizer.defaults["fused"]:
            # How torch's GradScaler tells them; the kernel then leaves everything as it is.
            optimizer.found_inf = bad.float()  # type: ignore[attr-defined]
            optimizer.step()
        elif not bad:
            optimizer.step()

    def end(self) -> None:
        """The iteration is over."""
        flags = torch.stack([*self._losses.values(), *self._networks.values()])
        event = None
        if flags.is_cuda:
            flags = torch.empty_like(flags, device="cpu", pin_memory=True).copy_(flags, non_blocking=True)
            event = torch.cuda.Event()
            event.record()
        seen = _Seen(self._iteration, self._files, [*self._losses], [*self._networks], flags, event)
        self._waiting.append(seen)

    def arrived(self, wait: bool = False) -> Iterator[BadBatch]:
        """Bad batches of which the device has told by now, or with ``wait`` of all iterations."""
        while self._waiting:
            iteration, files, losses, networks, flags, event = self._waiting[0]
            if event is not None:
                if wait:
                    event.synchronize()
                elif not event.query():
                    return
            self._waiting.popleft()
            flagged = flags.numpy()
            if flagged.any():
                bad = [name for name, is_bad in zip([*losses, *networks], flagged, strict=True) if is_bad]
                yield BadBatch(iteration, files, [n for n in bad if n in losses] or [f"gradients of {n}" for n in bad])
