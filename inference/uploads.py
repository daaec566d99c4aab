"""What a page shows of a photo that it was given: pictures, a file to keep, and a line that tells what happened."""

import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from restoreformer.errors import RestoreFormerError
from restoreformer.images import write
from restoreformer.inference.comparison_page import sized_pair
from restoreformer.inference.face_restorer import FaceRestorer
from restoreformer.inference.file_run import FAILURES, FileRun, failure_line
from restoreformer.inference.photo_list import list_photos
from restoreformer.inference.photos import Photo, as_bgr, read_part, read_photo

# Longest side in pixels of the pictures in a page: about a screen's.
LONGEST_SIDE = 1600


class Shown(NamedTuple):
    """What there is to show of a photo.

    Attributes:
        line: what happened, or why there is nothing.
        pair: pictures of the photo before and after, of one size.
        result: the restored photo, of the upload's kind where that is written.
        faces: pictures of each face, aligned, before and after, and their captions.
    """

    line: str
    pair: tuple[Path, Path] | None = None
    result: Path | None = None
    faces: tuple[tuple[Path, str], ...] = ()


class KeptRestorers:
    """What restores, by the name of its model: each is built when it is first asked for, and kept.

    Several threads may ask.

    Args:
        build: what builds one.
    """

    def __init__(self, build: Callable[[str], FaceRestorer]) -> None:
        self._build = build
        self._built: dict[str, FaceRestorer] = {}
        self._lock = threading.Lock()

    def get(self, model: str) -> FaceRestorer:
        """The one of that model.

        Raises:
            RestoreFormerError: it cannot be built.
        """
        with self._lock:
            if model not in self._built:
                self._built[model] = self._build(model)
            return self._built[model]


def preview(path: Path, folder: Path) -> Shown:
    """A photo as it came, before and after alike, and its size.

    Args:
        path: of the photo.
        folder: pictures are written into a new folder below it.
    """
    try:
        photo, failure = read_part(path)
        height, width = photo.shape[:2]
        pair = _write_pair(photo, photo, Path(tempfile.mkdtemp(dir=folder)))
        return Shown(_named(failure or f"{path.name}: {width}x{height} pixels.", path), pair)
    except FAILURES as error:
        return Shown(_named(failure_line(error, path), path))


def restore_upload(
    path: Path,
    restorers: KeptRestorers,
    model: str,
    folder: Path,
    upscale: float = 1,
    strength: float = 1,
    only_center_face: bool = False,
    color_fix: str | None = None,
) -> Shown:
    """Restore a photo for a page; what goes wrong with it is in the line.

    Args:
        path: of the photo.
        restorers, model: what restores it.
        folder: files are written into a new folder below it.
        upscale, strength, only_center_face: as :meth:`FaceRestorer.restore` takes them.
        color_fix: another one than suits the network.
    """
    try:
        restorer = restorers.get(model)
        if color_fix is not None:
            restorer = restorer.with_color_fix(color_fix)
    except RestoreFormerError as error:
        return Shown(str(error))
    try:
        began = time.perf_counter()
        into = Path(tempfile.mkdtemp(dir=folder))
        run = FileRun(
            restorer, into, upscale=upscale, strength=strength, only_center_face=only_center_face, suffix="restored"
        )
        (file,) = list_photos(path)
        (outcome,) = run.restore([file])
        # The page has no use for it, and deletes with time what it shows alone.
        shutil.rmtree(into / "cmp", ignore_errors=True)
        seconds = time.perf_counter() - began
        result, failure = run.result(file), _named(outcome.failure or "", path)
        if not result.is_file():
            return Shown(failure)
        before, after = read_part(path)[0], read_photo(result)
        faces = "1 face" if outcome.faces == 1 else f"{outcome.faces} faces"
        summary = f"{faces} restored: {after.shape[1]}x{after.shape[0]} pixels, {seconds:.1f} s."
        lines = [summary if outcome.faces else "", failure, *restorer.notes]
        return Shown(" ".join(filter(None, lines)), _write_pair(before, after, into), result, _faces(into))
    except FAILURES as error:
        return Shown(_named(failure_line(error, path), path))


def _faces(into: Path) -> tuple[tuple[Path, str], ...]:
    """The pictures of faces that a run wrote, each one's before its after."""
    before, after = (sorted((into / folder).glob("*.png")) for folder in ("cropped_faces", "restored_faces"))
    pairs = enumerate(zip(before, after, strict=True), 1)
    return tuple(
        (path, f"face {i} {when}") for i, pair in pairs for path, when in zip(pair, ("before", "after"), strict=True)
    )


def _write_pair(before: Photo, after: Photo, into: Path) -> tuple[Path, Path]:
    paths = into / "before.jpg", into / "after.jpg"
    for path, picture in zip(paths, sized_pair(as_bgr(before), as_bgr(after), LONGEST_SIDE), strict=True):
        write(path, picture)
    return paths


def _named(line: str, path: Path) -> str:
    """A line that calls an upload as who uploaded it does: where it lies here says nothing to them."""
    return line.replace(str(path), path.name)
