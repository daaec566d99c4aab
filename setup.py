"""Which folder becomes which import package; everything else is in pyproject.toml."""

from setuptools import setup

# The folders stand at the top, one for each of BasicSR's registries, and are imported as one package.
FOLDERS = {
    "restoreformer": "src/restoreformer",
    "restoreformer.frozen": "src/restoreformer/frozen",
    "restoreformer.archs": "restoreformer_arch",
    "restoreformer.datasets": "datasets",
    "restoreformer.losses": "losses",
    "restoreformer.models": "models",
    "restoreformer.metrics": "metrics",
    "restoreformer.inference": "inference",
}

setup(
    packages=list(FOLDERS),
    package_dir=FOLDERS,
    package_data={"restoreformer": ["py.typed", "weights/*.safetensors", "weights/LICENSE.md"]},
)
