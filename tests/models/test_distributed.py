"""Both stages under DDP.

One process with gloo is enough to see whether DDP waits for a gradient in vain; two, whether they agree.
"""

from pathlib import Path

import pytest
import torch
from basicsr.models import build_model
from basicsr.models.base_model import BaseModel
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from restoreformer.archs.fusion import FUSIONS
from restoreformer.archs.restoreformer_arch import RELEASED_FUSIONS


@pytest.fixture
def process_group(tmp_path, monkeypatch):
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    # BasicSR's asks for the current CUDA device.
    monkeypatch.setattr(BaseModel, "model_to_device", lambda self, net: DistributedDataParallel(net))
    yield
    distributed.destroy_process_group()


PAPER = {"n_embed": 32, "embed_dim": 64, "ch": 32, "ch_mult": [1, 1, 2], "num_res_blocks": 1, "resolution": 64}
FIXED = {**PAPER, "embed_dim": 128, "encoder": "vgg19"}
NETWORKS = {
    "stage1": [None, {"type": "HQDictionaryPaper", **PAPER}, {"type": "HQDictionaryPaper", **FIXED}],
    "stage2": [
        None,
        *({"type": "RestoreFormer", "fusion": f} for f in RELEASED_FUSIONS[1:]),
        *({"type": "RestoreFormerPaper", "fusion": f, **PAPER} for f in FUSIONS),
        {"type": "RestoreFormerPaper", **FIXED},
    ],
}


@pytest.mark.parametrize("stage, network", [(stage, net) for stage, nets in NETWORKS.items() for net in nets])
def test_iterations_follow_each_other(stage, network, request, batch, process_group):
    opt = request.getfixturevalue(stage)
    opt["train"]["adaptive_gan_weight"] = True
    if network is not None:
        opt["network_g"] = {**opt["network_g"], **network} if network["type"] == "RestoreFormer" else network
    if network is not None and "encoder" in network and stage == "stage1":
        opt["path"]["pretrain_encoder"] = "none"
    opt["dist"] = True
    if stage == "stage1":
        opt["train"]["renewal_opt"] = {"start": "encoder", "interval": 2}
    model = build_model(opt)
    model.feed_data(batch)
    for i in range(1, 5):
        model.optimize_parameters(i)
    log = model.get_current_log()
    assert log["entries_in_use"] >= 1 and all(torch.isfinite(torch.tensor(v)) for v in log.values())


# One of two processes, with its own features, choices and chance: entries 0 and 1, or 4 and 5, are in use.
RENEW = """
import os, sys, torch
import restoreformer
from restoreformer.archs.fusion import FUSIONS
from restoreformer.archs.restoreformer_arch import RELEASED_FUSIONS
from torch import distributed
from restoreformer.models.dictionary_renewal import DictionaryRenewal

rank, folder = int(sys.argv[1]), sys.argv[2]
distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
torch.manual_seed(rank)
embedding, average = torch.nn.Embedding(8, 2), torch.nn.Embedding(8, 2)
for net in (embedding, average):
    distributed.broadcast(net.weight.data, 0)
renewal = DictionaryRenewal(embedding, average, start="encoder", interval=1)
renewal.begin(torch.randn(1, 2, 4, 4))
start = embedding.weight.detach().clone()
indices = torch.tensor([[[4 * rank, 4 * rank + 1]]])
renewal.after_step(1, torch.randn(1, 2, 4, 4), indices, torch.optim.Adam(embedding.parameters()))
drawn = {"start": start, "end": embedding.weight.detach(), "average": average.weight.detach()}
torch.save(drawn, f"{folder}/{rank}.pth")
os._exit(0)  # torch's threads may abort an interpreter that ends (pytorch issue 190489)
"""


def test_all_processes_draw_the_same_entries(tmp_path, forks):
    source = Path(__file__).parents[2] / "src"
    running = [forks.start("-c", RENEW, rank, tmp_path, PYTHONPATH=source) for rank in range(2)]
    assert [process.wait().returncode for process in running] == [0, 0]
    one, two = (torch.load(tmp_path / f"{rank}.pth") for rank in range(2))
    for key in one:
        assert torch.equal(one[key], two[key]), key
    chosen = [0, 1, 4, 5]
    kept = (one["end"] == one["start"]).all(1)
    assert kept.nonzero().flatten().tolist() == chosen
    assert torch.equal(one["average"][~kept], one["end"][~kept])
