"""Networks in ONNX files that ``scripts/export_onnx.py`` wrote, run by onnxruntime."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from restoreformer import __version__
from restoreformer.archs.about import About
from restoreformer.archs.autoencoder import VQAutoencoder
from restoreformer.archs.checkpoint import network_config
from restoreformer.errors import RestoreFormerError, first_line
from restoreformer.extras import import_extra

INPUT, OUTPUT = "lq", "restored"
PRECISIONS = ("fp32", "fp16")


def onnx_metadata(net: VQAutoencoder, precision: str) -> dict[str, str]:
    """What a file says of its network, and :class:`OnnxNetwork` reads."""
    return {
        "restoreformer.config": json.dumps(network_config(net)),
        "restoreformer.resolution": str(net.resolution),
        "restoreformer.precision": precision,
        "restoreformer.version": __version__,
    }


class OnnxNetwork:
    """A restoring network, called as those of torch are. Threads may share one.

    Args:
        path: the file.
        device: where it computes: on an NVIDIA GPU for ``cuda``, which takes the package onnxruntime-gpu, and else
            on the CPU, with as many threads as torch uses.

    Attributes:
        resolution: the side of its images.
        about: where the weights come from.
        config: the registered name and the arguments of the network that was exported.
        precision: what half of it computes in, see :func:`~restoreformer.archs.precision.set_precision`.
        version: of this project, at the export.

    Raises:
        RestoreFormerError: no onnxruntime, none for that device, no file, or not one of ``scripts/export_onnx.py``.
    """

    def __init__(self, path: str | Path, device: torch.device) -> None:
        self._session = _session(Path(path), device)
        told = _metadata(self._session, path)
        self.config: dict[str, Any] = told["config"]
        self.about = About.read(self.config.get("about"), str(path))
        self.resolution: int = told["resolution"]
        self.precision: str = told["precision"]
        self.version: str = told["version"]
        sides = [3, self.resolution, self.resolution]
        tensors = (*self._session.get_inputs(), *self._session.get_outputs())
        free = all(not isinstance(t.shape[0], int) and t.shape[1:] == sides for t in tensors)
        if not free or [(t.name, t.type) for t in tensors] != [(INPUT, "tensor(float)"), (OUTPUT, "tensor(float)")]:
            raise RestoreFormerError(
                f"Expected {INPUT} and {OUTPUT} of {['n', *sides]} and float in {path}, got "
                f"{', '.join(f'{t.name} of {t.shape} and {t.type}' for t in tensors)}: export it again."
            )

    def __call__(self, x: Tensor) -> Tensor:
        """Restore.

        Args:
            x: RGB images, ``(n, 3, resolution, resolution)``, float32, [-1, 1]; n may be 0.

        Returns:
            Images of the same shape, about [-1, 1], on the device of ``x``.

        Raises:
            RestoreFormerError: images of another form.
        """
        expected = (3, self.resolution, self.resolution)
        if x.ndim != 4 or x.shape[1:] != expected or x.dtype != torch.float32:
            raise RestoreFormerError(
                f"Expected images of {('n', *expected)} and float32, got {tuple(x.shape)} and {x.dtype}: resize them."
            )
        if not len(x):
            # As networks of torch do; the file's own reshapes cannot.
            return torch.empty_like(x)
        (restored,) = self._session.run([OUTPUT], {INPUT: x.detach().cpu().contiguous().numpy()})
        # An array of onnxruntime's keeps all the memory that its session has.
        return torch.from_numpy(restored).to(x.device, copy=True)


def _config(text: str) -> dict[str, Any]:
    config = json.loads(text)
    if not isinstance(config, dict) or not isinstance(config.get("type"), str):
        raise ValueError
    return config


def _precision(text: str) -> str:
    if text not in PRECISIONS:
        raise ValueError
    return text


# What reads each value of the metadata, and what is expected of it.
_METADATA: dict[str, tuple[Callable[[str], Any], str]] = {
    "config": (_config, "a network's type and arguments in JSON"),
    "resolution": (int, "a whole number"),
    "precision": (_precision, " or ".join(PRECISIONS)),
    "version": (str, "text"),
}


def _metadata(session: Any, path: str | Path) -> dict[str, Any]:
    """What a file says of its network, by the names of :class:`OnnxNetwork`'s attributes."""
    told = session.get_modelmeta().custom_metadata_map
    values = {}
    for name, (read, expected) in _METADATA.items():
        key = f"restoreformer.{name}"
        if key not in told:
            raise RestoreFormerError(
                f"Expected a file of scripts/export_onnx.py at {path}, got one without {key} in its metadata."
            )
        try:
            values[name] = read(told[key])
        except ValueError as error:
            raise RestoreFormerError(
                f"Expected {expected} as {key} in the metadata of {path}, got {told[key]!r}: export it again."
            ) from error
    return values


def _session(path: Path, device: torch.device) -> Any:
    onnxruntime = import_extra("onnxruntime", "onnx")
    if not path.is_file():
        raise RestoreFormerError(f"Expected an ONNX file at {path}, found none.")
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.type == "cuda":
        providers = [("CUDAExecutionProvider", {"device_id": device.index or 0})]
        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise _no_cuda(device)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:
        raise RestoreFormerError(f"Expected an ONNX file at {path}, could not read it: {first_line(error)}") from error
    # Where CUDA's libraries do not load, onnxruntime goes on with the CPU.
    if device.type == "cuda" and "CUDAExecutionProvider" not in session.get_providers():
        raise _no_cuda(device)
    return session


def _no_cuda(device: torch.device) -> RestoreFormerError:
    return RestoreFormerError(
        f"Expected onnxruntime with CUDA for device {device}, got one without: install onnxruntime-gpu in place of "
        "onnxruntime, or take --device cpu."
    )
