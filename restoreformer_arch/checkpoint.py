"""Reading and writing network files: which layouts are understood, and what does not fit is said.

Written files hold ``params`` (and ``params_ema``), as BasicSR's do, and beside them ``config``: the
network's registered name and arguments. What cannot be told from tensor shapes (the number of heads,
the kind of network) is thereby known on loading.
"""

import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from restoreformer.archs.autoencoder import VQAutoencoder
from restoreformer.archs.layouts import write_tensors
from restoreformer.errors import RestoreFormerError
from restoreformer.nesting import SETS, bare_names, find_set
from restoreformer.pretrained import local_file
from restoreformer.tensor_files import is_safetensors, read_tensors
from restoreformer.whole_file import whole_file

# A count kept by the released quantizer while training; no part of the network.
IGNORED = {"quantize.utility_counter"}
# Arguments that are lists whose order means nothing.
UNORDERED = {"attn_resolutions", "extra_attn_resolutions"}


class Checkpoint(NamedTuple):
    """A network file as read.

    Attributes:
        path: where it was read.
        tensors: bare tensor names to tensors, on the CPU.
        config: ``{"type": name, **arguments}``, or None for files that others wrote.
        layout: a key of :data:`~restoreformer.archs.layouts.LAYOUTS`, or ``bare``.
        key: what the tensors stood under, or None where they stood by themselves.
        left_out: what else is in the file, by its name there.
        keys: of the dicts that the tensors could have stood under.
    """

    path: Path
    tensors: dict[str, Tensor]
    config: dict[str, Any] | None
    layout: str = "bare"
    key: str | None = None
    left_out: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


def read_checkpoint(path: str | Path, param_key: str | None = "params_ema", with_config: bool = True) -> Checkpoint:
    """Read BasicSR's and GFPGAN's ``.pth``, the released Lightning ``.ckpt``, safetensors, or bare tensors.

    Always with ``weights_only``. ``param_key`` is preferred where the file has several sets; else
    ``params_ema``, ``params`` and ``state_dict`` are looked for in this order, and then the only dict, also
    within each other. The prefixes ``module.``, ``_orig_mod.`` and ``vqvae.`` are taken off; where ``vqvae.``
    occurs, only what carries it is kept (a training checkpoint holds losses and discriminators too).

    Args:
        path: the file, or a pretrained name.
        param_key: what the tensors stand under.
        with_config: without, what the file has under ``config`` is left out.

    Raises:
        RestoreFormerError: no such file, not a file of tensors, two tensors of one name in it, or another
            program's ``config``.
    """
    path = local_file(path)
    content = read_tensors(path)
    found = find_set(content, param_key)
    config = _own_config(found.config, path) if with_config else None
    names, released = bare_names(found.entries)
    tensors: dict[str, Tensor] = {}
    left_out = [*found.others, *(["config"] if found.config is not None and not with_config else [])]
    for k, value in found.entries.items():
        name = names[k]
        if not isinstance(value, Tensor) or name is None or name in IGNORED:
            left_out.append(str(k))
        elif name in tensors:
            raise RestoreFormerError(f"Expected one {name} in {path}, but {k} is another: take out one of them.")
        else:
            tensors[name] = value
    if not tensors:
        held = ", ".join(f"{k} ({type(v).__name__})" for k, v in list(content.items())[:8]) or "nothing"
        remedy = ": take one of its dicts with scripts/convert_checkpoint.py --param-key" if found.keys else ""
        raise RestoreFormerError(f"Expected tensors in {path}, found none among {held}{remedy}.")
    fits = {
        "safetensors": is_safetensors(path),
        "released": released,
        "restoreformer": config is not None,
        "gfpgan": found.key in SETS,
        "bare": True,
    }
    layout = next(name for name, fit in fits.items() if fit)
    return Checkpoint(path, tensors, config, layout, found.key, tuple(left_out), found.keys)


def _own_config(config: Any, path: Path) -> dict[str, Any] | None:
    if config is None:
        return None
    if isinstance(config, Mapping) and isinstance(config.get("type"), str):
        return dict(config)
    where = f"config in the metadata of {path}" if is_safetensors(path) else f"config in {path}"
    raise RestoreFormerError(
        f"Expected a network's type and arguments under {where}, got {reprlib.repr(config)}: if another program wrote "
        "it, scripts/convert_checkpoint.py --leave-out config writes a file without it."
    )


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
    stored.pop("about", None)
    if kind not in accepted:
        raise RestoreFormerError(f"Expected {' or '.join(accepted)} in {checkpoint.path}, got {kind}.")
    own = network_config(net)
    for key in differing(own, stored):
        raise RestoreFormerError(
            f"Expected {key}: {own[key]} in {checkpoint.path}, but it was trained with {key}: {stored[key]}."
        )


def differing(config: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What two configurations both tell, and differently."""
    return [k for k in config if k in other and _meant(k, config[k]) != _meant(k, other[k])]


def _meant(key: str, value: Any) -> Any:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return sorted(value, key=str) if key in UNORDERED else list(value)
    return value


def network_config(net: nn.Module) -> dict[str, Any]:
    """``{"type": name, **arguments}``: what rebuilds ``net``, and ``about`` where that is known; arguments only where
    the class keeps them."""
    config = {"type": type(net).__name__, **getattr(net, "config", {})}
    about = net.about.stored() if isinstance(net, VQAutoencoder) else {}
    return {**config, "about": about} if about else config


def save_checkpoint(path: str | Path, net: nn.Module, ema: nn.Module | None = None) -> None:
    """Write ``net`` (as ``params``) and its moving average (as ``params_ema``) with the configuration.

    The file appears under its name only when it is whole and on the disk.
    """
    path = Path(path)
    sets = {key: _on_cpu(n) for key, n in zip(SETS, (net, ema), strict=True) if n is not None}
    with whole_file(path, durable=True) as part, part.open("wb") as file:
        write_tensors(file, "restoreformer", sets, network_config(net))


def _on_cpu(net: nn.Module) -> dict[str, Tensor]:
    return {k: v.detach().cpu() for k, v in net.state_dict().items()}
