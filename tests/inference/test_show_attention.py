import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

from restoreformer.archs.checkpoint import save_checkpoint
from restoreformer.archs.restoreformer_arch import RestoreFormer, RestoreFormerPaper
from restoreformer.errors import RestoreFormerError
from restoreformer.inference.show_attention import attention_maps, overlay, parse_point, picture

PAPER = {"n_embed": 32, "embed_dim": 64, "ch": 32, "ch_mult": [1, 1, 2], "num_res_blocks": 1, "resolution": 64}


def test_every_cross_attention_is_shown(small_net):
    """One in the decoder's middle and one after each block at the lowest resolution; the encoder's are its own."""
    net = RestoreFormer(**small_net).eval()
    image = torch.rand(3, 64, 64) * 2 - 1
    restored, maps = attention_maps(net, image)
    assert list(maps) == ["decoder.mid.attn_1", "decoder.up.2.attn.0", "decoder.up.2.attn.1"]
    with torch.no_grad():
        assert torch.equal(restored, net(image[None])[0])
    for weights in maps.values():
        assert weights.shape == (4, 256, 16, 16)
        torch.testing.assert_close(weights.sum((2, 3)), torch.ones(4, 256))
    assert not any(m._forward_pre_hooks for m in net.modules()), "the network is left as it was"


def test_the_papers_two_blocks():
    net = RestoreFormerPaper(heads=4, **PAPER).eval()
    _, maps = attention_maps(net, torch.rand(3, 32, 64))
    assert list(maps) == ["fusion.blocks.0.attention", "fusion.blocks.1.attention"]
    assert maps["fusion.blocks.0.attention"].shape == (4, 8 * 16, 8, 16)
    with pytest.raises(RestoreFormerError, match="RestoreFormerPaper has none"):
        attention_maps(RestoreFormerPaper("sft", heads=4, **PAPER).eval(), torch.rand(3, 32, 32))


def test_the_map_is_that_of_the_place_that_asks():
    """A place that looks at one other is hot there and nowhere else."""
    maps = torch.zeros(1, 16, 4, 4)
    asks, found = 1 * 4 + 2, (3, 0)
    maps[0, asks][found] = 1.0
    face = np.full((64, 64, 3), 128, np.uint8)
    image = picture(face, {"one": maps, "two": maps}, point=(2 * 16 + 5, 1 * 16 + 5))
    assert image.shape == (128, 128, 3)
    hot = image[:64, :64, 2].astype(int) - image[:64, :64, 0]
    y, x = np.unravel_index(hot.argmax(), hot.shape)
    assert 48 <= y < 64 and 0 <= x < 16
    cold = picture(face, {"one": maps}, point=(0, 0))[:, :, 2].astype(int)
    assert cold[48:, :16].max() < 100


def test_a_flat_map_is_cold():
    image = overlay(np.full((64, 64, 3), 128, np.uint8), np.full((4, 4), 0.0625, np.float32), (0, 0))
    assert image.shape == (64, 64, 3) and image[32, 32, 0] > image[32, 32, 2]


def test_points():
    assert parse_point(None, 512) == (192, 239) and parse_point(None, 128) == (48, 59)
    assert parse_point("3, 4", 64) == (3, 4)
    for text in ("3", "a,b", "64,0", "0,-1"):
        with pytest.raises(RestoreFormerError, match="Expected --point"):
            parse_point(text, 64)


def test_as_a_command(tmp_path, face, small_net, forks):
    cv2.imwrite(str(tmp_path / "face.png"), face)
    save_checkpoint(tmp_path / "net.pth", RestoreFormer(**small_net))
    command = [sys.executable, "-W", "ignore", "inference/show_attention.py", "--model", tmp_path / "net.pth"]
    arguments = ["-i", tmp_path / "face.png", "-o", tmp_path / "attention.png", "--device", "cpu"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "row: decoder.mid.attn_1: mean of heads, then 4 heads" in done.stderr
    assert cv2.imread(str(tmp_path / "attention.png")).shape == (3 * 64, 5 * 64, 3)
    done = forks.run(*command[3:], *arguments, "--point", "1")
    assert done.returncode == 1 and done.stderr.startswith("error: Expected --point") and "Trace" not in done.stderr
