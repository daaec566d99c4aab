"""Files of ``torch.save`` that hold numbers and arrays of numpy, read without running what else they may hold."""

import pickle
from pathlib import Path
from typing import Any

import torch

from restoreformer.errors import RestoreFormerError, first_line


class _NumbersOnly:
    """A pickle module for ``torch.load`` that makes numbers and arrays of numpy, and nothing else.

    ``weights_only`` refuses them; how to allow them, and under which of numpy's module names, changes with the
    versions of both.
    """

    class Unpickler(pickle.Unpickler):
        ALLOWED = frozenset(
            {
                ("numpy", "dtype"),
                ("numpy", "ndarray"),
                ("numpy.core.multiarray", "scalar"),
                ("numpy.core.multiarray", "_reconstruct"),
                ("_codecs", "encode"),
            }
        )

        def find_class(self, module: str, name: str) -> Any:
            if (module.replace("numpy._core", "numpy.core"), name) not in self.ALLOWED:
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
        return torch.load(path, map_location="cpu", weights_only=False, pickle_module=_NumbersOnly)
    except Exception as error:
        raise RestoreFormerError(f"Expected {what} in {path}, could not read it: {first_line(error)}") from error
