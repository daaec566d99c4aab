"""What a training writes about itself into its networks' files."""

import copy

import pytest
from basicsr.models import build_model

from restoreformer.archs.about import About
from restoreformer.archs.checkpoint import read_checkpoint
from restoreformer.tensor_files import read_tensors


def saved(opt, batch, tmp_path, iteration):
    model = build_model(opt)
    model.feed_data(batch)
    model.optimize_parameters(iteration)
    model.save(0, iteration)
    model.save_training_state(0, iteration)
    return About.read(read_checkpoint(tmp_path / "models" / f"net_g_{iteration}.pth").config["about"], "net_g")


@pytest.fixture
def opt(stage1, faces_folder):
    block = {"name": "four", "type": "BlindFaceDataset", "dataroot_gt": str(faces_folder), "gt_size": 32}
    stage1["datasets"] = {"train": block}
    return stage1


def test_faces_are_counted(opt, batch, tmp_path):
    assert saved(opt, batch, tmp_path, 3) == About({"four": 4}, 2, 32)
    opt["datasets"]["train"] |= {"skip_images": 1, "num_images": 2}
    assert saved(opt, batch, tmp_path, 4).trained_on == {"four": 2}


def test_what_it_started_from_is_kept_also_when_it_resumes(opt, batch, tmp_path):
    first = saved(opt, batch, tmp_path, 3)
    tuned = copy.deepcopy(opt)
    tuned["path"]["pretrain_network_g"] = str(tmp_path / "models" / "net_g_3.pth")
    assert saved(tuned, batch, tmp_path, 5) == About({"four": 4}, 2, 32, started_from=first.stored())
    tuned["path"] |= {"pretrain_network_g": str(tmp_path / "models" / "net_g_5.pth"), "resume_state": "5.state"}
    model = build_model(tuned)
    model.resume_training(read_tensors(tmp_path / "states" / "5.state"))
    assert model.about() == About({"four": 4}, 2, 32, started_from=first.stored()), "also before it trains again"
    model.feed_data(batch)
    model.optimize_parameters(6)
    assert model.about() == About({"four": 4}, 4, 32, started_from=first.stored())


def test_the_option_file_has_the_last_word(opt, batch, tmp_path):
    opt["about"] = {"note": "Mine.", "color_fix": "low", "trained_on": {"all": 70_000}}
    assert saved(opt, batch, tmp_path, 1) == About({"all": 70_000}, 2, 32, "low", "Mine.")
