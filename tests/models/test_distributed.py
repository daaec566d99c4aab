"""Both stages under DDP. One process with gloo is enough to see whether DDP waits for a gradient in vain."""

import pytest
import torch
from basicsr.models import build_model
from basicsr.models.base_model import BaseModel
from torch import distributed
from torch.nn.parallel import DistributedDataParallel


@pytest.fixture
def process_group(tmp_path, monkeypatch):
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    # BasicSR's asks for the current CUDA device.
    monkeypatch.setattr(BaseModel, "model_to_device", lambda self, net: DistributedDataParallel(net))
    yield
    distributed.destroy_process_group()


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_iterations_follow_each_other(stage, request, batch, process_group):
    opt = request.getfixturevalue(stage)
    opt["dist"] = True
    if stage == "stage1":
        opt["train"]["renewal_opt"] = {"start": "encoder", "interval": 2}
    model = build_model(opt)
    model.feed_data(batch)
    for i in range(1, 5):
        model.optimize_parameters(i)
    log = model.get_current_log()
    assert log["entries_in_use"] >= 1 and all(torch.isfinite(torch.tensor(v)) for v in log.values())
