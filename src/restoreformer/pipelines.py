"""What BasicSR's ``train.py`` and ``test.py`` do otherwise with the plugin, whichever way they are started.

A script that imports the plugin and runs ``basicsr.train.train_pipeline`` runs a module that has taken its
names by then. In a linked checkout (docs/model_zoo.md) BasicSR's own ``train.py`` is the script: it imports
the plugin first, and takes and defines its names after. Either way a pipeline begins with
``parse_options``, which therefore puts the rest in place.
"""

import argparse
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import basicsr.utils.options

from restoreformer.datasets.sampling import SeededSampler
from restoreformer.distributed import init_dist
from restoreformer.errors import errors_in_one_line
from restoreformer.options import check_folders, check_options, read_options
from restoreformer.resume import load_resume_state

_stock_parse_options = basicsr.utils.options.parse_options


def parse_options(root_path: str, is_train: bool = True) -> Any:
    """In place of BasicSR's: the option file is checked before and, as ``--force_yml`` may change it, after parsing.

    Args:
        root_path: the folder that ``experiments`` and ``results`` are made in.
        is_train: which of the two they are.

    Returns:
        The options and the command line's arguments.

    Raises:
        RestoreFormerError: all that is wrong in the file.
    """
    _replace()
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("-opt")
    if (path := parser.parse_known_args()[0].opt) is not None:
        check_options({**read_options(path), "is_train": is_train})
    opt, arguments = _stock_parse_options(root_path, is_train)
    check_options(opt)
    check_folders(opt)
    if is_train:
        SeededSampler.batch_size = _batch_size(opt)
    return opt, arguments


def _batch_size(opt: dict[str, Any]) -> int:
    """Images that a process takes at once, as BasicSR's ``build_dataloader`` has it."""
    of_one = int(opt["datasets"]["train"]["batch_size_per_gpu"])
    return of_one if opt["dist"] else of_one * max(1, opt["num_gpu"])


REPLACEMENTS = {
    "parse_options": parse_options,
    "load_resume_state": load_resume_state,
    "EnlargedSampler": SeededSampler,
}


def install() -> None:
    """Replace what the pipelines will take from BasicSR, and what they have taken; twice is once."""
    basicsr.utils.options.init_dist = init_dist
    basicsr.utils.options.parse_options = parse_options
    _replace()


def _replace() -> None:
    for module in _pipelines():
        for name, ours in REPLACEMENTS.items():
            if hasattr(module, name):
                setattr(module, name, ours)
        if module.__name__ == "__main__":
            errors_in_one_line()


def _pipelines() -> list[ModuleType]:
    """BasicSR's two, as far as they are imported, and the script that runs where it is one of their files."""
    folder = Path(basicsr.utils.options.__file__).resolve().parents[1]
    modules = [sys.modules[name] for name in ("basicsr.train", "basicsr.test", "__main__") if name in sys.modules]
    files = [getattr(module, "__file__", None) for module in modules]
    return [m for m, file in zip(modules, files, strict=True) if file and Path(file).resolve().parent == folder]
