"""Reading and writing network files: which layouts are understood, and what does not fit is said.

Written files hold ``params`` (and ``params_ema``), as BasicSR's do, and beside them ``config``: the
network's registered name and arguments. What cannot be told from tensor shapes (the number of heads,
the kind of network) is thereby known on loading.
"""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from restoreformer.errors import RestoreFormerError
from restoreformer.pretrained import local_file

# A count kept by the released quantizer while training; no part of the network.
IGNORED = {"quantize.utility_counter"}


class Checkpoint(NamedTuple):
    """A network file as read.

    Attributes:
        path: where it was read.
        tensors: bare tensor names to tensors, on the CPU.
        config: ``{"type": name, **arguments}``, or None for files that others wrote.
    """

    path: Path
    tensors: dict[str, Tensor]
    config: dict[str, Any] | None


def read_checkpoint(path: str | Path, param_key: str | None = "params_ema") -> Checkpoint:
    """Read BasicSR's and GFPGAN's ``.pth``, the released Lightning ``.ckpt``, or bare tensors.

    Always with ``weights_only``. ``param_key`` is preferred where the file has several sets; else
    ``params_ema``, ``params`` and ``state_dict`` are looked for in this order. The prefixes
    ``module.`` and ``vqvae.`` are taken off; where ``vqvae.`` occurs, only what carries it is kept
    (a training checkpoint holds losses and discriminators too).

    Raises:
        RestoreFormerError: no such file, or not a file of tensors.
    """
    path = local_file(path)
    content = read_tensors(path)
    key = next((k for k in (param_key, "params_ema", "params", "state_dict") if k in content), None)
    tensors = content if key is None else content[key]
    config = content.get("config")
    if not isinstance(tensors, Mapping) or not (config is None or isinstance(config, Mapping)):
        raise RestoreFormerError(f"Expected dicts under {key} and config in {path}, got {type(tensors).__name__}.")
    tensors = {str(k).removeprefix("module."): v for k, v in tensors.items() if isinstance(v, Tensor)}
    if any(k.startswith("vqvae.") for k in tensors):
        tensors = {k.removeprefix("vqvae."): v for k, v in tensors.items() if k.startswith("vqvae.")}
    tensors = {k: v for k, v in tensors.items() if k not in IGNORED}
    if not tensors:
        raise RestoreFormerError(f"Expected tensors in {path}, found none under {sorted(map(str, content))[:8]}.")
    return Checkpoint(path, tensors, None if config is None else dict(config))


def read_tensors(path: Path) -> Mapping[Any, Any]:
    """The dict that a file of tensors holds, on the CPU, without running what else it may hold.

    Raises:
        RestoreFormerError: no such file, or another kind of file.
    """
    if not path.is_file():
        raise RestoreFormerError(f"Expected a network file at {path}, found none.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise RestoreFormerError(f"Expected a file of tensors at {path}, could not read it: {reason}") from error
    if not isinstance(content, Mapping):
        raise RestoreFormerError(f"Expected a dict of tensors in {path}, got {type(content).__name__}.")
    return content


def load_weights(
    net: nn.Module,
    checkpoint: Checkpoint,
    accept: tuple[str, ...] = (),
    new: tuple[str, ...] = (),
    take: bool = False,
) -> list[str]:
    """Load every tensor by name and shape; nothing is filled in or left out.

    Args:
        net: the network to fill.
        checkpoint: what to fill it with.
        accept: network names that may stand in for ``net``'s own (stage 2 starts from stage 1). Only
            files that store their configuration can be told apart.
        new: beginnings of tensor names that a stand-in may lack.
        take: make the checkpoint's tensors the network's own instead of copying them.

    Returns:
        The tensors that a stand-in did not have, and that stay as they were.

    Raises:
        RestoreFormerError: another kind of network, another configuration, or tensors that do not fit.
    """
    name = type(net).__name__
    if checkpoint.config is not None:
        _check_config(net, checkpoint, (name, *accept))
    stand_in = (checkpoint.config or {}).get("type") in accept
    own = net.state_dict()
    missing = [k for k in own if k not in checkpoint.tensors]
    left = [k for k in missing if stand_in and k.startswith(new)]
    problems = [f"{k} is missing" for k in missing if k not in left]
    problems += [f"{k} is not part of {name}" for k in checkpoint.tensors if k not in own]
    problems += [
        f"{k} has shape {tuple(v.shape)} instead of {tuple(own[k].shape)}"
        for k, v in checkpoint.tensors.items()
        if k in own and v.shape != own[k].shape
    ]
    if problems:
        rest = f", and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise RestoreFormerError(
            f"Expected the weights of this {name} in {checkpoint.path}, but {'; '.join(problems[:3])}{rest}: it "
            "belongs to another network or configuration."
        )
    tensors = {k: v.to(own[k].dtype) for k, v in checkpoint.tensors.items()}
    net.load_state_dict(tensors, strict=not left, assign=take)
    return left


def _check_config(net: nn.Module, checkpoint: Checkpoint, accepted: tuple[str, ...]) -> None:
    stored = dict(checkpoint.config or {})
    kind = stored.pop("type", None)
    if kind not in accepted:
        raise RestoreFormerError(f"Expected {' or '.join(accepted)} in {checkpoint.path}, got {kind}.")
    own = network_config(net)
    for key in own.keys() & stored.keys() - {"type"}:
        if own[key] != stored[key]:
            raise RestoreFormerError(
                f"Expected {key}: {own[key]} in {checkpoint.path}, but it was trained with {key}: {stored[key]}."
            )


def network_config(net: nn.Module) -> dict[str, Any]:
    """``{"type": name, **arguments}``: what rebuilds ``net``; arguments only where the class keeps them."""
    return {"type": type(net).__name__, **getattr(net, "config", {})}


def save_checkpoint(path: str | Path, net: nn.Module, ema: nn.Module | None = None) -> None:
    """Write ``net`` (as ``params``) and its moving average (as ``params_ema``) with the configuration.

    The file appears under its name only when it is whole.
    """
    path = Path(path)
    content: dict[str, Any] = {"params": _on_cpu(net), "config": network_config(net)}
    if ema is not None:
        content["params_ema"] = _on_cpu(ema)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save(content, file)
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def _on_cpu(net: nn.Module) -> dict[str, Tensor]:
    # Not in the order of memory that the network was trained in.
    return {k: v.detach().cpu().contiguous() for k, v in net.state_dict().items()}
