"""Values of an option file that cannot be what they are, whoever reads them."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from inspect import Parameter
from typing import Any

Options = Mapping[str, Any]

# Values that are text even where they look like numbers.
TEXT = {"name", "type", "model_type", "suffix", "weights", "component_path", "dataroot_gt", "resume_state"}
TEXT |= {"project", "resume_id"}
# The least value of every count of things, and of every count of iterations, which may be a whole float too:
# BasicSR's files write !!float 5e3.
LEAST = dict.fromkeys(("batch_size_per_gpu", "gt_size", "num_images", "dataset_enlarge_ratio"), 1)
LEAST |= dict.fromkeys(("skip_images", "num_worker_per_gpu", "validation_seed", "tb_images"), 0)
ITERATIONS = {"total_iter", "print_freq", "save_checkpoint_freq", "val_freq", "gan_start_iter", "identity_start_iter"}
FLAGS = {"adaptive_gan_weight", "checkpointing", "compile", "use_hflip"}
# Where ~ is no way to say "the default".
NEVER_EMPTY = {"gan_start_iter", "identity_start_iter", "ema_decay", "warmup_iter", "eye_roi_size", "mouth_roi_size"}


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# Of annotations: what to call them, and whether a value is such.
KINDS: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    int: ("a whole number", _is_integer),
    str: ("text", lambda value: isinstance(value, str)),
    Sequence[int]: ("a list of whole numbers", lambda v: isinstance(v, (list, tuple)) and all(map(_is_integer, v))),
}


def value_problems(opt: Options) -> Iterator[str]:
    """One line for each value that is wrong by itself, with where it stands and what is expected."""
    if not isinstance(opt.get("name", ""), str):
        yield f"name is {opt['name']!r}: expected text, in quotes if it looks like a number"
    devices = opt.get("num_gpu", "auto")
    if devices != "auto" and not _is_whole(devices, 0):
        yield f"num_gpu is {devices!r}: expected auto or a whole number of 0 or more"
    yield from _text_numbers("", opt)
    yield from _single_values("", opt)


def _single_values(where: str, block: Options) -> Iterator[str]:
    for key, value in block.items():
        if isinstance(value, Mapping):
            yield from _single_values(f"{where}{key}: ", value)
        elif value is None:
            if key in NEVER_EMPTY:
                yield f"{where}{key} is empty: expected a number, or leave it out"
        elif key in ITERATIONS and not _is_whole(value, 1, or_float=True):
            yield f"{where}{key} is {value!r}: expected a whole number of 1 or more"
        elif key in FLAGS and not isinstance(value, bool):
            yield f"{where}{key} is {value!r}: expected true or false"
        elif key == "ema_decay" and not (isinstance(value, (int, float)) and 0 <= value < 1):
            yield f"{where}{key} is {value!r}: expected a number of 0 or more and below 1"
        elif key in LEAST and not _is_whole(value, LEAST[key]):
            yield f"{where}{key} is {value!r}: expected a whole number of {LEAST[key]} or more"
        elif key == "milestones" and not (isinstance(value, list) and all(_is_whole(v, 0, True) for v in value)):
            yield f"{where}{key} is {value!r}: expected a list of iterations"


def _is_whole(value: Any, least: int, or_float: bool = False) -> bool:
    kinds = (int, float) if or_float else int
    return isinstance(value, kinds) and not isinstance(value, bool) and float(value).is_integer() and value >= least


def mistyped(where: str, block: Options, parameters: Mapping[str, Parameter]) -> Iterator[str]:
    """One line for each value that is not what the parameter of its name is annotated with."""
    for name, value in block.items():
        kind = parameters[name].annotation if name in parameters else None
        if kind in KINDS and not KINDS[kind][1](value):
            yield f"{where}: {name} is {value!r}: expected {KINDS[kind][0]}"


def _text_numbers(where: str, value: Any) -> Iterator[str]:
    """Strings that are numbers: YAML 1.1 reads 1e9 and 7e-5 as text."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key not in TEXT and not str(key).startswith(("pretrain_", "param_key_")):
                yield from _text_numbers(f"{where}: {key}" if where else str(key), item)
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
