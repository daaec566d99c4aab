"""Files of ``torch.save`` that hold numbers and arrays of numpy, read without running what else they may hold."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from restoreformer.errors import RestoreFormerError, first_line
from restoreformer.tensor_files import refuse_program

# Kinds of numpy's types that are numbers. The rest may hold addresses, which a pickle could choose.
NUMBERS = "biufc"


def _dtype(name: str, *_: Any) -> np.dtype[Any]:
    """numpy's type of that name, if it is one of :data:`NUMBERS`."""
    made = np.dtype(name)
    if made.kind not in NUMBERS:
        raise pickle.UnpicklingError(f"it holds arrays of {name}, which is no number.")
    return made


class _Array:
    """In place of numpy's, which could be made upon any memory; an argument of :func:`_empty_array` alone."""


def _empty_array(*_: Any) -> NDArray[Any]:
    """What a pickle then gives its type, shape and content."""
    return np.empty(0, np.int8)


ALLOWED = frozenset({("numpy.core.multiarray", "scalar"), ("_codecs", "encode")})
MADE_HERE: dict[tuple[str, str], Any] = {
    ("numpy", "dtype"): _dtype,
    ("numpy", "ndarray"): _Array,
    ("numpy.core.multiarray", "_reconstruct"): _empty_array,
}


class _NumbersOnly:
    """A pickle module for ``torch.load`` that makes numbers and arrays of numpy, and nothing else.

    ``weights_only`` refuses them; how to allow them, and under which of numpy's module names, changes with the
    versions of both.
    """

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            asked = (module.replace("numpy._core", "numpy.core"), name)
            if asked in MADE_HERE:
                return MADE_HERE[asked]
            if asked not in ALLOWED:
                raise pickle.UnpicklingError(f"it holds a {module}.{name}, which is no number.")
            return super().find_class(module, name)

    @staticmethod
    def load(file: Any, **kwargs: Any) -> Any:
        return _NumbersOnly.Unpickler(file, **kwargs).load()


def load_numbers(path: Path, what: str) -> Any:
    """What a file holds; ``what`` says what is expected there, for messages.

    Raises:
        RestoreFormerError: it cannot be read, or holds something else.
    """
    try:
        with path.open("rb") as file:
            refuse_program(file)
            return torch.load(file, map_location="cpu", weights_only=False, pickle_module=_NumbersOnly)
    except Exception as error:
        raise RestoreFormerError(f"Expected {what} in {path}, could not read it: {first_line(error)}") from error
