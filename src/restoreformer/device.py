"""Where networks compute."""

import torch

from restoreformer.errors import RestoreFormerError


def choose_device(name: str | None = None) -> torch.device:
    """The device of that name, or the best that this machine has: cuda, mps, cpu.

    Raises:
        RestoreFormerError: the machine does not have it.
    """
    if name is not None:
        try:
            torch.empty(0, device=name).cpu()
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            reason = str(error).splitlines()[0]
            raise RestoreFormerError(f"Expected a device that this machine has, got {name}: {reason}") from error
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
