"""Option files are held against what reads them, before anything else happens.

BasicSR takes option files as they come: a misspelt key is ignored, or stops the run an hour later.
Here each block of ours is compared with the signature of the class that it configures, and all that is
wrong is told at once.
"""

import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from restoreformer.errors import RestoreFormerError
from restoreformer.option_values import Options, mistyped, value_problems

TOP = {"name", "model_type", "scale", "num_gpu", "manual_seed", "datasets", "path", "train", "val", "logger", "about"}
TOP |= {"dist_params", "find_unused_parameters"}
# Written into the options by BasicSR itself.
TOP_SET_BY_BASICSR = {"dist", "rank", "world_size", "auto_resume", "is_train", "root_path"}
PATH = {"resume_state", "ignore_resume_networks"}
PATH_SET_BY_BASICSR = {"experiments_root", "models", "training_states", "log", "visualization", "results_root"}
LOADER = {"name", "type", "batch_size_per_gpu", "num_worker_per_gpu", "dataset_enlarge_ratio", "prefetch_mode"}
LOADER |= {"num_prefetch_queue", "pin_memory", "persistent_workers"}
LOADER_SET_BY_BASICSR = {"phase", "scale"}
# BasicSR's datasets that stand in files of ours: what they must have, and what they may.
FOLDERS = {
    "SingleImageDataset": {"name", "dataroot_lq", "io_backend"},
    "PairedImageDataset": {"name", "dataroot_lq", "dataroot_gt", "io_backend"},
}
FOLDER_OPTIONS = {"meta_info_file", "mean", "std", "color", "filename_tmpl", "gt_size", "use_hflip", "use_rot"}
IO_BACKEND = {"type", "server_list_cfg", "client_cfg", "sys_path"}
IO_BACKENDS = ("disk", "lmdb", "memcached")
# What BasicSR starts several processes with.
DIST_PARAMS = {"backend", "port"}
VAL = {"val_freq", "save_img", "pbar", "suffix", "metrics", "tb_images"}
LOGGER = {"print_freq", "save_checkpoint_freq", "use_tb_logger", "wandb"}
WANDB = {"project", "resume_id"}
# Of an option file: far more than any has.
MOST_VALUES, DEEPEST = 100_000, 50
OPTIMIZERS = ("Adam",)  # all that BasicSR 1.4.2 knows


def check_options(opt: Options) -> None:
    """Hold a whole option file against BasicSR's registries.

    Files whose ``model_type`` is not this project's are left alone but for blocks of ours in them.

    Raises:
        RestoreFormerError: names every key that nothing reads, with the nearest that something does,
            every key that is missing, every type that is not registered, every configuration that its
            network refuses, and every number that YAML reads as a string.
    """
    problems = list(dict.fromkeys(_problems(opt)))
    if problems:
        raise RestoreFormerError("Expected other options:\n" + "\n".join(f"  {p}" for p in problems))


def check_folders(opt: Options) -> None:
    """See that the folders and LMDBs are there which BasicSR's own datasets read in a file of ours; ours tell it
    themselves.

    Raises:
        RestoreFormerError: names all that are not.
    """
    from basicsr.utils.registry import DATASET_REGISTRY, MODEL_REGISTRY

    if not _is_ours(_registered(MODEL_REGISTRY, {"type": opt.get("model_type")})):
        return
    missing = [
        f"  datasets: {phase}: {key}: {root}"
        for phase, block in _items(opt.get("datasets"))
        if not _is_ours(_registered(DATASET_REGISTRY, block))
        for key, root in block.items()
        if key.startswith("dataroot_") and isinstance(root, str) and not Path(root).expanduser().exists()
    ]
    if missing:
        raise RestoreFormerError(
            "Expected folders of images, found nothing at\n" + "\n".join(missing) + "\n"
            "The option file's head says where they come from; leave out the blocks of those you do not have."
        )


def _problems(opt: Options) -> Iterator[str]:
    from basicsr.utils.registry import ARCH_REGISTRY, MODEL_REGISTRY

    if no_blocks := list(_no_blocks(opt)):
        # All that follows looks into them.
        yield from no_blocks
        return
    model = _registered(MODEL_REGISTRY, {"type": opt.get("model_type")})
    if model is None:
        yield _unregistered("model_type", opt.get("model_type"), MODEL_REGISTRY.keys())
    elif _is_ours(model):
        yield from _file_of_ours(opt, model)
    for phase, block in _items(opt.get("datasets")):
        yield from _dataset(f"datasets: {phase}", block)
    for key, block in opt.items():
        if key.startswith("network_") and _is_ours(kind := _registered(ARCH_REGISTRY, block)):
            yield from _network(key, block, kind, opt)


def _no_blocks(opt: Options) -> Iterator[str]:
    """What must be a block of options, and is none."""
    for key in ("datasets", "path", "train", "val", "logger"):
        if not isinstance(opt.get(key), Mapping | None):
            yield f"{key} is {opt[key]!r}: expected a block of options"
    if opt.get("datasets", {}) is None:
        yield "datasets is empty: expected a block of options"
    if not isinstance(generator := opt.get("network_g", {}), Mapping):
        yield f"network_g is {generator!r}, where a block of options is expected"
    for phase, block in _items(opt.get("datasets")):
        if not isinstance(block, Mapping):
            yield f"datasets: {phase} is {block!r}: expected a block of options"


def _file_of_ours(opt: Options, model: Any) -> Iterator[str]:
    """The top of the file, and the blocks that a model of ours and BasicSR's pipelines read."""
    yield from _unknown("the option file", opt, {*TOP, *model.NETWORKS}, TOP_SET_BY_BASICSR)
    yield from _missing("the option file", opt, ("name", "num_gpu", "datasets", "network_g", "path"))
    yield from value_problems(opt)
    yield from _about(opt.get("about"))
    labels = [key.removeprefix("network_") for key in model.NETWORKS]
    paths = {f"{stem}{label}" for stem in ("pretrain_network_", "param_key_", "strict_load_") for label in labels}
    yield from _unknown("path", opt.get("path"), {*PATH, *paths, *model.PATH_OPTIONS}, PATH_SET_BY_BASICSR)
    yield from _registered_types(opt, model)
    if "dist_params" in opt:
        yield from _unknown("dist_params", opt["dist_params"], DIST_PARAMS)
    is_train = opt.get("is_train", "train" in opt)
    if not is_train and "train" in (opt.get("datasets") or {}):
        yield "train is missing, which datasets: train is for"
    yield from _val(opt, is_train)
    if is_train:
        yield from _training(opt, model)
    elif not (opt.get("path") or {}).get("pretrain_network_g"):
        yield "path: pretrain_network_g is missing: name the network to test, or write none for a random one"


def _about(block: Any) -> Iterator[str]:
    from restoreformer.archs.about import About

    try:
        About.read(block, "the option file")
    except RestoreFormerError as error:
        yield str(error)


def _registered_types(opt: Options, model: Any) -> Iterator[str]:
    from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY

    for key in model.NETWORKS:
        if opt.get(key) is not None:
            yield from _type_problem(key, opt[key], ARCH_REGISTRY)
    generator = _registered(ARCH_REGISTRY, opt.get("network_g"))
    if generator is not None and not issubclass(generator, model.GENERATORS):
        names = " or ".join(g.__name__ for g in model.GENERATORS)
        yield f"network_g: type is {generator.__name__}: {model.__name__} trains {names}"
    for phase, block in _items(opt.get("datasets")):
        if phase.split("_")[0] not in ("train", "val", "test"):
            yield f"datasets: {phase} is not a phase{_nearest(phase, ('train', 'val', 'test'))}"
        yield from _type_problem(f"datasets: {phase}", block, DATASET_REGISTRY)
        kind = _registered(DATASET_REGISTRY, block)
        if kind is not None and not _is_ours(kind):
            yield from _folder(f"datasets: {phase}", block)
            if kind.__name__ == "PairedImageDataset" and opt.get("scale") is None:
                yield f"scale is missing, which datasets: {phase} needs: write 1"


def _folder(where: str, block: Options) -> Iterator[str]:
    """A dataset of BasicSR's: its keys, as far as they are known here, and its range."""
    if required := FOLDERS.get(block["type"]):
        yield from _unknown(where, block, {*LOADER, *FOLDER_OPTIONS, *required}, LOADER_SET_BY_BASICSR)
        yield from _missing(where, block, sorted(required))
    if isinstance(backend := block.get("io_backend"), Mapping):
        yield from _unknown(f"{where}: io_backend", backend, IO_BACKEND)
        if backend.get("type") not in IO_BACKENDS:
            yield f"{where}: io_backend: type is {backend.get('type')}: expected {', '.join(IO_BACKENDS)}"
    # They hand out [0, 1] without a word unless they are told.
    for key in ("mean", "std"):
        if block.get(key) != [0.5, 0.5, 0.5]:
            yield f"{where}: {key} is {block.get(key)}: write [0.5, 0.5, 0.5], for images in [-1, 1]"


def _val(opt: Options, is_train: bool) -> Iterator[str]:
    val = opt.get("val")
    if val is None and is_train:
        return
    yield from _unknown("val", val, VAL)
    yield from _missing("val", val, ("val_freq", "save_img") if is_train else ("save_img",))
    if not is_train and isinstance(val, Mapping) and "suffix" not in val:
        yield "val: suffix is missing: write ~ for none"
    if isinstance(val, Mapping):
        yield from _metrics("val: metrics", val.get("metrics"))
        yield from _truths(opt.get("datasets"), val.get("metrics"))


def _truths(datasets: Any, metrics: Any) -> Iterator[str]:
    """Faces without truths, measured by what compares with them."""
    from basicsr.utils.registry import METRIC_REGISTRY

    from restoreformer.metrics.collector import needs_gt

    known = {k: b for k, b in _items(metrics) if _registered(METRIC_REGISTRY, b) is not None}
    compare = [name for name, block in known.items() if needs_gt(block)]
    for phase, block in _items(datasets):
        if compare and isinstance(block, Mapping) and block.get("type") == "SingleImageDataset":
            yield (
                f"val: metrics: {compare[0]} compares with truths, which datasets: {phase} has not: test it by a file "
                "of its own"
            )


def _metrics(where: str, blocks: Any) -> Iterator[str]:
    from basicsr.utils.registry import METRIC_REGISTRY

    if blocks is not None and not isinstance(blocks, Mapping):
        yield f"{where} is {blocks!r}, where blocks of metrics by name are expected"
    for name, block in _items(blocks):
        yield from _type_problem(f"{where}: {name}", block, METRIC_REGISTRY)
        if isinstance(block, Mapping) and block.get("better", "lower") not in ("lower", "higher"):
            yield f"{where}: {name}: better is {block['better']}: expected lower or higher"
        if (kind := _registered(METRIC_REGISTRY, block)) is not None:
            given, also = {"img", "img2"}, {"better"}
            yield from _against_signature(f"{where}: {name}", block, kind, given, also)


def check_metrics(where: str, blocks: Any) -> None:
    """Hold blocks of metrics, by name, against BasicSR's registry.

    Raises:
        RestoreFormerError: names every key that is wrong.
    """
    problems = list(_metrics(where, blocks))
    if not isinstance(blocks, Mapping) or not blocks:
        problems = [f"{where} is {blocks!r}, where blocks of metrics are expected"]
    if problems:
        raise RestoreFormerError(f"Expected other options: {'; '.join(problems)}")


def _training(opt: Options, model: Any) -> Iterator[str]:
    loader = ("name", "batch_size_per_gpu", "num_worker_per_gpu")
    yield from _missing("datasets: train", (opt.get("datasets") or {}).get("train"), loader)
    yield from _unknown("logger", opt.get("logger"), LOGGER)
    yield from _missing("logger", opt.get("logger"), ("print_freq", "save_checkpoint_freq"))
    if isinstance(wandb := (opt.get("logger") or {}).get("wandb"), Mapping):
        yield from _unknown("logger: wandb", wandb, WANDB)
    for phase in opt.get("datasets") or {}:
        if phase.split("_")[0] == "test":
            yield f"datasets: {phase} is not for training: BasicSR validates on val"
    train = opt.get("train")
    yield from _unknown("train", train, model.TRAIN_OPTIONS)
    yield from _missing("train", train, ("total_iter", "optim_g", "scheduler"))
    if isinstance(train, Mapping):
        for key, block in train.items():
            yield from _train_block(f"train: {key}", block, model.TRAIN_OPTIONS.get(key))
        yield from model.option_problems(opt)


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
            yield from _loss(where, block, loss)
    elif kind == "optimizer":
        if block.get("type") not in OPTIMIZERS:
            yield f"{where}: type {block.get('type')} is not an optimizer that BasicSR knows: {', '.join(OPTIMIZERS)}"
        yield from _missing(where, block, ("lr",))
        yield from _against_signature(where, block, torch.optim.Adam, given={"params"})
    elif kind == "renewal":
        yield from _against_signature(where, block, DictionaryRenewal, given={"embedding", "average"})
    elif kind == "scheduler":
        # BasicSR takes the first name for the second class.
        aliases = {"MultiStepLR": lr_scheduler.MultiStepRestartLR}
        scheduler = aliases.get(str(block.get("type")), getattr(lr_scheduler, str(block.get("type")), None))
        if scheduler is None:
            yield _unregistered(f"{where}: type", block.get("type"), [*aliases, "CosineAnnealingRestartLR"])
        else:
            yield from _against_signature(where, block, scheduler, given={"optimizer"})


def _loss(where: str, block: Options, kind: Any) -> Iterator[str]:
    """A loss's arguments, and whether it can be built of them; those with weights of a network are not built here."""
    problems = list(_against_signature(where, block, kind))
    if not problems and hasattr(kind, "option_problems"):
        problems = [f"{where}: {problem}" for problem in kind.option_problems(block)]
    yield from problems
    if problems or "weights" in _parameters(kind):
        return
    try:
        kind(**{k: v for k, v in block.items() if k != "type"})
    except (TypeError, ValueError, ArithmeticError, LookupError, RuntimeError) as error:
        yield f"{where}: {error}"


def _dataset(where: str, block: Any) -> Iterator[str]:
    from basicsr.utils.registry import DATASET_REGISTRY

    kind = _registered(DATASET_REGISTRY, block)
    if not _is_ours(kind):
        return
    yield from _unknown(where, block, {*LOADER, *kind.OPTIONS}, LOADER_SET_BY_BASICSR)
    yield from _missing(where, block, ("name", "dataroot_gt"))
    if block.get("prefetch_mode") not in (None, "cuda"):
        # BasicSR's other mode, cpu, hangs for good when an image cannot be read.
        yield f"{where}: prefetch_mode is {block['prefetch_mode']}: expected cuda, or ~ for none"
    if block.get("persistent_workers") and not block.get("num_worker_per_gpu"):
        yield f"{where}: persistent_workers is on, but there are no workers: num_worker_per_gpu"
    yield from mistyped(where, block, _parameters(kind.SCHEMA))
    if isinstance(block.get("degradation"), Mapping):
        size = block.get("gt_size")
        # What is wrong with gt_size is reported with the other values.
        size = size if type(size) is int and size > 0 else kind.SCHEMA.gt_size
        yield from _degradation(f"{where}: degradation", block["degradation"], size)


def _degradation(where: str, block: Options, size: int) -> Iterator[str]:
    from restoreformer.datasets.degradation import DEGRADATION_KEYS, build_degradation

    problems = list(_unknown(where, block, DEGRADATION_KEYS))
    yield from problems
    if not problems:
        try:
            build_degradation(block, size)
        except RestoreFormerError as error:
            yield f"{where}: {error}"


def check_arguments(where: str, block: Options, kind: Callable[..., Any]) -> None:
    """Hold a block of options against the signature of what it configures.

    Raises:
        RestoreFormerError: names every key that it does not take, with the nearest that it does, every one that it
            wants, and every value of another type.
    """
    if problems := list(_against_signature(where, block, kind)):
        raise RestoreFormerError(f"Expected other options: {'; '.join(problems)}")


def _network(where: str, block: Options, kind: Any, opt: Options) -> Iterator[str]:
    """A network's arguments, and whether it can be built of them and takes the images of the datasets."""
    import torch

    problems = list(_against_signature(where, block, kind))
    # Whole numbers of a network count something.
    problems += [f"{where}: {k} is {v}: expected 1 or more" for k, v in block.items() if _is_below_one(v)]
    yield from problems
    if problems:
        return
    try:
        with torch.device("meta"):
            net = kind(**{k: v for k, v in block.items() if k != "type"})
    except (TypeError, ValueError, ArithmeticError, LookupError, RuntimeError) as error:
        yield f"{where}: {error}"
        return
    multiple = getattr(net, "size_multiple", 1)
    for phase, data in _items(opt.get("datasets")):
        size = data.get("gt_size", multiple) if isinstance(data, Mapping) else multiple
        if isinstance(size, int) and (size % multiple or size < multiple):
            yield f"datasets: {phase}: gt_size is {size}: {where} takes multiples of {multiple}"


def _is_below_one(value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return any(isinstance(v, int) and not isinstance(v, bool) and v < 1 for v in values)


def _items(block: Any) -> Iterable[tuple[str, Any]]:
    return block.items() if isinstance(block, Mapping) else ()


def _registered(registry: Any, block: Any) -> Any:
    name = block.get("type") if isinstance(block, Mapping) else None
    return registry.get(name) if isinstance(name, str) and name in registry else None


def _is_ours(kind: Any) -> bool:
    return kind is not None and kind.__module__.split(".")[0] == __name__.split(".")[0]


def _type_problem(where: str, block: Any, registry: Any) -> Iterator[str]:
    if not isinstance(block, Mapping):
        yield f"{where} is {block!r}, where a block of options is expected"
    elif _registered(registry, block) is None:
        yield _unregistered(f"{where}: type", block.get("type"), registry.keys())


def _unregistered(where: str, name: Any, known: Iterable[str]) -> str:
    return f"{where}: {name} is not registered{_nearest(str(name), known)}"


def _against_signature(
    where: str, block: Options, kind: Callable[..., Any], given: Iterable[str] = (), also: Iterable[str] = ()
) -> Iterator[str]:
    """Keys that ``kind`` does not take, arguments that it wants, and values that it does not; ``given`` are passed by
    others."""
    named = {name: p for name, p in _parameters(kind).items() if name not in given}
    yield from _unknown(where, block, {"type", *named, *also})
    yield from _missing(where, block, [name for name, p in named.items() if p.default is p.empty])
    if isinstance(block, Mapping):
        yield from mistyped(where, block, named)


def _parameters(kind: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The named arguments of a function or a class; of ours, those too that **kwargs hand on to the base."""
    functions: list[Callable[..., Any]] = [kind]
    if isinstance(kind, type) and _is_ours(kind):
        functions = [vars(c)["__init__"] for c in kind.__mro__ if "__init__" in vars(c)]
    named: dict[str, inspect.Parameter] = {}
    for function in functions:
        parameters = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
        named = {p.name: p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)} | named
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return named


def _unknown(where: str, block: Any, allowed: Iterable[str], set_by_basicsr: Iterable[str] = ()) -> Iterator[str]:
    if not isinstance(block, Mapping):
        yield f"{where} is {block!r}, where a block of options is expected"
        return
    for key in block:
        if key not in {*allowed, *set_by_basicsr}:
            yield f"{where}: {key} is not an option{_nearest(str(key), allowed)}"


def _missing(where: str, block: Any, required: Iterable[str]) -> Iterator[str]:
    for key in required:
        if not isinstance(block, Mapping) or block.get(key) is None:
            yield f"{where}: {key} is missing"


def _nearest(name: str, known: Iterable[str]) -> str:
    choices = sorted(known)
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    return f": did you mean {close[0]}?" if close else f": expected one of {', '.join(choices)}"


def read_options(path: str | Path) -> dict[str, Any]:
    """An option file, read without running what YAML can be made to run.

    Raises:
        RestoreFormerError: no such file, or not a block of options.
    """
    try:
        opt = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, LookupError, AttributeError, RecursionError, yaml.YAMLError) as error:
        # PyYAML's own errors, and those of what it makes numbers and dates with.
        raise RestoreFormerError(f"Expected an option file at {path}, could not read it: {error}") from error
    if not isinstance(opt, dict):
        raise RestoreFormerError(f"Expected a block of options in {path}, got {type(opt).__name__}.")
    _refuse_sprawl(opt, path)
    return opt


def _refuse_sprawl(opt: dict[str, Any], path: str | Path) -> None:
    """Stop at values that refer to themselves, or to others often enough to fill the memory (YAML's aliases)."""
    left, found = MOST_VALUES, [(0, opt)]
    while found:
        depth, value = found.pop()
        left -= 1
        if left < 0 or depth > DEEPEST:
            raise RestoreFormerError(
                f"Expected up to {MOST_VALUES:,} options, {DEEPEST} deep, in {path}, got more: leave out what refers "
                "to itself."
            )
        within = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        found += [(depth + 1, item) for item in within]
