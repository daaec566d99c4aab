"""One process of several: an iteration and a validation on its part of the same images.

python two_processes.py OPTIONS.pth RANK PROCESSES FOLDER
"""

import os
import sys

import restoreformer.plugin  # noqa: F401  # isort: skip  (first: it makes basicsr importable)

import torch
from basicsr.models import build_model
from corners import Corners
from plain import gradients, without_steps
from torch.utils.data import Dataset

from restoreformer.distributed import init_dist
from restoreformer.frozen.pooled_features import FEATURE_NETWORKS


class Faces(Dataset):
    """The images of a batch, one by one, as BasicSR validates them."""

    def __init__(self, batch):
        self.batch = batch
        self.opt = {"name": "faces"}

    def __len__(self):
        return len(self.batch["gt"])

    def __getitem__(self, i):
        return {k: self.batch[k][i] for k in ("lq", "gt", "lq_path")}


def main(options, rank, processes, folder):
    torch.set_num_threads(1)
    FEATURE_NETWORKS["mobilenet_v2"] = Corners
    content = torch.load(options, weights_only=False)
    opt, batch = content["opt"], content["batch"]
    if processes > 1:
        os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(processes)}
        init_dist("pytorch", init_method=f"file://{folder}/store", rank=rank, world_size=processes)
    opt |= {"dist": processes > 1, "rank": rank, "world_size": processes}
    torch.manual_seed(rank)  # DDP hands out the first one's weights
    model = without_steps(build_model(opt))
    for network, weights in content["nets"].items():
        net = model.net_g if network == "network_g" else model.adversaries[network].net
        model.get_bare_model(net).load_state_dict(weights)
    for name, weights in content["losses"].items():
        model.image_losses[name].load_state_dict(weights)
    share = len(batch["gt"]) // processes
    model.feed_data({k: v[rank * share : (rank + 1) * share] for k, v in batch.items()})
    model.optimize_parameters(1)
    # Of three images one process has one, the other two; of one image both have it.
    results = []
    for images in (3, 1):
        if images == 1:
            # Of one face there is no set.
            del model._collectors["set"]
        faces = Faces({k: v[:images] for k, v in batch.items()})
        model.validation(torch.utils.data.DataLoader(faces), 1, None)
        results.append({name: float(value) for name, value in model.metric_results.items()})
    left = {"gradients": gradients(model), "losses": model.losses, "metrics": results}
    left["buffers"] = dict(model.get_bare_model(model.adversaries["network_d"].net).named_buffers())
    torch.save(left | {"log": dict(model.get_current_log())}, f"{folder}/{rank}_of_{processes}.pth")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    os._exit(0)  # torch's threads may abort an interpreter that ends (pytorch issue 190489)
