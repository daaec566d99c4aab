"""Running BasicSR's stock pipelines with the plugin."""

import os
import sys
from collections.abc import Callable

from restoreformer.errors import RestoreFormerError, error_line


def run(pipeline: Callable[[str], None], root: str | os.PathLike[str]) -> None:
    """Run ``train_pipeline`` or ``test_pipeline``; what a user can mend ends in one line and status 1.

    Args:
        pipeline: BasicSR's function.
        root: the folder that ``experiments`` and ``results`` are made in.
    """
    try:
        pipeline(os.fspath(root))
    except RestoreFormerError as error:
        sys.exit(f"error: {error_line(error)}")
