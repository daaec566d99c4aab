"""Carry a network's weights from one layout of files to another, with every tensor accounted for.

python scripts/convert_checkpoint.py RestoreFormer.ckpt RestoreFormer.safetensors
python scripts/convert_checkpoint.py net_g_latest.pth RestoreFormer.pth --format gfpgan
python scripts/convert_checkpoint.py net_g_latest.pth RestoreFormer.pth --publish
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from restoreformer.archs.build import NETWORKS, build_from_checkpoint, infer_config
from restoreformer.archs.checkpoint import IGNORED, Checkpoint, network_config, read_checkpoint
from restoreformer.archs.layouts import LAYOUTS, RELEASED_KEY, RELEASED_PREFIX, SETS, unfinished, write_tensors
from restoreformer.errors import RestoreFormerError
from restoreformer.options import check_arguments, read_options
from restoreformer.pretrained import sha256
from restoreformer.program import option_parser

# What is known to be no part of the network: other sets, what Lightning keeps beside them, a count, and the
# losses and discriminators of the released training.
KNOWN = {*SETS, RELEASED_KEY, "epoch", "global_step", "pytorch-lightning_version", "callbacks", "optimizer_states"}
KNOWN |= {"lr_schedulers", "hparams_name", "hyper_parameters", *IGNORED, *(RELEASED_PREFIX + name for name in IGNORED)}
KNOWN_BEGINNINGS = ("loss.",)


def choose_layout(output: Path, layout: str | None, publish: bool) -> str:
    """The layout asked for, or the one that the suffix of ``output`` tells.

    Raises:
        RestoreFormerError: the suffix tells none, or more than one, or belongs to another.
    """
    fitting = [name for name, kind in LAYOUTS.items() if kind.suffix == output.suffix]
    if not fitting:
        suffixes = ", ".join(dict.fromkeys(kind.suffix for kind in LAYOUTS.values()))
        raise RestoreFormerError(f"Expected an output that ends in one of {suffixes}, got {output}.")
    if layout is None and (len(fitting) == 1 or publish):
        return fitting[0]
    if layout not in fitting:
        raise RestoreFormerError(f"Expected --format {' or '.join(fitting)} for {output}, got {layout or 'none'}.")
    return layout


def read_sets(path: Path, layout: str, param_key: str | None, leave_out: Sequence[str]) -> dict[str, Checkpoint]:
    """The sets of tensors of a file that ``layout`` has room for, by their keys there.

    Raises:
        RestoreFormerError: not a network file, or without ``param_key``.
    """
    first = read_checkpoint(path, param_key or SETS[-1])
    if param_key not in (None, first.key):
        raise RestoreFormerError(f"Expected {param_key} in {first.path}, got {first.key or 'tensors by themselves'}.")
    keys = LAYOUTS[layout].sets
    found = {first.key if first.key in keys else keys[0]: first}
    for key in keys:
        if param_key is None and key in first.left_out and key not in found:
            found[key] = read_checkpoint(path, key)
    return {key: without(found[key], leave_out) for key in keys if key in found}


def without(checkpoint: Checkpoint, beginnings: Sequence[str]) -> Checkpoint:
    """The same with the tensors left out whose names begin so."""
    left = [name for name in checkpoint.tensors if name.startswith(tuple(beginnings))]
    tensors = {name: v for name, v in checkpoint.tensors.items() if name not in left}
    return checkpoint._replace(tensors=tensors, left_out=(*checkpoint.left_out, *left))


def left_out(sets: Mapping[str, Checkpoint], leave_out: Sequence[str]) -> list[str]:
    """What of the file is not carried over, by name.

    Raises:
        RestoreFormerError: something that is not known to be no part of the network.
    """
    carried = {checkpoint.key for checkpoint in sets.values()}
    names = dict.fromkeys(name for checkpoint in sets.values() for name in checkpoint.left_out if name not in carried)
    known = (*KNOWN_BEGINNINGS, *leave_out)
    if unknown := [name for name in names if name not in KNOWN and not name.startswith(known)]:
        rest = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        raise RestoreFormerError(
            f"Expected to know all that is in the file, but not {', '.join(unknown[:3])}{rest}: if it is no part of "
            "the network, give the beginning of its name with --leave-out."
        )
    return list(names)


def configuration(checkpoint: Checkpoint, path: Path | None) -> tuple[dict[str, Any], str]:
    """What to build the network by, and how that is known.

    Args:
        checkpoint: the file as read.
        path: YAML of arguments that replace what is known, or, if it has a ``type`` or is an option file,
            of all of them.

    Raises:
        RestoreFormerError: not such a file.
    """
    given = {} if path is None else read_options(path)
    given = given.get("network_g", given)
    if isinstance(given, dict) and "type" in given:
        known, how = {}, f"by {path}"
    elif checkpoint.config is not None:
        known, how = checkpoint.config, "stored in the file"
    else:
        known, how = infer_config(checkpoint), "told from the tensors"
    if not isinstance(given, dict) or {**known, **given}.get("type") not in NETWORKS:
        raise RestoreFormerError(f"Expected arguments of one of {', '.join(NETWORKS)} in {path}, got {given}.")
    config = {**known, **given}
    check_arguments("--config", given, NETWORKS[config["type"]])
    return config, how if not known or not given else f"{how} and by {path}"


def misread(checkpoint: Checkpoint, config: Mapping[str, Any]) -> str:
    """What a reader who sees no configuration would take for something else, in words; empty if nothing."""
    told = {"type": "RestoreFormer"} if config["type"] != "RestoreFormer" else infer_config(checkpoint)
    return ", ".join(f"{key}: {told[key]} instead of {config[key]}" for key in told if told[key] != config[key])


def check_layout(layout: str, wrong: str, config: Mapping[str, Any]) -> None:
    """Stop before a file is written that its readers would take for another network.

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


def check_written(path: Path, sets: Mapping[str, Checkpoint], config: Mapping[str, Any]) -> None:
    """Read a file again, build its network, and hold all of it against what was to be written.

    Raises:
        RestoreFormerError: something differs.
    """
    for key, expected in sets.items():
        found = read_checkpoint(path, key)
        names = found.tensors.keys() | expected.tensors.keys()
        differ = sorted(n for n in names if not same(found.tensors.get(n), expected.tensors.get(n)))
        if network_config(build_from_checkpoint(found, tuple(NETWORKS))) != config:
            differ.append("its configuration")
        if differ:
            raise RestoreFormerError(f"Expected to read what was written, but {differ[0]} came back changed.")


def same(a: Tensor | None, b: Tensor | None) -> bool:
    """Whether two tensors have the same bits."""
    if a is None or b is None or (a.shape, a.dtype) != (b.shape, b.dtype):
        return False
    return torch.equal(*(t.contiguous().flatten().view(torch.uint8) for t in (a, b)))


def convert(args: argparse.Namespace) -> None:
    """Convert as the arguments of :func:`main` say.

    Raises:
        RestoreFormerError: they do not fit together or the file.
    """
    layout = choose_layout(args.output, args.format, args.publish)
    sets = read_sets(args.input, layout, args.param_key, args.leave_out)
    first = next(iter(sets.values()))
    for c in sets.values():
        print(f"read {c.path}: {c.layout}, {len(c.tensors)} tensors" + (f" under {c.key}" if c.key else ""))
    names = left_out(sets, args.leave_out)
    chosen, how = configuration(first, args.config)
    for c in sets.values():
        config = network_config(build_from_checkpoint(c, tuple(NETWORKS), chosen))
    print(f"configuration, {how}: {', '.join(f'{key}: {value}' for key, value in config.items())}")
    wrong = misread(first, config)
    check_layout(layout, wrong, config)
    with unfinished(args.output) as part:
        write_tensors(part, layout, {key: c.tensors for key, c in sets.items()}, config)
        check_written(part, sets, config)
        digest = sha256(part)
        output = args.output.with_stem(f"{args.output.stem}-{digest[:8]}") if args.publish else args.output
        if output.exists() and output.samefile(first.path):
            raise RestoreFormerError(f"Expected an output beside the input, got {output} for both: name another file.")
        part.replace(output)
    for name in names:
        print(f"left out: {name}")
    count = sum(len(c.tensors) for c in sets.values())
    print(f"wrote {output}: {layout}, {count} tensors, read again and the same; SHA-256 {digest}")
    if wrong:
        print(f"note: a program that does not read the configuration would take {wrong}")


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("input", type=Path, help="a network file of any layout, or a pretrained name")
    parser.add_argument("output", type=Path, help="the file to write; never the input")
    parser.add_argument("--format", choices=LAYOUTS, help="its layout (default: by its suffix)")
    parser.add_argument("--config", type=Path, help="YAML of the network's arguments, or an option file")
    parser.add_argument("--param-key", help="take this set of tensors alone, such as params_ema")
    parser.add_argument(
        "--leave-out", action="append", default=[], metavar="BEGINNING", help="of names that are no part of the network"
    )
    parser.add_argument("--publish", action="store_true", help="put 8 digits of the file's SHA-256 into its name")
    try:
        convert(parser.parse_args())
    except RestoreFormerError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
