"""What a network is built by: what its file stores, or else its tensors tell, and YAML over that."""

from pathlib import Path
from typing import Any, NamedTuple

from restoreformer.archs.build import NETWORKS, infer_config
from restoreformer.archs.checkpoint import Checkpoint
from restoreformer.errors import RestoreFormerError
from restoreformer.options import check_arguments, read_options


class Chosen(NamedTuple):
    """What to build a network by.

    Attributes:
        config: ``{"type": name, **arguments}``.
        how: how that is known, in words.
        source: the YAML that it comes from, or None where all of it comes from the network's file.
    """

    config: dict[str, Any]
    how: str
    source: str | None


def configuration(checkpoint: Checkpoint, path: Path | None) -> Chosen:
    """What to build the network by.

    Args:
        checkpoint: the file as read.
        path: YAML of arguments that replace what is known, or, if it has a ``type`` or is an option file,
            of all of them.

    Raises:
        RestoreFormerError: not such a file, or another network.
    """
    options = {} if path is None else read_options(path)
    given = options.get("network_g", options)
    if isinstance(given, dict) and "type" in given:
        known, how = {}, f"by {path}"
    elif checkpoint.config is not None:
        known, how = checkpoint.config, "stored in the file"
    else:
        known, how = infer_config(checkpoint), "told from the tensors"
    if not isinstance(given, dict):
        raise RestoreFormerError(f"Expected a network's arguments in {path}, got {given!r}.")
    config = {**known, **given}
    # Option files hold it at the top level, next to network_g.
    if about := {**((checkpoint.config or {}).get("about") or {}), **(options.get("about") or {})}:
        config["about"] = about
    if not isinstance(config["type"], str) or config["type"] not in NETWORKS:
        foreign = ": if another program wrote it, give --leave-out config" if known is checkpoint.config else ""
        raise RestoreFormerError(
            f"Expected {', '.join(NETWORKS)} as type in {path if 'type' in given else checkpoint.path}, got "
            f"{config['type']!r}{foreign}."
        )
    if not given:
        return Chosen(config, how, None)
    check_arguments(str(path), {k: v for k, v in given.items() if k != "about"}, NETWORKS[config["type"]])
    if not known:
        return Chosen(config, how, str(path))
    return Chosen(config, f"{how} and by {path}", f"{path} and {checkpoint.path}" if checkpoint.config else str(path))
