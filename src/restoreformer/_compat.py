"""What BasicSR 1.4.2 needs to import on today's torchvision.

``basicsr.data.degradations`` imports ``rgb_to_grayscale`` from
``torchvision.transforms.functional_tensor``, a module that torchvision 0.17 removed; the function lives
on in ``torchvision.transforms.functional``. A finder at the end of ``sys.meta_path`` is asked only for
modules that nothing else finds, so where the real one exists it is used, and nothing is imported early.
"""

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType

REMOVED = "torchvision.transforms.functional_tensor"


class _FunctionalTensor(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds and fills the removed module."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(fullname, self) if fullname == REMOVED else None

    def exec_module(self, module: ModuleType) -> None:
        from torchvision.transforms import functional

        module.rgb_to_grayscale = functional.rgb_to_grayscale  # type: ignore[attr-defined]


def install() -> None:
    """Put the finder in place; twice is once."""
    if not any(isinstance(finder, _FunctionalTensor) for finder in sys.meta_path):
        sys.meta_path.append(_FunctionalTensor())
