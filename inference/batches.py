"""Faces of many photos through the network together."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from restoreformer.detection import DetectedFace
from restoreformer.images import Image
from restoreformer.inference.alignment import Matrix
from restoreformer.inference.photos import Photo

# Photos that wait for a batch to fill hold no more pixels than this, so that memory stays flat.
WAITING_PIXELS = 2**26


@dataclass(frozen=True)
class PlacedPhoto:
    """A photo and the faces that were found in it, largest first.

    Attributes:
        photo: as it came.
        found: box, score and landmarks of each face, in pixels of the photo.
        matrices: from the photo to each crop.
        crops: each face aligned, BGR ``(size, size, 3)`` uint8.
        is_grey: whether the photo has no colours.
    """

    photo: Photo
    found: list[DetectedFace]
    matrices: list[Matrix]
    crops: list[Image]
    is_grey: bool


P = TypeVar("P", bound=PlacedPhoto)


def in_batches(
    photos: Iterable[P], restore: Callable[[Sequence[Image]], list[Image]], batch_size: int
) -> Iterator[tuple[P, list[Image]]]:
    """Each photo with its faces restored, in the order of the photos; batches are filled across them.

    Args:
        photos: taken one by one, as they are needed.
        restore: from crops to as many restored faces.
        batch_size: faces that ``restore`` is given at once; fewer where nothing is left, or where the photos that
            wait hold more than :data:`WAITING_PIXELS`.
    """
    waiting: deque[P] = deque()
    crops: list[Image] = []
    restored: list[Image] = []

    def work(least: int) -> Iterator[tuple[P, list[Image]]]:
        while len(crops) >= least and crops:
            restored.extend(restore(crops[:batch_size]))
            del crops[:batch_size]
        while waiting and len(waiting[0].crops) <= len(restored):
            photo = waiting.popleft()
            yield photo, restored[: len(photo.crops)]
            del restored[: len(photo.crops)]

    for photo in photos:
        waiting.append(photo)
        crops += photo.crops
        held = sum(p.photo.shape[0] * p.photo.shape[1] for p in waiting)
        yield from work(1 if held > WAITING_PIXELS else batch_size)
    yield from work(1)
