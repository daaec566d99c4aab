"""The files of others that this project can use: one table, and one way to find or fetch them.

A file is looked for in the folder given, then in ``$RESTOREFORMER_WEIGHTS``, then in
``experiments/pretrained_models`` under the working directory; if it is nowhere it is downloaded to
the first of those that is set. Whatever is found is held against its SHA-256.

Networks of this project that come with the package have short names, see :data:`SHIPPED`.
"""

import contextlib
import hashlib
import http.client
import os
import socket
from pathlib import Path
from typing import NamedTuple

from restoreformer.errors import RestoreFormerError, first_line

DEFAULT_FOLDER = Path("experiments/pretrained_models")
ENVIRONMENT = "RESTOREFORMER_WEIGHTS"
# Seconds without an answer after which a server is taken to be unreachable.
TIMEOUT = 15
# Networks that come with the package, by name (docs/small_model.md).
SHIPPED = {name: Path(__file__).parent / "weights" / f"{name}.safetensors" for name in ("small", "small_dictionary")}


class UnavailableError(RestoreFormerError):
    """A pretrained file is not on this machine and cannot be downloaded.

    Attributes:
        reason: why it cannot, in a line.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class PretrainedFile(NamedTuple):
    """One row: where a file comes from, how to know it, its size in MB (10^6 bytes) and its licence."""

    url: str
    sha256: str
    megabytes: int
    licence: str


_RESTOREFORMER = "https://github.com/wzhouxiff/RestoreFormerPlusPlus/releases/download"
_GFPGAN = "https://github.com/TencentARC/GFPGAN/releases/download"
_REAL_ESRGAN = "https://github.com/xinntao/Real-ESRGAN/releases/download"
_TORCHVISION = "https://download.pytorch.org/models"

FILES: dict[str, PretrainedFile] = {
    "RestoreFormer.ckpt": PretrainedFile(
        f"{_RESTOREFORMER}/v1.0.0/RestoreFormer.ckpt",
        "4a193c716bc27cc0533d1b9307100c671e7b584ffa3ba6648182fea4b3228dff",
        291,
        "Apache-2.0",
    ),
    "RestoreFormer++.ckpt": PretrainedFile(
        f"{_RESTOREFORMER}/v1.0.0/RestoreFormer++.ckpt",
        "613fe52805f86bf8c2bffff08ae9f7a0b99f408be1bf221767af6183038be3a2",
        294,
        "Apache-2.0",
    ),
    "RestoreFormer.pth": PretrainedFile(
        f"{_GFPGAN}/v1.3.4/RestoreFormer.pth",
        "07404d446d62ca3d5ed38b1de09a947a1e77d46dbccec961a74d713a8f24ace0",
        291,
        "Apache-2.0",
    ),
    "arcface_resnet18.pth": PretrainedFile(
        f"{_GFPGAN}/v0.1.0/arcface_resnet18.pth",
        "69554b3184575bdda7ecf7f40caf2b0c5ecbd0617b676d2209d8bf0e7e3d8042",
        103,
        "Apache-2.0",
    ),
    "FFHQ_eye_mouth_landmarks_512.pth": PretrainedFile(
        f"{_GFPGAN}/v0.1.0/FFHQ_eye_mouth_landmarks_512.pth",
        "80c0c1a71206d42b3d39c1d4c9b0ddd4066743f478e36e3de19ced0db4434c02",
        37,
        "Apache-2.0; made from FFHQ, CC BY-NC-SA 4.0",
    ),
    "vgg19-dcbb9e9d.pth": PretrainedFile(
        f"{_TORCHVISION}/vgg19-dcbb9e9d.pth",
        "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
        575,
        "BSD-3-Clause (torchvision)",
    ),
    "vgg16-397923af.pth": PretrainedFile(
        f"{_TORCHVISION}/vgg16-397923af.pth",
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        553,
        "BSD-3-Clause (torchvision)",
    ),
    "alexnet-owt-7be5be79.pth": PretrainedFile(
        f"{_TORCHVISION}/alexnet-owt-7be5be79.pth",
        "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        244,
        "BSD-3-Clause (torchvision)",
    ),
    "pt_inception-2015-12-05-6726825d.pth": PretrainedFile(
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        96,
        "Apache-2.0 (TensorFlow's Inception, carried over by pytorch-fid)",
    ),
    "detection_Resnet50_Final.pth": PretrainedFile(
        "https://github.com/xinntao/facexlib/releases/download/v0.1.0/detection_Resnet50_Final.pth",
        "6d1de9c2944f2ccddca5f5e010ea5ae64a39845a86311af6fdf30841b0a5a16d",
        109,
        "MIT",
    ),
    "RealESRGAN_x2plus.pth": PretrainedFile(
        f"{_REAL_ESRGAN}/v0.2.1/RealESRGAN_x2plus.pth",
        "49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb",
        67,
        "BSD-3-Clause",
    ),
    "RealESRGAN_x4plus.pth": PretrainedFile(
        f"{_REAL_ESRGAN}/v0.1.0/RealESRGAN_x4plus.pth",
        "4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
        67,
        "BSD-3-Clause",
    ),
}


def search_folders(folder: str | Path | None = None) -> list[Path]:
    """The folders that are searched, first to last."""
    environment = os.environ.get(ENVIRONMENT)
    return list(dict.fromkeys(Path(p).expanduser() for p in (folder, environment, DEFAULT_FOLDER) if p))


def local_file(path: str | Path, folder: str | Path | None = None) -> Path:
    """``path`` itself, unless there is no such file: then the pretrained one, if its name is in the table, the shipped
    one of that name, or one of that bare name in a folder that is searched."""
    path = Path(path).expanduser()
    if not path.is_file() and str(path) in SHIPPED:
        return SHIPPED[str(path)]
    if path.exists():
        return path
    if path.name in FILES:
        return find_pretrained(path.name, folder)
    return next((f / path for f in search_folders(folder) if path.parent == Path() and (f / path).is_file()), path)


def find_pretrained(name: str, folder: str | Path | None = None) -> Path:
    """The local path of a file of the table, downloaded if need be, its content checked.

    Args:
        name: a key of :data:`FILES`.
        folder: searched first, and downloaded to (``--weights-dir``).

    Raises:
        UnavailableError: it is neither found nor downloadable.
        RestoreFormerError: it is not in the table, or its content is not the published one.
    """
    if name not in FILES:
        raise RestoreFormerError(f"Expected a file or one of {', '.join(FILES)}, found nothing at {name}.")
    row = FILES[name]
    folders = search_folders(folder)
    path = next((f / name for f in folders if (f / name).is_file()), None) or _download(name, row, folders[0])
    digest = sha256(path)
    if digest != row.sha256:
        raise RestoreFormerError(
            f"Expected {name} with SHA-256 {row.sha256} at {path}, got {digest}: delete it and fetch it again from "
            f"{row.url}, or name another file by its path."
        )
    return path


def _download(name: str, row: PretrainedFile, folder: Path) -> Path:
    from torch.hub import download_url_to_file

    target = folder / name
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    # torch.hub has no timeout of its own and would wait for good behind a firewall.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(before or TIMEOUT)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        download_url_to_file(row.url, str(target), hash_prefix=row.sha256)
    except (OSError, RuntimeError, ValueError, http.client.HTTPException) as error:
        for path in missing:
            # Not where another process has put something into it since.
            with contextlib.suppress(OSError):
                path.rmdir()
        raise UnavailableError(
            f"Expected {name} ({row.megabytes} MB), found it in none of "
            f"{', '.join(map(str, search_folders(folder)))} and could not download it ({error}): fetch {row.url} and "
            f"put it at {target}.",
            first_line(error),
        ) from error
    finally:
        socket.setdefaulttimeout(before)
    return target


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(2**20):
            digest.update(part)
    return digest.hexdigest()
