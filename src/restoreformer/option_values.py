"""Values of an option file that cannot be what they are, whoever reads them."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from inspect import Parameter
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin

Options = Mapping[str, Any]


class Kind(NamedTuple):
    """What is expected, in words, and whether a value is such."""

    words: str
    holds: Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def number(low: float, high: float) -> Kind:
    """A number within bounds, both among them."""
    return Kind(f"a number from {low:g} to {high:g}", lambda v: _is_number(v) and low <= v <= high)


def whole(low: int, high: int = 10**9, or_float: bool = False) -> Kind:
    """A whole number; ``or_float``: a whole float too, as BasicSR's files write ``!!float 5e3``."""
    kinds = (int, float) if or_float else (int,)
    return Kind(
        f"a whole number of {low} or more",
        lambda v: _is_number(v) and isinstance(v, kinds) and low <= v <= high and float(v).is_integer(),
    )


def several(kind: Kind, what: str) -> Kind:
    """A list of such values, called ``what``."""
    return Kind(f"a list of {what}", lambda v: _is_list(v) and all(map(kind.holds, v)))


TEXT = Kind("text", lambda v: isinstance(v, str) and bool(v))
FLAG = Kind("true or false", lambda v: isinstance(v, bool))
BLOCK = Kind("a block of options", lambda v: isinstance(v, Mapping))
ITERATIONS = whole(1, 10**12, or_float=True)
WEIGHT = number(0, 1e12)


def _are_weights(value: Any) -> bool:
    values = value.values() if isinstance(value, Mapping) else value if _is_list(value) else [None]
    return all(map(WEIGHT.holds, values))


def _is_betas(value: Any) -> bool:
    return _is_list(value) and len(value) == 2 and all(_is_number(v) and 0 <= v < 1 for v in value)


# By the names of keys, which mean the same wherever they stand.
VALUES: dict[str, Kind] = {
    **dict.fromkeys(
        ("datasets", "path", "train", "val", "logger", "metrics", "dist_params", "wandb", "io_backend"), BLOCK
    ),
    **dict.fromkeys(("model_type", "type", "gan_type", "reduction", "suffix", "resume_state", "project"), TEXT),
    **dict.fromkeys(("resume_id", "input_order", "prefetch_mode", "amp", "backend"), TEXT),
    **dict.fromkeys(("adaptive_gan_weight", "checkpointing", "compile", "use_hflip", "save_img", "pbar"), FLAG),
    **dict.fromkeys(("use_tb_logger", "test_y_channel", "pin_memory", "persistent_workers"), FLAG),
    **dict.fromkeys(("find_unused_parameters", "fused", "foreach", "amsgrad"), FLAG),
    **dict.fromkeys(("total_iter", "print_freq", "save_checkpoint_freq", "val_freq"), ITERATIONS),
    **dict.fromkeys(("gan_start_iter", "identity_start_iter"), ITERATIONS),
    **dict.fromkeys(
        ("batch_size_per_gpu", "gt_size", "num_images", "dataset_enlarge_ratio", "batch_size", "scale"), whole(1)
    ),
    **dict.fromkeys(("num_prefetch_queue", "eye_roi_size", "mouth_roi_size", "size"), whole(1)),
    **dict.fromkeys(("skip_images", "num_worker_per_gpu", "validation_seed", "tb_images", "crop_border"), whole(0)),
    **dict.fromkeys(("interval", "until", "skip_bad_batches"), whole(0)),
    **dict.fromkeys(("manual_seed", "seed"), whole(0, 2**62)),
    **dict.fromkeys(("loss_weight", "style_weight", "attention_lr_factor"), WEIGHT),
    "name": Kind("text, in quotes if it looks like a number", TEXT.holds),
    "layer_weights": Kind("weights of 0 or more", _are_weights),
    "warmup_iter": whole(-1, 10**12, or_float=True),
    "ema_decay": Kind("a number of 0 or more and below 1", lambda v: _is_number(v) and 0 <= v < 1),
    "lr": number(0, 10),
    "port": number(1, 65535),
    "eye_enlarge_ratio": number(0.1, 10),
    "weight_decay": number(0, 1),
    "eps": number(0, 1),
    "betas": Kind("two numbers of 0 or more and below 1", _is_betas),
    "gamma": number(0, 1),
    "milestones": several(whole(0, 10**12, or_float=True), "iterations"),
    "periods": several(ITERATIONS, "iterations"),
    "restarts": several(whole(0, 10**12, or_float=True), "iterations"),
    "restart_weights": several(WEIGHT, "numbers"),
    "eta_min": number(0, 10),
    "ignore_resume_networks": several(TEXT, "names"),
}
# The same for what begins so.
BEGINNINGS = {
    **dict.fromkeys(("dataroot_", "pretrain_", "param_key_"), TEXT),
    "strict_load_": FLAG,
    "network_": BLOCK,
}
# Text that may look like a number.
NAMES = {"name", "suffix", "weights", "component_path", "resume_state", "project", "resume_id", "reference"}
# Where ~ is no way to say "the default", though nothing else sees to it.
NEVER_EMPTY = {"gan_start_iter", "identity_start_iter", "ema_decay", "warmup_iter", "eye_roi_size", "mouth_roi_size"}
NEVER_EMPTY |= {"skip_bad_batches", "lr", "betas", "gamma", "milestones"}


def value_problems(opt: Options) -> Iterator[str]:
    """One line for each value that is wrong by itself, with where it stands and what is expected."""
    devices = opt.get("num_gpu", "auto")
    if devices != "auto" and not whole(0).holds(devices):
        yield f"num_gpu is {devices!r}: expected auto or a whole number of 0 or more"
    yield from _text_numbers("", opt)
    yield from _single_values("", opt)


def _single_values(where: str, block: Options) -> Iterator[str]:
    for key, value in block.items():
        name = str(key)
        # The name of a metric is anyone's choice.
        kind = None if where == "val: metrics: " else VALUES.get(name) or _by_beginning(name)
        if value is None:
            if name in NEVER_EMPTY:
                yield f"{where}{name} is empty: expected {kind.words if kind else 'a value'}, or leave it out"
        elif kind is not None and not kind.holds(value):
            yield f"{where}{name} is {value!r}: expected {kind.words}"
        elif isinstance(value, Mapping):
            yield from _single_values(f"{where}{name}: ", value)


def _by_beginning(name: str) -> Kind | None:
    return next((kind for beginning, kind in BEGINNINGS.items() if name.startswith(beginning)), None)


def mistyped(where: str, block: Options, parameters: Mapping[str, Parameter]) -> Iterator[str]:
    """One line for each value that is not what the parameter of its name is annotated with, or where it is not
    annotated, of another kind than its default."""
    for name, value in block.items():
        parameter = parameters.get(name)
        kind = None if parameter is None else kind_of(_annotation(parameter))
        if kind is not None and not kind.holds(value):
            yield f"{where}: {name} is {value!r}: expected {kind.words}"


def _annotation(parameter: Parameter) -> Any:
    if parameter.annotation is not Parameter.empty:
        return parameter.annotation
    # A default of 0 may stand for a number; None says nothing.
    kinds: dict[type, Any] = {bool: bool, int: float, float: float, str: str}
    return kinds.get(type(parameter.default))


@cache
def kind_of(annotation: Any) -> Kind | None:
    """What an annotation allows; None where it may be anything."""
    simple = {
        bool: FLAG,
        int: Kind("a whole number", lambda v: _is_number(v) and isinstance(v, int)),
        float: Kind("a number", _is_number),
        str: TEXT,
        Path: TEXT,
        NoneType: Kind("~", lambda v: v is None),
    }
    if annotation in simple:
        return simple[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        kinds = [kind_of(a) for a in arguments]
        known = [k for k in kinds if k is not None]
        if len(known) < len(kinds):
            return None
        words = " or ".join(dict.fromkeys(k.words for k in known))
        return Kind(words, lambda v: any(k.holds(v) for k in known))
    if origin is Sequence and (item := kind_of(arguments[0])) is not None:
        return several(item, {int: "whole numbers", float: "numbers"}.get(arguments[0], "such values"))
    if origin is Mapping and (item := kind_of(arguments[1])) is not None:
        words = f"a block whose values are each {item.words}"
        return Kind(words, lambda v: isinstance(v, Mapping) and all(map(item.holds, v.values())))
    return BLOCK if origin is Mapping else None


def _text_numbers(where: str, value: Any) -> Iterator[str]:
    """Strings that are numbers: YAML 1.1 reads 1e9 and 7e-5 as text."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            name = str(key)
            if name not in NAMES and VALUES.get(name) is not TEXT and _by_beginning(name) is not TEXT:
                yield from _text_numbers(f"{where}: {name}" if where else name, item)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _text_numbers(f"{where}: {i}", item)
    elif isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return
        if math.isfinite(number):
            written = f"{number:.0f}" if number.is_integer() else f"{number:.1e}"
            yield f"{where} is the text '{value}', not a number: YAML wants it as {written}"
