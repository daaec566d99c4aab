"""Every shipped option file trains or tests for a step, with its own networks and losses, on small images.

Only what a machine without FFHQ cannot have is replaced: where the data are, their size, the batch
size, and the weights of networks that losses use.
"""

import math
from pathlib import Path

import pytest
import torch
from basicsr.data import build_dataloader, build_dataset
from basicsr.models import build_model
from test_options import SHIPPED, load

from restoreformer.archs.checkpoint import save_checkpoint
from restoreformer.models.face_model import FaceModel

ROOT = Path(__file__).parents[1]


def adapted(path, folder, images, data, boxes):
    """The option file as BasicSR's parser would complete it, on the test's data."""
    opt = load(path)
    opt |= {"dist": False, "rank": 0, "world_size": 1, "num_gpu": 0, "is_train": "train" in opt}
    # 64 suits the full network, whose sides are multiples of 32.
    for phase, block in opt["datasets"].items():
        block["phase"] = phase.split("_")[0]
        if block["type"] != "BlindFaceDataset":
            # BasicSR's own, which read folders.
            block |= {key: str(images) for key in block if key.startswith("dataroot_")} | {"scale": opt["scale"]}
            continue
        block |= {"dataroot_gt": str(data), "gt_size": 64, "skip_images": 0, "num_images": 2}
        block |= {"batch_size_per_gpu": 2} if phase == "train" else {}
        if "component_path" in block:
            block["component_path"] = str(boxes)
    for key in ("pretrain_network_g", "pretrain_network_d", "pretrain_encoder"):
        if opt["path"].get(key):
            opt["path"][key] = "none"
    opt["path"] |= {"models": str(folder), "training_states": str(folder)}
    for block in opt.get("train", {}).values():
        if isinstance(block, dict) and "weights" in block:
            block["weights"] = "none"
    for block in opt.get("val", {}).get("metrics", {}).values():
        if block["type"] == "calculate_fid":
            # Random, which Inception's class cannot be.
            block |= {"network": "mobilenet_v2", "reference": str(images)}
        if block["type"] not in ("calculate_psnr", "calculate_ssim"):
            block["weights"] = "none"
    return opt


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_step(path, tmp_path, faces_folder, faces_lmdb, boxes_file):
    opt = adapted(path, tmp_path, faces_folder, faces_lmdb, boxes_file)
    model: FaceModel = build_model(opt)
    datasets = [build_dataset(block) for block in opt["datasets"].values()]
    batches = [torch.utils.data.default_collate([data[0], data[1]]) for data in datasets]
    assert all(-1 <= batch["lq"].min() < 0 < batch["lq"].max() <= 1 for batch in batches)
    model.feed_data(batches[0])
    if not opt["is_train"]:
        model.test()
        assert model.get_current_visuals()["result"].shape == (2, 3, 64, 64)
        model.opt["val"]["save_img"] = False
        model.validation(build_dataloader(datasets[0], opt["datasets"].popitem()[1]), 0, None)
        assert all(map(math.isfinite, model.metric_results.values()))
        assert model.metric_results.keys() == opt["val"]["metrics"].keys()
        return
    start = max(1, model.gan_start_iter)
    model.optimize_parameters(start)
    log = model.get_current_log()
    expected = {f"l_{n}" for n in ("pix", "percep", "identity", "prior", "dict", "commit", "g_gan", "d")} & log.keys()
    configured = {k for k in opt["train"] if k.endswith("_opt")}
    assert len([k for k in log if k.startswith("l_")]) >= len(configured - {"renewal_opt"})
    assert expected and all(torch.isfinite(torch.tensor(v)) for v in log.values())
    # What stage 1 writes is what stage 2's file asks for.
    if path.stem == "train_dictionary":
        save_checkpoint(tmp_path / "g.pth", model.net_g)
        later = adapted(path.with_name("train_restoreformer.yml"), tmp_path, faces_folder, faces_lmdb, boxes_file)
        later["path"]["pretrain_network_g"] = str(tmp_path / "g.pth")
        later["train"] = {k: v for k, v in later["train"].items() if k not in ("perceptual_opt", "identity_opt")}
        del model
        build_model(later)
