"""Where in a file's dicts a network's tensors stand, and what they are called by themselves."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

# BasicSR's names of a network's tensors and of their moving average.
SETS = ("params", "params_ema")
# Where the released Lightning module keeps the network.
RELEASED_KEY, RELEASED_PREFIX = "state_dict", "vqvae."
# A pickle's dict may hold itself.
DEPTH = 3
# What several GPUs and torch.compile put before names.
_WRAPPERS = re.compile(r"^((module|_orig_mod)\.)+")


class TensorSet(NamedTuple):
    """Tensors of a file.

    Attributes:
        entries: what stands there: tensors by their names, and what else there may be.
        key: what they stand under, or None where they stand by themselves.
        keys: of all dicts of the file that one might have meant, but for ``config``.
        config: what stands under ``config``, beside them or above.
        others: the names of what else is in the file.
    """

    entries: Mapping[Any, Any]
    key: str | None
    keys: tuple[str, ...]
    config: Any
    others: tuple[str, ...]


def find_set(content: Mapping[Any, Any], param_key: str | None) -> TensorSet:
    """The tensors under ``param_key``, ``params_ema``, ``params``, ``state_dict``, the first that there is; or under
    the only dict; or by themselves. Dicts in dicts are looked through in the same way."""
    wanted = (param_key, *reversed(SETS), RELEASED_KEY)
    key, config = None, None
    keys: list[str] = []
    others: list[str] = []
    for _ in range(DEPTH):
        content = _in_dicts(content)
        config = next((v for k, v in content.items() if _is_config(k, v)), config)
        dicts = [k for k, v in content.items() if isinstance(v, Mapping) and k != "config"]
        lone = len(dicts) == 1 and not any(isinstance(v, Tensor) for v in content.values())
        found = next((k for k in wanted if k in dicts), dicts[0] if lone else None)
        keys += map(str, dicts)
        if found is None:
            break
        others += [str(k) for k, v in content.items() if k != found and not _is_config(k, v)]
        key, content = str(found), content[found]
    entries = {k: v for k, v in content.items() if not _is_config(k, v)}
    return TensorSet(entries, key, tuple(keys), config, tuple(others))


def _is_config(name: Any, value: Any) -> bool:
    return name == "config" and not isinstance(value, Tensor)


def _in_dicts(content: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Safetensors have no dicts: there the key of a set may stand before each of its names."""
    names = [k for k, v in content.items() if isinstance(v, Tensor)]
    begins = tuple(f"{key}." for key in (*SETS, RELEASED_KEY) if key not in content)
    if not names or not all(str(name).startswith(begins) for name in names):
        return content
    dicts: dict[Any, Any] = {k: v for k, v in content.items() if k not in names}
    for name in names:
        key, _, rest = name.partition(".")
        dicts.setdefault(key, {})[rest] = content[name]
    return dicts


def bare_names(names: Iterable[Any]) -> tuple[dict[Any, str | None], bool]:
    """What each is without the prefixes of several GPUs, of torch.compile and of the released Lightning module; None
    for what that module keeps beside the network. And whether there is that module's."""
    unwrapped = {name: _unwrapped(str(name)) for name in names}
    if not any(name.startswith(RELEASED_PREFIX) for name in unwrapped.values()):
        return dict(unwrapped), False
    return {
        k: _unwrapped(name.removeprefix(RELEASED_PREFIX)) if name.startswith(RELEASED_PREFIX) else None
        for k, name in unwrapped.items()
    }, True


def _unwrapped(name: str) -> str:
    return _WRAPPERS.sub("", name)
