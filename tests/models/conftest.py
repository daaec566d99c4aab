"""Models without the pipeline: a parsed option file and batches made by hand."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

import restoreformer.plugin  # noqa: F401

NET_D = {"type": "PatchDiscriminator", "ndf": 8, "n_layers": 2}


def base(path: Path, model: str, arch: str, small_net: dict[str, Any]) -> dict[str, Any]:
    for folder in ("models", "states"):
        (path / folder).mkdir()
    return {
        "name": "test",
        "model_type": model,
        "num_gpu": 0,
        "dist": False,
        "rank": 0,
        "world_size": 1,
        "is_train": True,
        "network_g": {"type": arch, **small_net},
        "network_d": dict(NET_D),
        "path": {"models": str(path / "models"), "training_states": str(path / "states")},
        "train": {
            "optim_g": {"type": "Adam", "lr": 1e-3},
            "optim_d": {"type": "Adam", "lr": 1e-3},
            "scheduler": {"type": "MultiStepLR", "milestones": [1000], "gamma": 0.1},
            "pixel_opt": {"type": "L1Loss", "loss_weight": 1.0},
            "gan_opt": {"type": "GANLoss", "gan_type": "vanilla", "loss_weight": 0.1},
        },
    }


@pytest.fixture
def stage1(tmp_path: Path, small_net: dict[str, Any]) -> dict[str, Any]:
    opt = base(tmp_path, "HQDictionaryModel", "HQDictionary", small_net)
    opt["train"] |= {"dictionary_opt": {"type": "DictionaryLoss"}, "commitment_opt": {"type": "CommitmentLoss"}}
    return copy.deepcopy(opt)


@pytest.fixture
def stage2(tmp_path: Path, small_net: dict[str, Any]) -> dict[str, Any]:
    opt = base(tmp_path, "RestoreFormerModel", "RestoreFormer", small_net)
    opt["path"]["pretrain_network_g"] = "none"
    opt |= {f"network_d_{r}": {"type": "ComponentDiscriminator"} for r in ("left_eye", "right_eye", "mouth")}
    opt["train"] |= {
        "optim_component": {"type": "Adam", "lr": 1e-3},
        "prior_opt": {"type": "CommitmentLoss"},
        "identity_opt": {"type": "ArcFaceIdentityLoss", "network": "mobilefacenet", "weights": "none"},
        "component_gan_opt": {"type": "GANLoss", "gan_type": "vanilla"},
        "component_style_opt": {"type": "GramStyleLoss"},
    }
    return copy.deepcopy(opt)


@pytest.fixture
def batch() -> dict[str, Any]:
    gt = torch.rand(2, 3, 32, 32) * 2 - 1
    boxes = {
        "left_eye": [8.0, 10.0, 16.0, 18.0],
        "right_eye": [17.0, 10.0, 25.0, 18.0],
        "mouth": [10.0, 19.0, 24.0, 30.0],
    }
    return {
        "lq": (gt + 0.1 * torch.randn_like(gt)).clamp(-1, 1),
        "gt": gt,
        "lq_path": ["a", "b"],
        **{f"loc_{k}": torch.tensor([v, v]) for k, v in boxes.items()},
    }
