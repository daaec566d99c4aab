import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import torch

from restoreformer.errors import RestoreFormerError
from restoreformer.images import read, tiled, to_batch, to_image, to_images, to_tensor
from restoreformer.inference.photos import read_photo


def claiming(path, side):
    """A PNG of some hundred bytes that claims to be square, with this side."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(9999))), (b"IEND", b""))
    chunks = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path


@pytest.mark.parametrize("reader", [read, read_photo])
def test_images_that_claim_to_be_huge_are_refused_by_their_headers(reader, tmp_path):
    told = r"at most \d+ pixels in .*bomb.png, its header claims more: set OPENCV_IO"
    with pytest.raises(RestoreFormerError, match=told):
        reader(claiming(tmp_path / "bomb.png", 50_000))


def test_the_limit_stands_where_this_package_comes_before_opencv(tmp_path):
    bomb = claiming(tmp_path / "bomb.png", 17_000)
    code = f"import restoreformer; from restoreformer.images import *; read(Path({str(bomb)!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "at most 268435456 pixels" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("count, shape", [(1, (2, 3)), (2, (2, 6)), (3, (4, 6)), (5, (4, 9)), (9, (6, 9))])
def test_tiles_are_placed_row_by_row(count, shape):
    tiles = [np.full((2, 3, 3), i, np.uint8) for i in range(count)]
    image = tiled(tiles)
    assert image.shape == (*shape, 3)
    across = shape[1] // 3
    for i in range(shape[0] // 2 * across):
        y, x = 2 * (i // across), 3 * (i % across)
        assert (image[y : y + 2, x : x + 3] == (i if i < count else 128)).all()


def test_tensors_are_rgb_in_minus_one_to_one_and_come_back():
    image = np.arange(256, dtype=np.uint8).reshape(8, 32)[:, :, None] + np.array([0, 1, 2], np.uint8)
    tensor = to_tensor(image)
    expected = image[:, :, ::-1].transpose(2, 0, 1).astype(np.float64) / 127.5 - 1
    assert tensor.dtype == torch.float32 and tensor.is_contiguous()
    np.testing.assert_allclose(tensor.numpy(), expected, atol=1e-6)
    assert (to_image(tensor) == image).all()


def test_batches_are_the_same_images():
    images = list(np.random.default_rng(0).integers(0, 256, (3, 8, 6, 3), np.uint8))
    batch = to_batch(images, torch.device("cpu"))
    assert torch.equal(batch, torch.stack([to_tensor(image) for image in images]))
    assert batch.is_contiguous(memory_format=torch.channels_last)
    for precision in (torch.float32, torch.float16):
        back = to_images(batch.to(precision))
        assert all((a == b).all() and a.flags.c_contiguous for a, b in zip(back, images, strict=True))
    before = batch.clone()
    to_images(batch * 3)
    to_images(batch)
    assert torch.equal(batch, before)
    assert to_images(torch.full((1, 3, 1, 1), 7.0))[0].tolist() == [[[255, 255, 255]]]
