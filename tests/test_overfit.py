"""It learns: 160 iterations, half for each stage, on one batch of real pixels."""

import cv2
import numpy as np
import torch
from basicsr.models import build_model

import restoreformer.plugin  # noqa: F401
from restoreformer.archs.checkpoint import save_checkpoint
from restoreformer.images import to_tensor

NET = {
    "n_embed": 256,
    "embed_dim": 32,
    "z_channels": 32,
    "ch": 32,
    "ch_mult": [1, 2],
    "num_res_blocks": 1,
    "attn_resolutions": [16],
    "resolution": 32,
    "head_size": 4,
}


def options(folder, model, arch, **train):
    return {
        "name": "overfit",
        "model_type": model,
        "num_gpu": 0,
        "dist": False,
        "is_train": True,
        "network_g": {"type": arch, **NET},
        "path": {"models": str(folder)},
        "train": {
            "optim_g": {"type": "Adam", "lr": 2e-3, "betas": [0.5, 0.9]},
            "scheduler": {"type": "MultiStepLR", "milestones": [60], "gamma": 0.25},
            "pixel_opt": {"type": "L1Loss"},
            **train,
        },
    }


def train(model, batch, iterations):
    """PSNR in dB of the first and of the last iteration, and the last log."""
    psnr = []
    model.feed_data(batch)
    for i in range(1, iterations + 1):
        model.update_learning_rate(i)
        model.optimize_parameters(i)
        mse = (model.output.clamp(-1, 1) - model.gt).square().mean() / 4
        psnr.append(-10 * torch.log10(mse).item())
    return psnr[0], psnr[-1], model.get_current_log()


def test_both_stages_overfit_one_batch(tmp_path, face):
    images = [np.roll(face, 10 * i, axis=0) for i in range(2)]
    gt = torch.stack([to_tensor(cv2.resize(i, (32, 32), interpolation=cv2.INTER_AREA)) for i in images])
    lq = torch.nn.functional.avg_pool2d(gt, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    losses = {"dictionary_opt": {"type": "DictionaryLoss"}, "commitment_opt": {"type": "CommitmentLoss"}}
    renewal = {"renewal_opt": {"start": "encoder", "interval": 10, "until": 40}}
    stage1 = build_model(options(tmp_path, "HQDictionaryModel", "HQDictionary", **losses, **renewal))
    first, last, log = train(stage1, {"lq": gt, "gt": gt}, 80)
    assert last > first + 5, (first, last)
    assert log["entries_in_use"] > 100
    save_checkpoint(tmp_path / "g.pth", stage1.net_g)

    opt = options(tmp_path, "RestoreFormerModel", "RestoreFormer", prior_opt={"type": "CommitmentLoss"})
    opt["path"]["pretrain_network_g"] = str(tmp_path / "g.pth")
    first, last, _ = train(build_model(opt), {"lq": lq, "gt": gt}, 80)
    assert last > first + 5, (first, last)
