"""With several processes: tests/models/test_two_processes.py."""

import pytest
import torch
from torch import distributed, nn

from restoreformer.archs.shared_batch_norm import SharedBatchNorm


@pytest.fixture(params=[False, True], ids=["alone", "group of one"])
def group(request, tmp_path):
    if request.param:
        distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    if request.param:
        distributed.destroy_process_group()


def test_one_process_is_torchs(group):
    ours, theirs = SharedBatchNorm(8), nn.BatchNorm2d(8)
    x = torch.randn(4, 8, 3, 3) * 2 + 1
    for training in (True, False):
        torch.testing.assert_close(ours.train(training)(x), theirs.train(training)(x))
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)
