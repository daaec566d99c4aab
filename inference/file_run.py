"""Restoring files into folders: the next is read, and the last written, while the network works."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from restoreformer.errors import RestoreFormerError
from restoreformer.images import SUFFIXES, Image, resize, write
from restoreformer.inference.batches import PlacedPhoto, in_batches
from restoreformer.inference.comparison_page import Pair, embedded_pair
from restoreformer.inference.face_restorer import FaceRestorer, check_aligned, mix
from restoreformer.inference.photo_list import PhotoFile
from restoreformer.inference.photos import Photo, as_bgr, in_grey, is_grey, read_part, write_photo
from restoreformer.parallel import beside

# What a single file may fail with; anything else is a fault of the program.
FAILURES = (RestoreFormerError, cv2.error, MemoryError)


@dataclass(frozen=True)
class Outcome:
    """What became of a file.

    Attributes:
        file: the file.
        faces: how many faces were restored in it.
        failure: what went wrong with it, in one line.
        pair: what there is to show.
    """

    file: PhotoFile
    faces: int = 0
    failure: str | None = None
    pair: Pair | None = None


@dataclass(frozen=True)
class PlacedFile(PlacedPhoto):
    """A photo, or an aligned face as the only crop of itself, with the file that it came from.

    Attributes:
        file: where it came from, and what its results are called.
        failure: what is to be said of it, though it is restored as far as it goes.
    """

    file: PhotoFile
    failure: str | None


@dataclass(frozen=True)
class FileRun:
    """How files are restored, and where to.

    Attributes:
        restorer: what restores them.
        output: folder that gets ``restored_imgs``, ``cropped_faces``, ``restored_faces`` and ``cmp``.
        aligned: whether files are aligned faces instead of photos.
        upscale, strength, only_center_face: as :meth:`FaceRestorer.restore` takes them.
        suffix: added to the names of restored photos and faces, after an underscore.
        extension: of restored photos, with its dot; None keeps the photo's own where it can be written, else PNG.
    """

    restorer: FaceRestorer
    output: Path
    aligned: bool = False
    upscale: float = 1
    strength: float = 1
    only_center_face: bool = False
    suffix: str = ""
    extension: str | None = None

    def result(self, file: PhotoFile) -> Path:
        """The file that is there once a photo, or an aligned face, is restored."""
        if self.aligned:
            return self.output / "restored_faces" / self._restored(file.name, ".png")
        own = file.path.suffix.lower()
        extension = self.extension or (own if own in SUFFIXES else ".png")
        return self.output / "restored_imgs" / self._restored(file.name, extension)

    def _restored(self, name: Path, extension: str) -> Path:
        return name.with_name(name.name + (f"_{self.suffix}" if self.suffix else "") + extension)

    def restore(self, files: Sequence[PhotoFile]) -> Iterator[Outcome]:
        """Restore each file; those that fail do so by themselves, and those that cannot be read may come early."""
        failed: deque[Outcome] = deque()

        def placed() -> Iterator[PlacedFile]:
            for loaded in beside(self.load, files):
                if isinstance(loaded, Outcome):
                    failed.append(loaded)
                else:
                    yield loaded

        restored = in_batches(placed(), self.restorer.restore_aligned, self.restorer.batch_size)
        for outcome in beside(lambda work: self.store(*work), restored):
            while failed:
                yield failed.popleft()
            yield outcome
        yield from failed

    def load(self, file: PhotoFile) -> PlacedFile | Outcome:
        """A file's faces, or why there are none."""
        try:
            photo, failure = read_part(file.path)
            return PlacedFile(**vars(self._place(photo)), file=file, failure=failure)
        except FAILURES as error:
            return Outcome(file, failure=failure_line(error, file.path))

    def _place(self, photo: Photo) -> PlacedPhoto:
        if not self.aligned:
            return self.restorer.place(photo, self.only_center_face)
        face = as_bgr(photo)
        check_aligned(face)
        return PlacedPhoto(photo, [], [], [face], is_grey(photo))

    def store(self, placed: PlacedFile, restored: list[Image]) -> Outcome:
        """Write what belongs to a file."""
        file, failure = placed.file, placed.failure
        try:
            pair = (self._store_face if self.aligned else self._store_photo)(placed, restored)
        except FAILURES as error:
            return Outcome(file, failure=failure_line(error, file.path))
        if not restored:
            failure = (
                failure or f"Expected a face in {file.path}, found none: the photo is written with nothing restored."
            )
        return Outcome(file, len(restored), failure, pair)

    def _store_photo(self, placed: PlacedFile, restored: list[Image]) -> Pair:
        name = placed.file.name
        result = self.restorer.finish(placed, restored, self.upscale, self.strength)
        for i, face in enumerate(result.faces):
            self._write_face(name.with_name(f"{name.name}_{i:02d}"), face.crop, face.restored)
        # The photo last: where it is, everything of it is.
        write_photo(self.result(placed.file), result.image)
        return embedded_pair(as_bgr(placed.photo), as_bgr(result.image))

    def _store_face(self, placed: PlacedFile, restored: list[Image]) -> Pair:
        (before,), (after,) = placed.crops, restored
        before = resize(before, *after.shape[1::-1])
        after = mix(before, in_grey(after) if placed.is_grey else after, self.strength)
        self._write_face(placed.file.name, before, after)
        return embedded_pair(before, after)

    def _write_face(self, name: Path, before: Image, after: Image) -> None:
        plain = name.with_name(f"{name.name}.png")
        write(self.output / "cropped_faces" / plain, before)
        write(self.output / "cmp" / plain, np.hstack([before, after]))
        write(self.output / "restored_faces" / self._restored(name, ".png"), after)


def failure_line(error: Exception, path: Path) -> str:
    """What one of :data:`FAILURES` says of a file, in one line that names it."""
    text = " ".join(str(error).split())
    if not isinstance(error, RestoreFormerError):
        return f"Expected to restore {path}, could not: {text}"
    return text if str(path) in text else f"{path}: {text}"
