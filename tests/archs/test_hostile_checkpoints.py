"""Files of tensors whose shapes and configurations are those of no network: a line, and soon."""

import pytest
import torch

from restoreformer.archs.build import build_from_checkpoint
from restoreformer.archs.checkpoint import read_checkpoint
from restoreformer.errors import RestoreFormerError

TENSORS = {
    "encoder.conv_in.weight": torch.zeros(8, 3, 3, 3),
    "quantize.embedding.weight": torch.zeros(4, 4),
    "encoder.down.0.block.0.conv2.weight": torch.zeros(8, 8, 3, 3),
    "encoder.conv_out.weight": torch.zeros(4, 8, 3, 3),
}


@pytest.mark.parametrize(
    "tensors",
    [
        {"encoder.conv_in.weight": torch.zeros(0, 3, 3, 3)},
        {"encoder.conv_in.weight": torch.zeros(())},
        {"encoder.conv_out.weight": torch.zeros(())},
        {"quantize.embedding.weight": torch.zeros(())},
        {"decoder.up.9999999999.attn.x": torch.zeros(1)},
        {"encoder.down.9999999999.attn.x": torch.zeros(1)},
    ],
)
def test_tensors(tensors, tmp_path):
    torch.save(TENSORS | tensors, tmp_path / "net.pth")
    with pytest.raises(RestoreFormerError, match="Expected a RestoreFormer in"):
        build_from_checkpoint(read_checkpoint(tmp_path / "net.pth"))


@pytest.mark.parametrize(
    "config",
    [
        {"attn_resolutions": [10**400]},
        {"num_res_blocks": 3_000_000},
        {"ch_mult": [1] * 3000},
        {"ch": -32},
        {"n_embed": 10**30},
    ],
    ids=["attention", "blocks", "levels", "width", "entries"],
)
def test_configurations(config, tmp_path):
    torch.save({"params": TENSORS, "config": {"type": "RestoreFormer", **config}}, tmp_path / "net.pth")
    with pytest.raises(RestoreFormerError, match=r"Expected .*net\.pth"):
        build_from_checkpoint(read_checkpoint(tmp_path / "net.pth"))
