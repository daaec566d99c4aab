"""Option files are held against what reads them, before anything else happens.

BasicSR takes option files as they come: a misspelt key is ignored, or stops the run an hour later.
Here each block of ours is compared with the signature of the class that it configures, and all that is
wrong is told at once.
"""

import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

from restoreformer.errors import RestoreFormerError

TOP = {"name", "model_type", "scale", "num_gpu", "manual_seed", "datasets", "path", "train", "val", "logger"}
TOP |= {"dist_params", "find_unused_parameters"}
# Written into the options by BasicSR itself.
TOP_SET_BY_BASICSR = {"dist", "rank", "world_size", "auto_resume", "is_train", "root_path"}
PATH = {"resume_state", "ignore_resume_networks"}
PATH_SET_BY_BASICSR = {"experiments_root", "models", "training_states", "log", "visualization", "results_root"}
LOADER = {"name", "type", "batch_size_per_gpu", "num_worker_per_gpu", "dataset_enlarge_ratio", "prefetch_mode"}
LOADER |= {"num_prefetch_queue", "pin_memory", "persistent_workers"}
LOADER_SET_BY_BASICSR = {"phase", "scale"}
VAL = {"val_freq", "save_img", "pbar", "suffix", "metrics"}
LOGGER = {"print_freq", "save_checkpoint_freq", "use_tb_logger", "wandb"}
Options = Mapping[str, Any]


def check_options(opt: Options) -> None:
    """Hold a whole option file against BasicSR's registries.

    Blocks of classes that are not this project's are left alone.

    Raises:
        RestoreFormerError: names every key that nothing reads, with the nearest that something does,
            every type that is not registered, and every number that YAML reads as a string.
    """
    problems = list(_problems(opt))
    if problems:
        raise RestoreFormerError("Expected other options:\n" + "\n".join(f"  {p}" for p in problems))


def _problems(opt: Options) -> Iterator[str]:
    from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, MODEL_REGISTRY

    for phase, block in (opt.get("datasets") or {}).items():
        kind = _registered(DATASET_REGISTRY, block)
        if _is_ours(kind):
            where = f"datasets: {phase}"
            yield from _unknown(where, block, {*LOADER, *kind.OPTIONS}, LOADER_SET_BY_BASICSR)
            yield from _missing(where, block, ("dataroot_gt",))
            for key, allowed in kind.NESTED_OPTIONS.items():
                yield from _unknown(f"{where}: {key}", block.get(key) or {}, allowed)
            yield from _text_numbers(where, block)
    for key, block in opt.items():
        if key.startswith("network_") and isinstance(block, Mapping):
            kind = _registered(ARCH_REGISTRY, block)
            if _is_ours(kind):
                yield from _against_signature(key, block, kind)
                yield from _text_numbers(key, block)
    model = _registered(MODEL_REGISTRY, {"type": opt.get("model_type")})
    if model is not None and _is_ours(model):
        yield from _model_problems(opt, model)
    elif model is None:
        yield _unregistered("model_type", opt.get("model_type"), MODEL_REGISTRY.keys())


def _model_problems(opt: Options, model: Any) -> Iterator[str]:
    """The blocks that a model of ours reads, and the top of the file."""
    from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, METRIC_REGISTRY

    yield from _unknown("the option file", opt, {*TOP, *model.NETWORKS}, TOP_SET_BY_BASICSR)
    labels = [key.removeprefix("network_") for key in model.NETWORKS]
    paths = {f"{stem}{label}" for stem in ("pretrain_network_", "param_key_", "strict_load_") for label in labels}
    yield from _unknown("path", opt.get("path") or {}, PATH | paths, PATH_SET_BY_BASICSR)
    yield from _unknown("val", opt.get("val") or {}, VAL)
    yield from _unknown("logger", opt.get("logger") or {}, LOGGER)
    for key in model.NETWORKS:
        yield from _type_problem(key, opt.get(key), ARCH_REGISTRY)
    for phase, block in (opt.get("datasets") or {}).items():
        yield from _type_problem(f"datasets: {phase}", block, DATASET_REGISTRY)
    for name, block in ((opt.get("val") or {}).get("metrics") or {}).items():
        where = f"val: metrics: {name}"
        yield from _type_problem(where, block, METRIC_REGISTRY)
        kind = _registered(METRIC_REGISTRY, block)
        if kind is not None:
            yield from _against_signature(where, block, kind, also={"better"})
    train = opt.get("train") or {}
    yield from _unknown("train", train, model.TRAIN_OPTIONS)
    for key, block in train.items():
        yield from _train_block(f"train: {key}", block, model.TRAIN_OPTIONS.get(key))
    yield from _text_numbers("train", train)


def _train_block(where: str, block: Any, kind: str | None) -> Iterator[str]:
    import torch
    from basicsr.models import lr_scheduler
    from basicsr.utils.registry import LOSS_REGISTRY

    from restoreformer.models.dictionary_renewal import DictionaryRenewal

    if kind in (None, "value") or block is None:
        return
    if not isinstance(block, Mapping):
        yield f"{where} is {block!r}, where a block of options is expected"
    elif kind == "loss":
        yield from _type_problem(where, block, LOSS_REGISTRY)
        if (loss := _registered(LOSS_REGISTRY, block)) is not None:
            yield from _against_signature(where, block, loss)
    elif kind == "optimizer":
        yield from _against_signature(where, block, torch.optim.Adam)
    elif kind == "renewal":
        yield from _against_signature(where, block, DictionaryRenewal)
    elif kind == "scheduler":
        # BasicSR takes the first name for the second class.
        aliases = {"MultiStepLR": lr_scheduler.MultiStepRestartLR}
        scheduler = aliases.get(str(block.get("type")), getattr(lr_scheduler, str(block.get("type")), None))
        if scheduler is None:
            yield _unregistered(f"{where}: type", block.get("type"), [*aliases, "CosineAnnealingRestartLR"])
        else:
            yield from _against_signature(where, block, scheduler)


def _registered(registry: Any, block: Any) -> Any:
    name = block.get("type") if isinstance(block, Mapping) else None
    return registry.get(name) if name in registry else None


def _is_ours(kind: Any) -> bool:
    return kind is not None and kind.__module__.split(".")[0] == __name__.split(".")[0]


def _type_problem(where: str, block: Any, registry: Any) -> Iterator[str]:
    if isinstance(block, Mapping) and block.get("type") not in registry:
        yield _unregistered(f"{where}: type", block.get("type"), registry.keys())


def _unregistered(where: str, name: Any, known: Iterable[str]) -> str:
    return f"{where}: {name} is not registered{_nearest(str(name), known)}"


def _against_signature(where: str, block: Options, kind: Callable[..., Any], also: Iterable[str] = ()) -> Iterator[str]:
    parameters = inspect.signature(kind).parameters.values()
    # Metrics take what is compared beside their options, and end in **kwargs that swallow anything.
    named = {p.name for p in parameters if p.kind is not p.VAR_KEYWORD} - {
        "params",
        "optimizer",
        "embedding",
        "img",
        "img2",
    }
    yield from _unknown(where, block, {"type", *named, *also})


def _unknown(where: str, block: Options, allowed: Iterable[str], set_by_basicsr: Iterable[str] = ()) -> Iterator[str]:
    for key in block:
        if key not in {*allowed, *set_by_basicsr}:
            yield f"{where}: {key} is not an option{_nearest(key, allowed)}"


def _missing(where: str, block: Options, required: Iterable[str]) -> Iterator[str]:
    for key in required:
        if block.get(key) is None:
            yield f"{where}: {key} is missing"


def _nearest(name: str, known: Iterable[str]) -> str:
    choices = sorted(known)
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    return f": did you mean {close[0]}?" if close else f": expected one of {', '.join(choices)}"


def _text_numbers(where: str, value: Any) -> Iterator[str]:
    """Strings that are numbers: YAML 1.1 reads 1e9 and 7e-5 as text."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _text_numbers(f"{where}: {key}", item)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _text_numbers(f"{where}: {i}", item)
    elif isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return
        yield f"{where} is the text '{value}', not a number: write it with a point and a sign, as {number:.1e}"


def install_check(*modules: ModuleType) -> None:
    """Make ``parse_options`` of each module, ``basicsr.utils.options`` or one that took it from there,
    check what it has parsed. Twice is once."""
    for module in modules:
        parse = module.parse_options
        if getattr(parse, "checks_options", False):
            continue
        module.parse_options = _checked(parse)  # type: ignore[attr-defined]


def _checked(parse: Callable[..., Any]) -> Callable[..., Any]:
    def parse_options(*args: Any, **kwargs: Any) -> Any:
        opt, arguments = parse(*args, **kwargs)
        check_options(opt)
        return opt, arguments

    parse_options.checks_options = True  # type: ignore[attr-defined]
    return parse_options
