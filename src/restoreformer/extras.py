"""Packages that come with an extra of this project, imported where something is asked of them."""

import importlib
from types import ModuleType

from restoreformer.errors import RestoreFormerError, first_line

# What each extra is for.
PURPOSES = {
    "app": "the page in the browser",
    "background": "a background upsampler",
    "onnx": "ONNX files",
}


def import_extra(module: str, extra: str) -> ModuleType:
    """A module of a package that the extra, a key of :data:`PURPOSES`, brings.

    Raises:
        RestoreFormerError: it is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise RestoreFormerError(
            f"Expected the package {package} for {PURPOSES[extra]}, could not import it ({first_line(error)}): "
            f'pip install "restoreformer-basicsr[{extra}]".'
        ) from error
