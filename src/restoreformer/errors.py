"""The one kind of error that a user can mend: a file, an option or an input is not as it must be."""

import sys
from types import TracebackType


class RestoreFormerError(ValueError):
    """What was expected, what came instead, and what to do about it, in one message.

    The command-line programs print its message and exit with status 1; anything else that is raised
    is a fault of the program and keeps its traceback.
    """


def first_line(error: Exception) -> str:
    """What an exception of another library says, shortened to stand in a message."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def error_line(error: RestoreFormerError) -> str:
    """The message without what torch's data loader wraps around it.

    A worker process cannot hand over an exception itself: the loader raises the same type anew with
    the worker's traceback as its message, whose last entry is the original one.
    """
    text = str(error)
    if "Original Traceback" not in text:
        return text
    marker = f"{type(error).__module__}.{type(error).__name__}: "
    return text.rsplit(marker, 1)[-1].strip()


def errors_in_one_line() -> None:
    """For programs: from here on a :class:`RestoreFormerError` ends them in one line on stderr and status 1."""
    sys.excepthook = _tell


def _tell(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if isinstance(error, RestoreFormerError):
        sys.stderr.write(f"error: {error_line(error)}\n")
    else:
        sys.__excepthook__(kind, error, traceback)
