import numpy as np
import pytest

from restoreformer.images import tiled


@pytest.mark.parametrize("count, shape", [(1, (2, 3)), (2, (2, 6)), (3, (4, 6)), (5, (4, 9)), (9, (6, 9))])
def test_tiles_are_placed_row_by_row(count, shape):
    tiles = [np.full((2, 3, 3), i, np.uint8) for i in range(count)]
    image = tiled(tiles)
    assert image.shape == (*shape, 3)
    across = shape[1] // 3
    for i in range(shape[0] // 2 * across):
        y, x = 2 * (i // across), 3 * (i % across)
        assert (image[y : y + 2, x : x + 3] == (i if i < count else 128)).all()
