"""Files that appear under their names when they are whole."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from restoreformer.errors import RestoreFormerError


@contextmanager
def whole_file(path: Path, durable: bool = False) -> Iterator[Path]:
    """A file beside ``path`` to write to, which in the end takes its name, or is gone where an exception ends it.

    Args:
        path: its name in the end. What has it already is there, whole, until the new file is.
        durable: wait until the disk has it, so that it outlives a power cut too.

    Raises:
        RestoreFormerError: it cannot be written there.
    """
    make_folder(path.parent)
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        if durable:
            _sync(part)
        part.replace(path)
        if durable:
            _sync(path.parent)
    except (OSError, RuntimeError) as error:
        # torch's own are RuntimeErrors.
        reason = getattr(error, "strerror", None) or error
        raise RestoreFormerError(f"Expected to write {path}, could not: {reason}.") from error
    finally:
        part.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Have the disk write what was written to a file, or a folder's names."""
    if os.name == "nt" and path.is_dir():
        # Windows does not open folders.
        return
    number = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are not.

    Raises:
        RestoreFormerError: it cannot be made there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RestoreFormerError(f"Expected to write into {folder}, could not: {error.strerror}.") from error
