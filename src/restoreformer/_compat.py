"""What BasicSR 1.4.2 needs to import on today's torchvision. Imported before any ``basicsr``."""

import importlib.util
import sys
from types import ModuleType


def alias_functional_tensor() -> None:
    """Give BasicSR the module that torchvision 0.17 removed.

    ``basicsr.data.degradations`` imports ``rgb_to_grayscale`` from
    ``torchvision.transforms.functional_tensor``; the function lives on in
    ``torchvision.transforms.functional``. Where the real module exists nothing is done.
    """
    name = "torchvision.transforms.functional_tensor"
    if name in sys.modules or importlib.util.find_spec(name) is not None:
        return
    from torchvision.transforms import functional

    alias = ModuleType(name)
    alias.rgb_to_grayscale = functional.rgb_to_grayscale  # type: ignore[attr-defined]
    sys.modules[name] = alias


alias_functional_tensor()
