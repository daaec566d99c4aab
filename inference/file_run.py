"""Restoring files into folders: the next is read, and the last written, while the network works."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from restoreformer.errors import RestoreFormerError
from restoreformer.images import SUFFIXES, Image, resize, write
from restoreformer.inference.batches import PlacedPhoto, in_batches
from restoreformer.inference.comparison_page import Pair, embedded_pair
from restoreformer.inference.face_restorer import FaceRestorer, check_aligned, mix
from restoreformer.inference.photo_list import PhotoFile
from restoreformer.inference.photos import as_bgr, in_grey, is_grey, read_photo, write_photo
from restoreformer.parallel import beside

# What a single file may fail with; anything else is a fault of the program.
FAILURES = (RestoreFormerError, cv2.error, MemoryError)


@dataclass(frozen=True)
class Outcome:
    """What became of a file.

    Attributes:
        path: the file.
        faces: how many faces were restored in it.
        failure: why there are none, in one line.
        pair: what there is to show.
    """

    path: Path
    faces: int = 0
    failure: str | None = None
    pair: Pair | None = None


@dataclass(frozen=True)
class FileRun:
    """How files are restored, and where to.

    Attributes:
        restorer: what restores them.
        output: folder that gets ``restored_imgs``, ``cropped_faces``, ``restored_faces`` and ``cmp``.
        aligned: whether files are aligned faces instead of photos.
        upscale, strength, only_center_face: as :meth:`FaceRestorer.restore` takes them.
        suffix: added to the names of results, after an underscore.
        extension: of restored photos, with its dot; None keeps the photo's own where it can be written, else PNG.
        names: of the results, filled by :meth:`restore`.
    """

    restorer: FaceRestorer
    output: Path
    aligned: bool = False
    upscale: float = 1
    strength: float = 1
    only_center_face: bool = False
    suffix: str = ""
    extension: str | None = None
    names: dict[Path, Path] = field(default_factory=dict)

    def result(self, file: PhotoFile) -> Path:
        """The file that is there once a photo, or an aligned face, is restored."""
        if self.aligned:
            return self.output / "restored_faces" / self._named(file.name, "", ".png")
        own = file.path.suffix.lower()
        extension = self.extension or (own if own in SUFFIXES else ".png")
        return self.output / "restored_imgs" / self._named(file.name, "", extension)

    def _named(self, name: Path, number: str, extension: str) -> Path:
        return name.with_name(name.name + number + (f"_{self.suffix}" if self.suffix else "") + extension)

    def restore(self, files: Sequence[PhotoFile]) -> Iterator[Outcome]:
        """Restore each file; those that fail do so by themselves."""
        self.names.update({file.path: file.name for file in files})
        failed: deque[Outcome] = deque()

        def placed() -> Iterator[PlacedPhoto]:
            for loaded in beside(self._load, files):
                if isinstance(loaded, Outcome):
                    failed.append(loaded)
                else:
                    yield loaded

        restored = in_batches(placed(), self.restorer.restore_aligned, self.restorer.batch_size)
        for outcome in beside(self._store, restored):
            while failed:
                yield failed.popleft()
            yield outcome
        yield from failed

    def _load(self, file: PhotoFile) -> PlacedPhoto | Outcome:
        try:
            if not self.aligned:
                return self.restorer.place(file.path, self.only_center_face)
            photo = read_photo(file.path)
            face = as_bgr(photo)
            check_aligned(face)
            return PlacedPhoto(photo, file.path, [], [], [face], is_grey(photo))
        except FAILURES as error:
            return Outcome(file.path, failure=_line(error, file.path))

    def _store(self, work: tuple[PlacedPhoto, list[Image]]) -> Outcome:
        placed, restored = work
        assert placed.path is not None, "it was loaded from there"
        file = PhotoFile(placed.path, self.names[placed.path])
        try:
            return (self._store_face if self.aligned else self._store_photo)(file, placed, restored)
        except FAILURES as error:
            return Outcome(file.path, failure=_line(error, file.path))

    def _store_photo(self, file: PhotoFile, placed: PlacedPhoto, restored: list[Image]) -> Outcome:
        result = self.restorer.finish(placed, restored, self.upscale, self.strength)
        for i, face in enumerate(result.faces):
            self._write_face(self._named(file.name, f"_{i:02d}", ".png"), face.crop, face.restored)
        # The photo last: where it is, everything of it is.
        write_photo(self.result(file), result.image)
        if not result.faces:
            raise RestoreFormerError(f"Expected a face in {file.path}, found none: the photo is written as it is.")
        return Outcome(file.path, len(result.faces), pair=embedded_pair(as_bgr(placed.photo), as_bgr(result.image)))

    def _store_face(self, file: PhotoFile, placed: PlacedPhoto, restored: list[Image]) -> Outcome:
        (before,), (after,) = placed.crops, restored
        before = resize(before, *after.shape[1::-1])
        after = mix(before, in_grey(after) if placed.is_grey else after, self.strength)
        self._write_face(self._named(file.name, "", ".png"), before, after)
        return Outcome(file.path, 1, pair=embedded_pair(before, after))

    def _write_face(self, name: Path, before: Image, after: Image) -> None:
        write(self.output / "cropped_faces" / name, before)
        write(self.output / "cmp" / name, np.hstack([before, after]))
        write(self.output / "restored_faces" / name, after)


def _line(error: Exception, path: Path) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, RestoreFormerError) else f"Expected to restore {path}, could not: {text}"
