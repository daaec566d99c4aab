"""Files of tensors: read without running what else they hold, and what a file is that cannot be read so.

Pickles are read with ``weights_only``; safetensors are none.
"""

import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO

import torch
from safetensors import safe_open

from restoreformer.errors import RestoreFormerError

AGAIN = "fetch or copy it again."
# How torch's message names what a pickle asks for.
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")


def read_tensors(path: Path) -> Mapping[Any, Any]:
    """The dict that a file of tensors holds, on the CPU, without running what else it may hold.

    Safetensors come with the ``config`` of their metadata, as text where it is no JSON. They are mapped into
    memory: what is never touched is never read.

    Raises:
        RestoreFormerError: no such file, or another kind of file.
    """
    if not path.is_file():
        raise RestoreFormerError(f"Expected a network file at {path}, found {'a folder' if path.is_dir() else 'none'}.")
    try:
        file = path.open("rb")
    except OSError as error:
        raise RestoreFormerError(f"Expected to read {path}, could not: {error.strerror}.") from error
    with file:
        head = file.read(512)
        file.seek(0)
        try:
            # Of a path torch would go by the suffix.
            content = _read_safetensors(path) if is_safetensors(path) else _read_torchs(file)
        except Exception as error:
            raise RestoreFormerError(
                f"Expected a file of tensors at {path}, got {_instead(path, head, error)}"
            ) from error
    if not isinstance(content, Mapping):
        raise RestoreFormerError(f"Expected a dict of tensors in {path}, got {type(content).__name__}.")
    return content


def is_safetensors(path: Path) -> bool:
    """Whether a file is one of safetensors, by its content."""
    with path.open("rb") as file:
        # Eight bytes say how long the JSON is that follows. No torch file has a brace there.
        return file.read(9)[8:] == b"{"


def refuse_program(file: BinaryIO) -> None:
    """Stop before torch is given a TorchScript program, which it may run whatever else it was told: before 2.6 with
    ``weights_only``, and still without it.

    torch's own reader is asked: others may see another archive in the same bytes.

    Raises:
        UnpicklingError: it is one.
    """
    if torch.serialization._is_zipfile(file):
        with torch.serialization._open_zipfile_reader(file) as archive:
            if torch.serialization._is_torchscript_zip(archive):
                raise UnpicklingError("it is a TorchScript program, which would have to be run")
    file.seek(0)


def _read_torchs(file: BinaryIO) -> Any:
    refuse_program(file)
    return torch.load(file, map_location="cpu", weights_only=True)


def _read_safetensors(path: Path) -> dict[str, Any]:
    with safe_open(path, "pt") as file:
        content: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        text = (file.metadata() or {}).get("config")
    if text is None or "config" in content:
        return content
    try:
        return content | {"config": json.loads(text)}
    except (ValueError, RecursionError):
        return content | {"config": text}


def _instead(path: Path, head: bytes, error: Exception) -> str:
    """What a file is that cannot be read, by its first bytes and by why it cannot, and what to do about it.

    torch's messages are not handed on: they tell how to run what a file holds.
    """
    if not head:
        return f"an empty one: {AGAIN}"
    if path.suffix.lower() == ".onnx":
        return (
            f"an ONNX file: inference/inference_restoreformer.py runs it by --model {path}, but it cannot be converted "
            "or trained: take the file that it was exported from."
        )
    if re.match(rb"\s*(<!doctype html|<html|<\?xml)", head, re.IGNORECASE):
        return "a web page, such as a site's error page under the file's name: fetch the file itself."
    if _is_text(head):
        return "text: fetch the file itself."
    if is_safetensors(path):
        return f"safetensors that are cut short or damaged: {AGAIN}"
    if head.startswith(b"PK"):
        return _instead_of_torchs(path, error)
    if isinstance(error, UnpicklingError) and _GLOBAL.search(str(error)):
        return _refused(error)
    return f"one that neither torch.save nor safetensors wrote, or a part of one: {AGAIN}"


def _instead_of_torchs(path: Path, error: Exception) -> str:
    """The same for a ZIP archive, as torch writes them."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip() is not None
            names = {Path(name).name for name in archive.namelist()}
    except Exception:
        # Whatever zipfile stumbles over: of a damaged archive that may be anything.
        damaged, names = True, set()
    if damaged:
        return f"one that is cut short or damaged: {AGAIN}"
    if "data.pkl" not in names:
        return "a ZIP archive of other files: unpack it, and name the network file in it."
    if "constants.pkl" in names:
        return "a TorchScript program, which would have to be run: get its tensors as safetensors where it comes from."
    if isinstance(error, UnpicklingError):
        return _refused(error)
    return f"one that could not be read ({type(error).__name__}): see that memory is free, or {AGAIN}"


def _refused(error: UnpicklingError) -> str:
    asked = _GLOBAL.search(str(error))
    return (
        f"a pickle that holds more than tensors{f' ({asked[1]})' if asked else ''}: loading that may run anything, and "
        "nothing of it was run. Get it as safetensors, or as tensors alone, where it comes from."
    )


def _is_text(head: bytes) -> bool:
    return all(byte in b"\t\n\r\f" or byte >= 32 for byte in head) and b"\x7f" not in head
