"""BasicSR's stock pipelines, run as a user runs them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import torch
import yaml

from restoreformer.archs.checkpoint import save_checkpoint
from restoreformer.archs.restoreformer_arch import RestoreFormer

ROOT = Path(__file__).parents[1]
LOSSES = {"pixel_opt": {"type": "L1Loss"}, "gan_opt": {"type": "GANLoss", "gan_type": "vanilla", "loss_weight": 0.1}}
ADAM = {"type": "Adam", "lr": 0.001}
REGIONS = ("left_eye", "right_eye", "mouth")


@pytest.fixture
def root(tmp_path):
    """A checkout of its own, so that experiments and results land in a temporary folder."""
    shutil.copytree(ROOT / "basicsr", tmp_path / "basicsr")
    (tmp_path / "src").symlink_to(ROOT / "src")
    return tmp_path


@pytest.fixture
def opts(small_net, faces_lmdb, boxes_file):
    data = {"name": "faces", "type": "BlindFaceDataset", "dataroot_gt": str(faces_lmdb), "gt_size": 32}
    loader = {"num_worker_per_gpu": 1, "batch_size_per_gpu": 2, "use_hflip": True}
    degradation = {"blur_sigma": [0.2, 1.0], "downsample": [1.0, 2.0], "noise": [0.0, 5.0], "jpeg": [60.0, 100.0]}
    metrics = {m: {"type": f"calculate_{m}", "crop_border": 0, "test_y_channel": False} for m in ("psnr", "ssim")}
    train = {
        "optim_g": dict(ADAM),
        "optim_d": dict(ADAM),
        "scheduler": {"type": "MultiStepLR", "milestones": [3], "gamma": 0.1},
        "total_iter": 4,
        **LOSSES,
    }
    stage1 = {
        "name": "stage1",
        "model_type": "HQDictionaryModel",
        "num_gpu": "auto",
        "manual_seed": 0,
        "datasets": {"train": {**data, **loader}, "val": dict(data)},
        "network_g": {"type": "HQDictionary", **small_net},
        "network_d": {"type": "PatchDiscriminator", "ndf": 8, "n_layers": 2},
        "path": {"resume_state": None},
        "train": {
            **train,
            "dictionary_opt": {"type": "DictionaryLoss"},
            "commitment_opt": {"type": "CommitmentLoss"},
            "renewal_opt": {"start": "encoder", "interval": 2},
        },
        "val": {"val_freq": 2, "save_img": False, "metrics": metrics},
        "logger": {"print_freq": 1, "save_checkpoint_freq": 2, "use_tb_logger": True},
    }
    stage2 = {
        **stage1,
        "name": "stage2",
        "model_type": "RestoreFormerModel",
        "datasets": {
            "train": {**data, **loader, "degradation": degradation, "component_path": str(boxes_file)},
            "val": {**data, "degradation": degradation},
        },
        "network_g": {"type": "RestoreFormer", **small_net},
        **{f"network_d_{r}": {"type": "ComponentDiscriminator"} for r in REGIONS},
        "path": {"pretrain_network_g": "experiments/stage1/models/net_g_latest.pth", "resume_state": None},
        "train": {
            **train,
            "optim_component": dict(ADAM),
            "prior_opt": {"type": "CommitmentLoss"},
            "component_gan_opt": {"type": "GANLoss", "gan_type": "vanilla"},
            "component_style_opt": {"type": "GramStyleLoss"},
        },
    }
    test = {
        **{k: stage2[k] for k in ("model_type", "num_gpu", "manual_seed", "network_g")},
        "name": "test",
        "datasets": {"test": {**data, "degradation": degradation}},
        "path": {"pretrain_network_g": "experiments/stage2/models/net_g_latest.pth"},
        "val": {"save_img": True, "suffix": None, "metrics": metrics},
    }
    return {"stage1": stage1, "stage2": stage2, "test": test}


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
LAUNCHER = ("--launcher", "pytorch")


def command(root, opt, *arguments, script="train"):
    (root / "opt.yml").write_text(opt if isinstance(opt, str) else yaml.safe_dump(opt, sort_keys=False))
    return f"basicsr/{script}.py", "-opt", "opt.yml", *arguments


def started(root, *words, on_cpu=False):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    if on_cpu:
        # And in one thread, as torchrun has it: another number rounds otherwise.
        environment |= {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    python = [sys.executable, "-W", "ignore", *words]
    return subprocess.run(python, cwd=root, capture_output=True, text=True, env=environment, timeout=300)


def run(forks, root, opt, *arguments, **script):
    return forks.run(*command(root, opt, *arguments, **script), folder=root, PYTHONPATH="")


def passed(done):
    assert done.returncode == 0, done.stderr + done.stdout[-3000:]
    return done.stdout + done.stderr


def test_both_stages_train_resume_and_test(forks, root, opts):
    log = passed(started(root, *command(root, opts["stage1"])))
    assert "The dictionary starts from encoder outputs" in log and len(re.findall("l_dict: ", log)) == 4
    models = root / "experiments" / "stage1" / "models"
    assert {p.name for p in models.iterdir()} == {f"net_{n}_{i}.pth" for n in "gd" for i in (2, 4, "latest")}

    log = passed(run(forks, root, opts["stage2"]))
    assert "Loaded RestoreFormer from experiments/stage1/models/net_g_latest.pth" in log
    assert "psnr" in log and "l_g_style_mouth" in log
    models = root / "experiments" / "stage2" / "models"
    nets = ["g", "d", *(f"d_{r}" for r in REGIONS)]
    assert {p.name for p in models.iterdir()} == {f"net_{n}_{i}.pth" for n in nets for i in (2, 4, "latest")}
    content = torch.load(models / "net_g_latest.pth", weights_only=True)
    assert content["config"]["type"] == "RestoreFormer" and content["config"]["head_size"] == 4

    # Resumed from iteration 2 without a GPU, and on to one beyond where it ended.
    states = root / "experiments" / "stage2" / "training_states"
    (states / "4.state").unlink()
    opts["stage2"]["train"]["total_iter"] = 5
    log = passed(run(forks, root, opts["stage2"], "--auto_resume"))
    assert re.search(r"Resuming training from epoch: \d+, iter: 2\.", log)
    for net in nets:
        assert f"net_{net}_2.pth" in log
    assert len(re.findall(r"iter: +\d+, lr", log)) == 3

    # A state cut short is passed over, which the log tells.
    (states / "9.state").write_bytes((states / "2.state").read_bytes()[:-100])
    (states / "4.state").unlink()
    log = passed(run(forks, root, opts["stage2"], "--auto_resume"))
    assert "9.state, got one that is cut short" in log and re.search(
        r"Resuming training from epoch: \d+, iter: 2\.", log
    )

    log = passed(run(forks, root, opts["test"], script="test"))
    assert re.search(r"# psnr: \d+\.\d+", log) and re.search(r"# ssim: -?\d\.\d+", log)
    saved = sorted((root / "results" / "test" / "visualization" / "faces").iterdir())
    assert [p.name for p in saved] == [f"{i:05d}_test.png" for i in range(4)]
    assert cv2.imread(str(saved[0])).shape == (32, 32, 3)


def same(a, b):
    """Whether two checkpoints hold the same, to the last bit."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(v, b[k]) for k, v in a.items())
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if torch.is_tensor(a) else a == b


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_a_resumed_training_is_an_uninterrupted_one(forks, root, opts, stage):
    """From the midst of an epoch of three iterations, and from its end."""

    def trained(*words):
        # Otherwise MKL's sums differ from run to run where there are several threads.
        return passed(forks.run(*command(root, opt, *words), folder=root, PYTHONPATH="", MKL_CBWR="COMPATIBLE"))

    opt = opts[stage]
    opt["datasets"]["train"] |= {"batch_size_per_gpu": 1, "num_images": 3}
    opt["train"] |= {"total_iter": 6, "ema_decay": 0.9}
    opt["logger"] |= {"save_checkpoint_freq": 1, "use_tb_logger": False}
    opt["val"]["val_freq"] = 1
    if stage == "stage1":
        # Its counts are of three iterations, and the third one redraws.
        opt["train"]["renewal_opt"]["interval"] = 3
    else:
        opt["path"]["pretrain_network_g"] = "none"
    trained()
    folder = root / "experiments" / stage
    read = lambda kind, name: torch.load(folder / kind / name, weights_only=True)  # noqa: E731
    nets = {p.name for p in (folder / "models").glob("*_6.pth")}
    expected = {name: read("models", name) for name in nets}
    state, best = read("training_states", "6.state"), (folder / "training_states" / "6.best_metrics.json").read_text()
    assert state["epoch"] == 1 and len(nets) == (2 if stage == "stage1" else 5)
    for iteration in (3, 2):
        for later in range(iteration + 1, 7):
            (folder / "training_states" / f"{later}.state").unlink()
        log = trained("--auto_resume")
        assert f"iter: {iteration}." in log and len(re.findall(r"iter: +\d+, lr", log)) == 6 - iteration
        for name, content in expected.items():
            assert same(content, read("models", name)), name
        resumed = read("training_states", "6.state")
        assert best == (folder / "training_states" / "6.best_metrics.json").read_text()
        for part in ("epoch", "iter", "optimizers", "schedulers"):
            assert same(state[part], resumed[part]), part
        assert same(state["processes"][0]["parts"], resumed["processes"][0]["parts"])


def test_two_processes_without_a_gpu(root, opts, small_net):
    """torchrun and gloo; the dataset's workers are spawned, as with GPUs."""
    # Spawned once, not in each epoch.
    opts["stage1"]["datasets"]["train"]["persistent_workers"] = True
    log = passed(started(root, *TORCHRUN, *command(root, opts["stage1"], *LAUNCHER), on_cpu=True))
    # Four images, two for each process.
    assert "Require iter number per epoch: 1" in log and len(re.findall("l_dict: ", log)) == 4
    # Of a network whose file is read, so that all processes have the same.
    save_checkpoint(root / "net.pth", RestoreFormer(**small_net))
    opts["test"]["path"]["pretrain_network_g"] = "net.pth"
    figures = {}
    for name, launcher, starter in (("one", (), ()), ("two", LAUNCHER, TORCHRUN)):
        opts["test"]["name"] = name
        log = passed(started(root, *starter, *command(root, opts["test"], *launcher, script="test"), on_cpu=True))
        figures[name] = re.findall(r"# (\w+): (\S+)", log)
    assert figures["one"] == figures["two"] and len(figures["one"]) == 2
    one, two = (sorted((root / "results" / n / "visualization" / "faces").iterdir()) for n in figures)
    assert len(two) == 4
    for a, b in zip(one, two, strict=True):
        assert (cv2.imread(str(a)) == cv2.imread(str(b))).all()


def failed_in_one_line(done):
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 1 and "Traceback" not in done.stderr + done.stdout, done.stderr
    assert lines[-1].startswith("error: ") or lines[0].startswith("error: "), done.stderr
    return done.stderr


def test_what_a_user_can_mend_ends_in_one_line(forks, root, opts, tmp_path):
    wrong = {**opts["stage1"], "train": {**opts["stage1"]["train"], "dictionry_opt": {"type": "DictionaryLoss"}}}
    error = failed_in_one_line(run(forks, root, wrong))
    assert "train: dictionry_opt is not an option: did you mean dictionary_opt?" in error
    assert not (root / "experiments").exists(), "nothing is begun"

    for text, told in {
        "name: x\ndataset: {}\nmodel_type: HQDictionaryModel": "dataset is not an option: did you mean datasets",
        "name: [": "Expected an option file at opt.yml, could not read it",
        "hello": "Expected a block of options in opt.yml, got str",
    }.items():
        assert told in failed_in_one_line(run(forks, root, text))

    missing = {**opts["test"], "datasets": {"test": {**opts["test"]["datasets"]["test"], "dataroot_gt": "no.lmdb"}}}
    assert "Expected an LMDB at no.lmdb, found nothing. Pack" in failed_in_one_line(
        run(forks, root, missing, script="test")
    )

    assert "Expected a network file at experiments/stage2/models/net_g_latest.pth, found none." in failed_in_one_line(
        run(forks, root, opts["test"], script="test")
    )


def test_a_bad_image_in_a_worker_and_missing_weights_of_a_loss(forks, root, opts, tmp_path, faces_folder):
    images = tmp_path / "images"
    shutil.copytree(faces_folder, images)
    for path in images.iterdir():
        path.write_bytes(b"broken")
    opts["stage1"]["datasets"]["train"]["dataroot_gt"] = str(images)
    error = failed_in_one_line(run(forks, root, opts["stage1"]))
    assert re.search(
        rf"error: Expected an image under 0000\d in {images}, got 6 bytes that are none\. Bad images so far: \d of 4, ",
        error.strip(),
    )

    opts["stage1"]["train"]["perceptual_opt"] = {"type": "VGG19PerceptualLoss", "weights": "nowhere.pth"}
    assert "Expected a network file at nowhere.pth, found none." in failed_in_one_line(run(forks, root, opts["stage1"]))
