"""Files that appear under their names when they are whole."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from restoreformer.errors import RestoreFormerError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file beside ``path`` to write to, which in the end takes its name, or is gone where an exception ends it.

    Raises:
        RestoreFormerError: it cannot be written there.
    """
    make_folder(path.parent)
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        part.replace(path)
    except (OSError, RuntimeError) as error:
        # torch's own are RuntimeErrors.
        reason = getattr(error, "strerror", None) or error
        raise RestoreFormerError(f"Expected to write {path}, could not: {reason}.") from error
    finally:
        part.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are not.

    Raises:
        RestoreFormerError: it cannot be made there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RestoreFormerError(f"Expected to write into {folder}, could not: {error.strerror}.") from error
