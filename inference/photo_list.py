"""Which files are photos, and what their results are called."""

import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from restoreformer.errors import RestoreFormerError
from restoreformer.inference.photos import READ_SUFFIXES

# The folders that results are written to.
RESULTS = ("restored_imgs", "cropped_faces", "restored_faces", "cmp")


class PhotoFile(NamedTuple):
    """A file, and the path of its results below the folders of the output, without suffix."""

    path: Path
    name: Path


def list_photos(path: Path, recursive: bool = False, output: Path | None = None) -> list[PhotoFile]:
    """The photo at ``path``, or what has a photo's suffix in that folder, sorted, each with a name of its own.

    Args:
        path: a file of any suffix, or a folder.
        recursive: whether photos in folders within count; their results lie in folders of the same names.
        output: folder of results, which do not count where they lie among the photos.

    Raises:
        RestoreFormerError: nothing there, or a folder that cannot be listed.
    """
    if path.is_file():
        return [PhotoFile(path, Path(path.stem))]
    # A folder named as a photo is told of, unless it is gone into.
    photos = sorted(p for p in _entries(path, recursive) if _is_named_as_a_photo(p))
    if output is not None:
        results = {output.absolute() / folder for folder in RESULTS} - {path.absolute(), *path.absolute().parents}
        photos = [p for p in photos if not results.intersection(p.absolute().parents)]
    if not photos:
        raise RestoreFormerError(f"Expected a photo or a folder of photos at {path}, found none.")
    relative = [p.relative_to(path) for p in photos]
    shared = Counter(p.with_suffix("") for p in relative)
    names: dict[Path, Path] = {}
    for file in relative:
        # Two photos of one name are told apart by their suffix.
        name = file.with_suffix("") if shared[file.with_suffix("")] == 1 else _with_suffix_in_name(file)
        while name in names:
            name = name.with_name(name.name + "_")
        names[name] = path / file
    return [PhotoFile(file, name) for name, file in names.items()]


def _is_named_as_a_photo(path: Path) -> bool:
    # macOS leaves a file of that beginning beside each on foreign disks.
    return path.suffix.lower() in READ_SUFFIXES and not path.name.startswith("._")


def _with_suffix_in_name(file: Path) -> Path:
    return file.with_name(file.name.replace(".", "_"))


def _entries(folder: Path, recursive: bool) -> list[Path]:
    try:
        if not recursive:
            return list(folder.iterdir()) if folder.is_dir() else []
        return [Path(parent) / file for parent, _, files in os.walk(folder, onerror=_raise) for file in files]
    except OSError as error:
        raise RestoreFormerError(f"Expected a folder of photos at {folder}, could not list it: {error}") from error


def _raise(error: OSError) -> None:
    raise error
