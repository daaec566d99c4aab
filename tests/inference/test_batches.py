import numpy as np
import pytest

from restoreformer.inference import batches
from restoreformer.inference.batches import PlacedPhoto, in_batches


def placed(name, faces, side=8):
    crops = [np.full((2, 2, 3), 16 * name + i, np.uint8) for i in range(faces)]
    return PlacedPhoto(np.zeros((side, side, 3), np.uint8), [], [], crops, False)


@pytest.mark.parametrize("batch, sizes", [(1, [1] * 7), (2, [2, 2, 2, 1]), (3, [3, 3, 1]), (100, [7])])
def test_batches_are_filled_over_photos_and_each_gets_its_own(batch, sizes):
    photos = [placed(i, faces) for i, faces in enumerate([2, 0, 1, 4, 0])]
    seen = []

    def restore(crops):
        seen.append(len(crops))
        return [255 - crop for crop in crops]

    results = list(in_batches(iter(photos), restore, batch))
    assert seen == sizes
    assert [photo for photo, _ in results] == photos
    for photo, restored in results:
        assert [int(face[0, 0, 0]) for face in restored] == [255 - int(crop[0, 0, 0]) for crop in photo.crops]


def test_no_more_pixels_wait_than_may(monkeypatch):
    """However large the batch: four photos of 64 pixels, then all goes."""
    monkeypatch.setattr(batches, "WAITING_PIXELS", 200)
    taken = []

    def photos():
        for i in range(12):
            taken.append(i)
            yield placed(i, 1)

    seen = []
    for done, _ in enumerate(in_batches(photos(), lambda crops: (seen.append(len(crops)), crops)[1], 100)):
        assert len(taken) - done <= 4
    assert seen == [4, 4, 4]


def test_photos_without_faces_do_not_wait():
    results = in_batches((placed(i, 0) for i in range(3)), lambda crops: crops, 8)
    assert [restored for _, restored in results] == [[], [], []]
