"""What those who read a layout without the configuration take its files for."""

from collections.abc import Mapping
from typing import Any

from restoreformer.archs.build import infer_config
from restoreformer.archs.checkpoint import Checkpoint, differing
from restoreformer.archs.layouts import LAYOUTS
from restoreformer.errors import RestoreFormerError


def misread(checkpoint: Checkpoint, config: Mapping[str, Any]) -> str:
    """What a reader who sees no configuration would take for something else, in words; empty if nothing."""
    told = {"type": "RestoreFormer"} if config["type"] != "RestoreFormer" else infer_config(checkpoint)
    return ", ".join(f"{key}: {told[key]} instead of {config[key]}" for key in differing(told, config))


def check_layout(layout: str, wrong: str, config: Mapping[str, Any]) -> None:
    """Stop before a file is written that its readers would take for another network.

    Args:
        layout: a key of :data:`~restoreformer.archs.layouts.LAYOUTS`.
        wrong: see :func:`misread`.
        config: ``{"type": name, **arguments}``.

    Raises:
        RestoreFormerError: they would.
    """
    if not LAYOUTS[layout].keeps_config and wrong:
        raise RestoreFormerError(
            f"Expected a layout that keeps the configuration, got {layout}, whose readers would take {wrong}: use "
            "restoreformer or safetensors."
        )
    if layout == "gfpgan" and config["extra_attn_resolutions"]:
        raise RestoreFormerError(
            "Expected a RestoreFormer for the layout gfpgan, got RestoreFormer++, which neither GFPGAN nor spandrel "
            "can build: use released, restoreformer or safetensors."
        )
