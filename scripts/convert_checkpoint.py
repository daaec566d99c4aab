"""Carry a network's weights from one layout of files to another, with every tensor accounted for.

python scripts/convert_checkpoint.py RestoreFormer.ckpt RestoreFormer.safetensors
python scripts/convert_checkpoint.py net_g_latest.pth RestoreFormer.pth --format gfpgan
python scripts/convert_checkpoint.py net_g_latest.pth RestoreFormer.pth --publish
python scripts/convert_checkpoint.py net_g_latest.pth small.safetensors --half
"""

import argparse
import hashlib
import io
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from restoreformer.archs.build import NETWORKS, build_from_checkpoint, build_unfilled
from restoreformer.archs.checkpoint import IGNORED, Checkpoint, differing, network_config, read_checkpoint
from restoreformer.archs.configuration import configuration
from restoreformer.archs.layouts import LAYOUTS, write_tensors
from restoreformer.archs.readers import check_layout, misread
from restoreformer.errors import RestoreFormerError
from restoreformer.nesting import RELEASED_KEY, RELEASED_PREFIX, SETS
from restoreformer.pretrained import local_file
from restoreformer.program import option_parser
from restoreformer.whole_file import whole_file

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
    fitting = [name for name, kind in LAYOUTS.items() if kind.suffix == output.suffix.lower()]
    if not fitting:
        suffixes = ", ".join(f"{kind.suffix} for {name}" for name, kind in LAYOUTS.items())
        raise RestoreFormerError(
            f"Expected an output with the suffix of its layout, got {output}: name it so ({suffixes}), or, for .onnx, "
            "use scripts/export_onnx.py."
        )
    if layout is None and (len(fitting) == 1 or publish):
        return fitting[0]
    if layout not in fitting:
        raise RestoreFormerError(f"Expected --format {' or '.join(fitting)} for {output}, got {layout or 'none'}.")
    return layout


def check_output(output: Path, source: Path) -> None:
    """See that an output can be written beside its input.

    Raises:
        RestoreFormerError: it is a folder, or the input.
    """
    if output.is_dir():
        raise RestoreFormerError(f"Expected a file to write, got the folder {output}: name a file in it.")
    if output.exists() and source.exists() and output.samefile(source):
        raise RestoreFormerError(f"Expected an output beside the input, got {output} for both: name another file.")


def read_sets(path: Path, layout: str, param_key: str | None, leave_out: Sequence[str]) -> dict[str, Checkpoint]:
    """The sets of tensors of a file that ``layout`` has room for, by their keys there.

    Raises:
        RestoreFormerError: not a network file, without ``param_key``, or with a set that is to be left out.
    """
    with_config = "config" not in leave_out
    first = read_checkpoint(path, param_key or SETS[-1], with_config)
    if param_key not in (None, first.key):
        there = ", ".join(first.keys) or "tensors by themselves"
        raise RestoreFormerError(
            f"Expected {param_key} in {first.path}, got {there}: give another --param-key, or none."
        )
    keys = LAYOUTS[layout].sets
    found = {first.key if first.key in keys else keys[0]: first}
    for key in keys:
        if param_key is None and key in first.left_out and key not in found:
            found[key] = read_checkpoint(path, key, with_config)
    for key in filter(None, (checkpoint.key for checkpoint in found.values())):
        if key.startswith(tuple(leave_out)):
            raise RestoreFormerError(
                f"Expected names of single tensors after --leave-out, got the beginning of {key}, under which all of a "
                "network stand: name the set to take with --param-key."
            )
    return {key: found[key] for key in keys if key in found}


def without(checkpoint: Checkpoint, beginnings: Sequence[str], own: Collection[str]) -> Checkpoint:
    """The same with the tensors left out whose names begin so.

    Raises:
        RestoreFormerError: they are the network's ``own``.
    """
    left = [name for name in checkpoint.tensors if name.startswith(tuple(beginnings))]
    if needed := [name for name in left if name in own]:
        raise RestoreFormerError(
            f"Expected --leave-out of what is no part of the network, but {needed[0]} is, and begins so: write more of "
            "the name."
        )
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


def halved(checkpoint: Checkpoint) -> Checkpoint:
    """The same in half precision (float16), which is read into float32 networks again.

    Raises:
        RestoreFormerError: a tensor has values that half precision does not reach.
    """
    tensors = {name: v.half() if v.is_floating_point() else v for name, v in checkpoint.tensors.items()}
    for name, v in tensors.items():
        if (v.isinf() & checkpoint.tensors[name].isfinite()).any():
            raise RestoreFormerError(
                f"Expected values within half precision's 65504, but {name} has larger ones: leave out --half."
            )
    return checkpoint._replace(tensors=tensors)


def check_written(path: Path, sets: Mapping[str, Checkpoint], config: Mapping[str, Any]) -> None:
    """Read a file again, build its network, and hold all of it against what was to be written.

    Raises:
        RestoreFormerError: something differs.
    """
    for key, expected in sets.items():
        found = read_checkpoint(path, key)
        names = found.tensors.keys() | expected.tensors.keys()
        differ = sorted(n for n in names if not same(found.tensors.get(n), expected.tensors.get(n)))
        again = network_config(build_from_checkpoint(found, tuple(NETWORKS)))
        if differ := [*differ, *differing(again, config)]:
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
    if "" in args.leave_out:
        raise RestoreFormerError(
            "Expected the beginning of a name after --leave-out, got nothing, which all begin with."
        )
    source = local_file(args.input)
    if not args.publish:
        check_output(args.output, source)
    sets = read_sets(source, layout, args.param_key, args.leave_out)
    first = next(iter(sets.values()))
    chosen = configuration(first, args.config)
    net = build_unfilled(chosen.config, tuple(NETWORKS), chosen.source or str(first.path))
    sets = {key: without(c, args.leave_out, net.state_dict().keys()) for key, c in sets.items()}
    for c in sets.values():
        print(f"read {c.path}: {c.layout}, {len(c.tensors)} tensors" + (f" under {c.key}" if c.key else ""))
    names = left_out(sets, args.leave_out)
    for c in sets.values():
        build_from_checkpoint(c, tuple(NETWORKS), chosen.config, chosen.source)
    if args.half:
        sets = {key: halved(c) for key, c in sets.items()}
    config = network_config(net)
    print(f"configuration, {chosen.how}: {', '.join(f'{key}: {value}' for key, value in config.items())}")
    wrong = misread(next(iter(sets.values())), config)
    check_layout(layout, wrong, config)
    content = io.BytesIO()
    write_tensors(content, layout, {key: c.tensors for key, c in sets.items()}, config)
    digest = hashlib.sha256(content.getbuffer()).hexdigest()
    output = args.output.with_stem(f"{args.output.stem}-{digest[:8]}") if args.publish else args.output
    check_output(output, source)
    with whole_file(output) as part:
        part.write_bytes(content.getbuffer())
        check_written(part, sets, config)
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
        "--leave-out",
        action="append",
        default=[],
        metavar="BEGINNING",
        help="of names that are no part of the network, or config",
    )
    parser.add_argument("--half", action="store_true", help="half precision, in half the size")
    parser.add_argument("--publish", action="store_true", help="put 8 digits of the file's SHA-256 into its name")
    try:
        convert(parser.parse_args())
    except RestoreFormerError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
