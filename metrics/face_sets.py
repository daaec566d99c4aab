"""Folders of faces, one for each method, whose images belong together by their names."""

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from restoreformer.errors import RestoreFormerError
from restoreformer.images import SUFFIXES, Image, resize

# Of names that a message tells, this many.
TOLD = 3


class FaceSet(NamedTuple):
    """The images of a folder by their names without suffix, sorted, and the names of the files that are no images."""

    folder: Path
    files: dict[str, Path]
    ignored: tuple[str, ...] = ()


class Pairing(NamedTuple):
    """How the names of two sets go together, all sorted.

    Attributes:
        names: in both.
        missing: in the reference alone.
        extra: in the other alone.
        hint: what to do where all names of one set are those of the other with something added; else None.
    """

    names: tuple[str, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    hint: str | None


class NamedFolder(NamedTuple):
    """A method's name and the folder of its faces."""

    name: str
    folder: Path


def named_folder(text: str) -> NamedFolder:
    """``NAME=DIR`` as an option has it; the first ``=`` divides. For argparse's ``type``.

    Raises:
        argparse.ArgumentTypeError: there is no ``=``, no name or no folder.
    """
    name, _, folder = text.partition("=")
    if not name.strip() or not folder.strip():
        raise argparse.ArgumentTypeError(f"Expected NAME=DIR, a method's name and its folder of faces, got {text!r}.")
    if not name.strip().isprintable():
        raise argparse.ArgumentTypeError(f"Expected a method's name of one line, got {name!r}.")
    return NamedFolder(name.strip(), Path(folder).expanduser())


def read_face_sets(folders: Iterable[NamedFolder]) -> dict[str, FaceSet]:
    """The faces of each method, in the order given.

    Raises:
        RestoreFormerError: two methods of one name, or a folder that :func:`read_face_set` refuses.
    """
    sets: dict[str, FaceSet] = {}
    for name, folder in folders:
        if name in sets:
            raise RestoreFormerError(
                f"Expected a name of its own for each folder, got {name} for {sets[name].folder} and {folder}: "
                "rename one."
            )
        sets[name] = read_face_set(folder)
    return sets


def read_face_set(folder: Path) -> FaceSet:
    """The images in a folder, not in those within it.

    Args:
        folder: the folder, or one and a pattern, ``DIR/*_00.png``: then names are what the asterisk stands for.

    Raises:
        RestoreFormerError: no folder, one that cannot be listed, no images, or two of one name.
    """
    pattern: str | None = None
    bare: Callable[[Path], str] = _stem
    if "*" in folder.name:
        folder, pattern = folder.parent, folder.name
        begin, _, end = pattern.partition("*")
        if "*" in end:
            raise RestoreFormerError(f"Expected one asterisk, for the names of faces, got {pattern}.")
        bare = lambda path: path.name.removeprefix(begin).removesuffix(end)  # noqa: E731
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise RestoreFormerError(f"Expected a folder of faces at {folder}, could not list it: {error}") from error
    files: dict[str, Path] = {}
    for path in entries:
        if not _is_image(path, pattern):
            continue
        if (name := bare(path)) in files:
            raise RestoreFormerError(
                f"Expected one image of each name in {folder}, got {files[name].name} and {path.name}: "
                "remove or rename one."
            )
        files[name] = path
    if not files:
        raise RestoreFormerError(
            f"Expected images{f' named {pattern}' if pattern else ''} in {folder}, found none among {len(entries)} "
            f"entries: they end in {', '.join(sorted(SUFFIXES))}, and folders within do not count."
        )
    return FaceSet(folder, dict(sorted(files.items())), tuple(p.name for p in entries if not _is_image(p, pattern)))


def _stem(path: Path) -> str:
    return path.stem


def _is_image(path: Path, pattern: str | None) -> bool:
    begin, _, end = (pattern or "*").partition("*")
    if not (path.name.startswith(begin) and path.name.endswith(end)):
        return False
    # macOS leaves a file of that beginning beside each on foreign disks.
    return path.suffix.lower() in SUFFIXES and not path.name.startswith("._") and path.is_file()


def pair(reference: FaceSet, other: FaceSet) -> Pairing:
    """Which names two sets share and which they do not. Nothing is renamed: a renamed set gets a hint."""
    ours, theirs = reference.files.keys(), other.files.keys()
    hint = None
    if not ours & theirs:
        hint = _renamed(other, reference) or _renamed(reference, other)
    return Pairing(tuple(sorted(ours & theirs)), tuple(sorted(ours - theirs)), tuple(sorted(theirs - ours)), hint)


def _renamed(longer: FaceSet, shorter: FaceSet) -> str | None:
    """A hint, where every name of ``longer`` is one of ``shorter`` with the same end, or the same beginning."""
    first = next(iter(longer.files))
    splits = range(1, len(first))
    for ends in sorted({first[i:] for i in splits if first[:i] in shorter.files}):
        if all(n.endswith(ends) and n.removesuffix(ends) in shorter.files for n in longer.files):
            return _hint(longer, shorter, f"with {ends!r} after it", f"*{ends}")
    for begins in sorted({first[:i] for i in splits if first[i:] in shorter.files}):
        if all(n.startswith(begins) and n.removeprefix(begins) in shorter.files for n in longer.files):
            return _hint(longer, shorter, f"with {begins!r} before it", f"{begins}*")
    return None


def _hint(longer: FaceSet, shorter: FaceSet, added: str, pattern: str) -> str:
    suffix = next(iter(longer.files.values())).suffix
    named = longer.folder / f"{pattern}{suffix}"
    return f"every name in {longer.folder} is one in {shorter.folder} {added}: give the folder as {named}"


def differences(reference: str, other: str, pairing: Pairing) -> list[str]:
    """What one of two sets has and the other has not, in words; none if they have the same names."""
    told = []
    if pairing.missing:
        told.append(f"{len(pairing.missing)} of {reference} missing in {other} ({listed(pairing.missing)})")
    if pairing.extra:
        told.append(f"{len(pairing.extra)} of {other} missing in {reference} ({listed(pairing.extra)})")
    return told


def same_names(sets: Mapping[str, FaceSet]) -> list[str]:
    """The names that every set has, sorted.

    Raises:
        RestoreFormerError: a name that one set has and another has not; tells which, and how to go on.
    """
    (first, reference), *others = sets.items()
    for name, other in others:
        pairing = pair(reference, other)
        if told := differences(first, name, pairing):
            remedy = pairing.hint or "restore what is missing, or remove the rest"
            raise RestoreFormerError(
                f"Expected the same names in {reference.folder} and {other.folder}, got {' and '.join(told)}: {remedy}."
            )
    return list(reference.files)


def sized_as(image: Image, reference: Image, what: str) -> Image:
    """An image ``(h, w, 3)`` at the size of ``reference``, of another method for the same face.

    Raises:
        RestoreFormerError: it has another shape, by more than rounding explains; ``what`` says whose it is.
    """
    (height, width), (other_height, other_width) = reference.shape[:2], image.shape[:2]
    # What half a pixel more or less of each side makes.
    if abs(width * other_height - height * other_width) > (width + height + other_width + other_height) / 2:
        raise RestoreFormerError(
            f"Expected a face in the proportions of {width}x{height} {what}, got {other_width}x{other_height}: "
            "cut it out as the others are."
        )
    return resize(image, width, height)


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - TOLD
    return ", ".join(names[:TOLD]) + (f" and {more} more" if more > 0 else "")
