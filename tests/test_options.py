"""Every shipped option file is held against what reads it, and so is every way to get one wrong."""

import copy
from pathlib import Path

import pytest
import yaml
from basicsr.utils.options import ordered_yaml

import restoreformer.plugin  # noqa: F401
from restoreformer.datasets.degradation import PRESETS, build_degradation
from restoreformer.errors import RestoreFormerError
from restoreformer.options import check_folders, check_options, read_options

ROOT = Path(__file__).parents[1]
SHIPPED = sorted((ROOT / "options").rglob("*.yml"))


def load(path):
    return yaml.load(path.read_text(), Loader=ordered_yaml()[0])


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: str(p.relative_to(ROOT)))
def test_shipped_files_are_right(path):
    check_options(load(path))
    assert load(path) == yaml.safe_load(path.read_text())
    text = path.read_text()
    script = "test.py" if path.stem.startswith("test") else "train.py"
    assert f"python basicsr/{script} -opt {path.relative_to(ROOT)}" in text, "begins with the command that runs it"


def test_the_papers_settings():
    """Sec. 4.1 and 4.2."""
    one, two = (load(ROOT / "options" / f"train_{s}.yml") for s in ("dictionary", "restoreformer"))
    for opt in (one, two):
        assert opt["datasets"]["train"]["batch_size_per_gpu"] == 16
        assert opt["datasets"]["train"]["gt_size"] == 512
        assert (opt["network_g"]["n_embed"], opt["network_g"]["embed_dim"]) == (1024, 256)
        assert opt["train"]["perceptual_opt"]["loss_weight"] == 1.0
        assert opt["train"]["gan_opt"]["loss_weight"] == 0.8
    assert one["train"]["optim_g"]["lr"] == 7e-5 and two["train"]["optim_g"]["lr"] == 7e-6
    assert one["train"]["scheduler"]["milestones"] == [600_000] and one["train"]["scheduler"]["gamma"] == 0.1
    assert one["train"]["total_iter"] == 800_000 and two["train"]["total_iter"] == 60_000
    assert one["train"]["dictionary_opt"]["loss_weight"] == 1.0
    assert one["train"]["commitment_opt"]["loss_weight"] == 0.25
    weights = {"prior": 0.25, "component_gan": 1.0, "component_style": 2000, "identity": 1.5}
    assert all(two["train"][f"{k}_opt"]["loss_weight"] == w for k, w in weights.items())
    for opt in (one, two):
        assert opt["train"]["perceptual_opt"] | {"weights": 0} == {
            "type": "VGG19PerceptualLoss",
            "loss_weight": 1.0,
            "criterion": "l2",
            "weights": 0,
        }
        assert opt["train"]["gan_opt"]["gan_type"] == "vanilla" and "adaptive_gan_weight" not in opt["train"]
        assert opt["train"]["pixel_opt"] == {"type": "L1Loss", "loss_weight": 1.0}
    assert (one["network_g"]["type"], two["network_g"]["type"]) == ("HQDictionaryPaper", "RestoreFormerPaper")
    assert one["train"]["renewal_opt"] == {"start": "uniform", "interval": 0}, "the paper's start"
    assert two["network_g"]["fusion"] == "mhca-p" and two["train"]["scheduler"]["gamma"] == 1.0
    assert two["train"]["component_gan_opt"]["gan_type"] == "vanilla"
    assert two["train"]["component_style_opt"]["criterion"] == two["train"]["identity_opt"]["criterion"] == "l2"
    assert "layer_weights" not in two["train"]["component_style_opt"]
    degradation = two["datasets"]["train"]["degradation"]
    ranges = {"blur_sigma": [0.2, 10], "downsample": [1, 8], "noise": [0, 20], "jpeg": [60, 100]}
    assert {k: degradation[k] for k in ranges} == ranges and "anisotropic" not in degradation


def test_the_released_settings():
    """Of the released configuration, at 16 images an iteration."""
    one, two = (load(ROOT / "options" / f"train_{s}_released.yml") for s in ("dictionary", "restoreformer"))
    assert (one["network_g"]["type"], two["network_g"]["type"]) == ("HQDictionary", "RestoreFormer")
    sizes = {"n_embed": 1024, "embed_dim": 256, "z_channels": 256, "ch": 64, "ch_mult": [1, 2, 2, 4, 4, 8]}
    sizes |= {"num_res_blocks": 2, "attn_resolutions": [16], "resolution": 512, "head_size": 8}
    both = {
        "pixel_opt": {"type": "L1Loss", "loss_weight": 1.0},
        "gan_opt": {"type": "GANLoss", "gan_type": "hinge", "loss_weight": 0.8},
        "adaptive_gan_weight": True,
        "optim_g": {"type": "Adam", "lr": 16 * 4.5e-6, "betas": [0.5, 0.9]},
        "optim_d": {"type": "Adam", "lr": 16 * 4.5e-6, "betas": [0.5, 0.9]},
    }
    lpips = {"type": "LPIPSLoss", "loss_weight": 1.0, "weights": "vgg16-397923af.pth"}
    first = {
        "perceptual_opt": lpips,
        "dictionary_opt": {"type": "DictionaryLoss", "loss_weight": 0.25},
        "commitment_opt": {"type": "CommitmentLoss", "loss_weight": 1.0},
        "gan_start_iter": 30001,
        "scheduler": {"type": "MultiStepLR", "milestones": [400_000, 800_000], "gamma": 0.1},
    }
    style = {"type": "GramStyleLoss", "loss_weight": 2000, "criterion": "l1", "layer_weights": [0.5, 1.0]}
    second = {
        "perceptual_opt": {**lpips, "style_weight": 1e9},
        "prior_opt": {"type": "CommitmentLoss", "loss_weight": 1.0},
        "component_gan_opt": {"type": "GANLoss", "gan_type": "vanilla", "loss_weight": 1.5},
        "component_style_opt": style,
        "gan_start_iter": 10001,
        "identity_start_iter": 10001,
        "attention_lr_factor": 10.0,
        "optim_component": {"type": "Adam", "lr": 10 * 16 * 4.5e-6, "betas": [0.9, 0.99]},
        "scheduler": {"type": "MultiStepLR", "milestones": [4_000_000, 8_000_000], "gamma": 0.1},
    }
    for opt, expected in ((one, {**both, **first}), (two, {**both, **second})):
        assert {k: v for k, v in opt["network_g"].items() if k != "type"} == sizes
        assert {k: opt["train"][k] for k in expected} == expected
    identity = two["train"]["identity_opt"]
    assert (identity["loss_weight"], identity["criterion"]) == (3.0, "l1")
    degradation = {"blur_sigma": [0.1, 10.0], "downsample": [0.8, 8.0], "noise": [0.0, 20.0], "jpeg": [60.0, 100.0]}
    degradation |= {"blur_kernel_size": [39, 41], "anisotropic": 0.5}
    assert two["datasets"]["train"]["degradation"] == degradation


@pytest.fixture
def opt():
    return copy.deepcopy(load(ROOT / "options" / "train_restoreformer_released.yml"))


@pytest.mark.parametrize(
    "block, key, nearest",
    [
        ((), "modle_type", "model_type"),
        ((), "network_d_left_eyes", "network_d_left_eye"),
        (("network_g",), "n_embeds", "n_embed"),
        (("network_d",), "n_layer", "n_layers"),
        (("datasets", "train"), "gt_sise", "gt_size"),
        (("datasets", "train"), "num_workers_per_gpu", "num_worker_per_gpu"),
        (("datasets", "train", "degradation"), "blur_sigmas", "blur_sigma"),
        (("path",), "pretrain_network_G", "pretrain_network_g"),
        (("train",), "totl_iter", "total_iter"),
        (("train",), "identiy_opt", "identity_opt"),
        (("train", "optim_g"), "beta", "betas"),
        (("train", "scheduler"), "milestone", "milestones"),
        (("train", "pixel_opt"), "loss_wieght", "loss_weight"),
        (("train", "identity_opt"), "weight", "weights"),
        (("train", "gan_opt"), "gan_typ", "gan_type"),
        (("logger",), "print_frq", "print_freq"),
    ],
)
def test_a_misspelt_key_is_named_with_the_nearest(opt, block, key, nearest):
    target = opt
    for name in block:
        target = target[name]
    target[key] = 1
    with pytest.raises(RestoreFormerError, match=rf"{key} is not an option: did you mean {nearest}\?"):
        check_options(opt)


@pytest.mark.parametrize(
    "block, name, nearest",
    [
        (("network_g",), "RestoreFormr", "RestoreFormer"),
        (("datasets", "train"), "BlindFacesDataset", "BlindFaceDataset"),
        (("train", "identity_opt"), "ArcFaceIdentiyLoss", "ArcFaceIdentityLoss"),
        (("train", "scheduler"), "MultiStepLr", "MultiStepLR"),
    ],
)
def test_a_misspelt_type_too(opt, block, name, nearest):
    target = opt
    for part in block:
        target = target[part]
    target["type"] = name
    with pytest.raises(RestoreFormerError, match=rf"type: {name} is not registered: did you mean {nearest}\?"):
        check_options(opt)


def test_a_misspelt_model_type(opt):
    opt["model_type"] = "RestoreFormerModell"
    with pytest.raises(RestoreFormerError, match="did you mean RestoreFormerModel"):
        check_options(opt)


def test_numbers_that_yaml_reads_as_text(opt):
    opt["train"]["optim_g"] = yaml.safe_load("{type: Adam, lr: 7e-5}")
    assert opt["train"]["optim_g"]["lr"] == "7e-5"
    with pytest.raises(RestoreFormerError, match=r"train: optim_g: lr is the text '7e-5', not a number: .* 7\.0e-05"):
        check_options(opt)
    assert yaml.safe_load("7.0e-05") == 7e-5


def test_all_that_is_wrong_is_told_at_once(opt):
    opt["train"]["a_key"] = 1
    opt["datasets"]["train"]["dataroot_gt"] = None
    opt["network_g"]["another"] = 1
    with pytest.raises(RestoreFormerError) as caught:
        check_options(opt)
    text = str(caught.value)
    assert "train: a_key" in text and "dataroot_gt is missing" in text and "network_g: another" in text


@pytest.mark.parametrize(
    "block, key, told",
    [
        ((), "network_g", "the option file: network_g is missing"),
        ((), "name", "the option file: name is missing"),
        ((), "logger", "logger: print_freq is missing"),
        ((), "network_d_mouth", "go together, but there is only network_d_left_eye, network_d_right_eye"),
        (("datasets", "train"), "batch_size_per_gpu", "datasets: train: batch_size_per_gpu is missing"),
        (("datasets", "train"), "component_path", "component_path is missing, which the component discriminators need"),
        (("train",), "scheduler", "train: scheduler is missing"),
        (("train",), "optim_component", "train: optim_component is missing, which network_d_left_eye needs"),
        (("train",), "gan_opt", "train: gan_opt is missing, which network_d needs"),
        (("train", "optim_g"), "lr", "train: optim_g: lr is missing"),
        (("train", "gan_opt"), "gan_type", "train: gan_opt: gan_type is missing"),
        (("train", "scheduler"), "milestones", "train: scheduler: milestones is missing"),
    ],
)
def test_what_is_missing_is_told(opt, block, key, told):
    target = opt
    for name in block:
        target = target[name]
    del target[key]
    with pytest.raises(RestoreFormerError, match=told):
        check_options(opt)


@pytest.mark.parametrize(
    "block, key, value, told",
    [
        ((), "network_g", "RestoreFormer", "network_g is 'RestoreFormer', where a block of options is expected"),
        (("network_g",), "type", "HQDictionary", "type is HQDictionary: RestoreFormerModel trains RestoreFormer"),
        (("network_g",), "attn_resolutions", [17], r"network_g: Expected attn_resolutions among \[16\]"),
        (("network_g",), "head_size", 7, "network_g: Expected heads"),
        (("datasets", "train"), "gt_size", 500, "gt_size is 500: network_g takes multiples of 32"),
        (("datasets", "train"), "degradation", 5, "degradation is 5: expected a block of options"),
        (("datasets",), "trian", {}, "datasets: trian is not a phase: did you mean train"),
        (("train", "optim_g"), "type", "AdamW", "type AdamW is not an optimizer that BasicSR knows: Adam"),
        (("train",), "pixel_opt", 1, "train: pixel_opt is 1, where a block of options is expected"),
        (("logger",), "print_freq", "1e2", "logger: print_freq is the text '1e2', not a number: YAML wants it as 100"),
        ((), "path", None, "path is None, where a block of options is expected"),
        ((), "network_d", None, "train: gan_opt is given, but there is no network_d for it"),
        ((), "network_d", None, "path: pretrain_network_d is given, but there is no network_d"),
        (("path",), "pretrain_network_g", None, "name the file of stage 1, or write none for a random dictionary"),
        (("train",), "gan_start_iter", None, "train: gan_start_iter is empty: expected a whole number of 1"),
        (("train",), "ema_decay", None, "train: ema_decay is empty"),
        (("train",), "total_iter", 2.5, "train: total_iter is 2.5: expected a whole number of 1 or more"),
        (("train", "scheduler"), "milestones", 5, "milestones is 5: expected a list of iterations"),
        (("train", "gan_opt"), "gan_type", "vanila", "train: gan_opt: GAN type vanila is not implemented"),
        (("train", "pixel_opt"), "reduction", "avg", "train: pixel_opt: Unsupported reduction mode: avg"),
        (("train", "component_style_opt"), "criterion", "l3", "component_style_opt: Expected criterion l1 or l2"),
        (("datasets",), "test", {}, "datasets: test is not for training"),
        ((), "name", 128, "name is 128: expected text"),
        ((), "num_gpu", "autoo", "num_gpu is 'autoo': expected auto or a whole number of 0 or more"),
        (("datasets", "train"), "prefetch_mode", "cpu", "prefetch_mode is cpu: expected cuda, or ~ for none"),
        (("datasets", "train"), "num_worker_per_gpu", 0, "persistent_workers is on, but there are no workers"),
        (
            ("datasets", "train"),
            "batch_size_per_gpu",
            0,
            "batch_size_per_gpu is 0: expected a whole",
        ),
        (("datasets", "train"), "skip_images", -3, "skip_images is -3: expected a whole number of 0 or more"),
        (("path",), "pretrain_encoder", "vgg19-dcbb9e9d.pth", "path: pretrain_encoder is not an option"),
        (("network_g",), "ch_mult", [], "network_g: Expected ch_mult of one level or more"),
        (("network_g",), "ch_mult", 4, "network_g: ch_mult is 4: expected a list of whole numbers"),
        (("network_g",), "n_embed", 64.5, "network_g: n_embed is 64.5: expected a whole number"),
        (("network_g",), "fusion", True, "network_g: fusion is True: expected text"),
        (("network_g",), "head_size", -8, "network_g: head_size is -8: expected 1 or more"),
        (("network_g",), "n_embed", -5, "network_g: n_embed is -5: expected 1 or more"),
        (("datasets", "train"), "eye_enlarge_ratio", -1, "eye_enlarge_ratio is -1: expected a number from 0.1 to 10"),
        ((), "dist_params", {"bakend": "nccl"}, "dist_params: bakend is not an option: did you mean backend"),
        ((), "dist_params", {"backend": "nccl", "port": 0}, "dist_params: port is 0: expected a number from 1"),
    ],
)
def test_what_cannot_be_is_told(opt, block, key, value, told):
    target = opt
    for name in block:
        target = target[name]
    target[key] = value
    with pytest.raises(RestoreFormerError, match=told):
        check_options(opt)


def test_a_file_that_trains_needs_its_block(opt):
    del opt["train"]
    with pytest.raises(RestoreFormerError, match="train is missing, which datasets: train is for"):
        check_options(opt)


@pytest.mark.parametrize(
    "key, value, told",
    [
        ("dataroot_lp", "x", "datasets: test: dataroot_lp is not an option: did you mean dataroot_lq"),
        ("io_backend", "disk", "datasets: test: io_backend is 'disk': expected a block of options"),
        ("io_backend", {"type": "dsik"}, "datasets: test: io_backend: type is dsik: expected disk, lmdb, memcached"),
        ("io_backend", {"typ": "disk"}, "datasets: test: io_backend: typ is not an option: did you mean type"),
        ("name", None, "datasets: test: name is missing"),
    ],
)
def test_blocks_of_basicsrs_datasets(key, value, told):
    opt = load(ROOT / "options" / "test_celeba.yml")
    opt["datasets"]["test"][key] = value
    with pytest.raises(RestoreFormerError, match=told):
        check_options(opt)


def test_pairs_need_a_scale():
    opt = load(ROOT / "options" / "test_celeba.yml")
    del opt["scale"]
    with pytest.raises(RestoreFormerError, match="scale is missing, which datasets: test needs: write 1"):
        check_options(opt)


def test_images_of_basicsrs_datasets_in_another_range_are_told():
    opt = load(ROOT / "options" / "test_celeba.yml")
    del opt["datasets"]["test"]["std"]
    with pytest.raises(
        RestoreFormerError, match=r"datasets: test: std is None: write \[0.5, 0.5, 0.5\], for images in"
    ):
        check_options(opt)


def test_faces_without_truths_and_metrics_that_compare_with_them():
    opt = load(ROOT / "options" / "test_real_world.yml")
    opt["val"]["metrics"] |= {"idd": {"type": "calculate_idd"}, "niqe": {"type": "calculate_niqe", "crop_border": 0}}
    with pytest.raises(
        RestoreFormerError, match="metrics: idd compares with truths, which datasets: test_1 has not: test it by"
    ):
        check_options(opt)
    del opt["val"]["metrics"]["idd"]
    check_options(opt)


def test_metrics_that_are_no_blocks_and_directions_that_are_none():
    opt = load(ROOT / "options" / "test_celeba.yml")
    opt["val"]["metrics"]["psnr"]["better"] = "sideways"
    with pytest.raises(RestoreFormerError, match="metrics: psnr: better is sideways: expected lower or higher"):
        check_options(opt)
    opt["val"]["metrics"] = ["psnr"]
    with pytest.raises(RestoreFormerError, match="where blocks of metrics by name are expected"):
        check_options(opt)


def test_options_without_the_networks_that_they_serve(opt):
    for region in ("left_eye", "right_eye", "mouth"):
        del opt[f"network_d_{region}"]
    with pytest.raises(RestoreFormerError) as caught:
        check_options(opt)
    for key in ("component_gan_opt", "component_style_opt", "optim_component"):
        assert f"train: {key} is given, but there is no network_d_left_eye or " in str(caught.value)


def test_a_test_needs_a_network():
    opt = load(ROOT / "options" / "test_restoreformer.yml")
    del opt["path"]["pretrain_network_g"]
    with pytest.raises(RestoreFormerError, match="name the network to test, or write none for a random one"):
        check_options(opt)


def test_whole_numbers_as_basicsrs_own_files_write_them(opt):
    opt["train"]["total_iter"] = yaml.safe_load("!!float 6e5")
    opt["logger"]["save_checkpoint_freq"] = yaml.safe_load("!!float 5e3")
    opt["train"]["scheduler"]["milestones"] = [yaml.safe_load("!!float 4e5")]
    check_options(opt)


def test_names_may_look_like_numbers(opt):
    opt["datasets"]["train"]["name"] = opt["name"] = "300"
    check_options(opt)


def test_a_test_file_needs_what_basicsr_reads_of_val():
    opt = load(ROOT / "options" / "test_restoreformer.yml")
    del opt["val"]["suffix"]
    del opt["val"]["metrics"]["psnr"]["crop_border"]
    with pytest.raises(
        RestoreFormerError, match="(?s)suffix is missing: write ~ for none.*psnr: crop_border is missing"
    ):
        check_options(opt)


def test_metrics_are_checked():
    opt = load(ROOT / "options" / "test_restoreformer.yml")
    opt["val"]["metrics"]["psnr"]["crop_boarder"] = 0
    with pytest.raises(RestoreFormerError, match="crop_boarder is not an option: did you mean crop_border"):
        check_options(opt)


def test_yaml_that_runs_code_is_refused(tmp_path):
    target = tmp_path / "ran"
    (tmp_path / "evil.yml").write_text(f"name: !!python/object/apply:os.mkdir ['{target}']")
    with pytest.raises(RestoreFormerError, match=r"Expected an option file at .*evil.yml, could not read it"):
        read_options(tmp_path / "evil.yml")
    assert not target.exists()


def test_other_peoples_models_are_left_alone():
    theirs = {"model_type": "SRModel", "whatever": 1, "network_g": {"type": "MSRResNet", "x": 1}, "train": {"y": 2}}
    check_options(theirs)


def test_a_fixed_encoders_weights_go_with_a_fixed_encoder():
    opt = load(ROOT / "options" / "train_dictionary.yml")
    opt["path"]["pretrain_encoder"] = "vgg19-dcbb9e9d.pth"
    with pytest.raises(RestoreFormerError, match="pretrain_encoder is given, but network_g has no fixed encoder"):
        check_options(opt)
    opt = load(ROOT / "options" / "ablation" / "recognition_dictionary.yml")
    opt["path"] |= {"pretrain_encoder": None, "pretrain_network_g": "none"}
    with pytest.raises(RestoreFormerError, match="pretrain_encoder is missing, which a fixed encoder needs"):
        check_options(opt)


def test_an_adaptive_weight_goes_with_a_discriminator():
    opt = load(ROOT / "options" / "train_dictionary_released.yml")
    del opt["network_d"], opt["train"]["gan_opt"], opt["train"]["optim_d"]
    with pytest.raises(RestoreFormerError, match="adaptive_gan_weight is given, but there is no network_d"):
        check_options(opt)


def test_folders_of_basicsrs_datasets_must_be_there(tmp_path):
    """Ours tell it themselves, with what to do."""
    opt = load(ROOT / "options" / "test_real_world.yml")
    opt["datasets"]["test_2"]["dataroot_lq"] = str(tmp_path)
    opt["datasets"]["test_4"] = {"type": "BlindFaceDataset", "dataroot_gt": "nowhere"}
    with pytest.raises(RestoreFormerError) as caught:
        check_folders(opt)
    lines = str(caught.value).splitlines()
    assert lines[1:-1] == [
        "  datasets: test_1: dataroot_lq: datasets/LFW-Test",
        "  datasets: test_3: dataroot_lq: datasets/WebPhoto-Test",
    ]
    check_folders({**opt, "model_type": "SRModel"})


@pytest.mark.parametrize("preset, files", [("paper", ("train_restoreformer", "test_restoreformer")),
                                           ("released", ("train_restoreformer_released",))])  # fmt: skip
def test_shipped_files_degrade_as_the_presets(preset, files):
    for file in files:
        block = next(iter(load(ROOT / "options" / f"{file}.yml")["datasets"].values()))
        written = build_degradation(block["degradation"], block["gt_size"])
        expected = PRESETS[preset]
        assert all(
            list(getattr(written, k)) == list(getattr(expected, k))
            for k in ("blur_sigma", "downsample", "noise", "jpeg")
        )
        sizes = written.blur_kernel_size
        assert sizes == expected.blur_kernel_size or tuple(sizes) == expected.blur_kernel_size
        assert (written.anisotropic, written.gray_prob, written.tone_prob, written.color_jitter_prob) == (
            expected.anisotropic, 0, 0, 0
        )  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "name: 2024-13-45",
        "name: !!int foo",
        "name: !!bool x",
        "name: !!timestamp x",
        f"name: {'9' * 5000}",
        f"name: {'[' * 3000}",
        f"name: {'[' * 60}{']' * 60}",
        "name: &a {b: *a}",
        "\n".join(["a0: &a0 [x, x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9))]),
    ],
    ids=["date", "int", "flag", "time", "digits", "open", "deep", "itself", "aliases"],
)
def test_text_that_is_no_option_file(text, tmp_path):
    (tmp_path / "opt.yml").write_text(text)
    with pytest.raises(RestoreFormerError, match=r"opt\.yml"):
        read_options(tmp_path / "opt.yml")


def test_what_a_file_says_about_its_network_is_checked():
    opt = load(ROOT / "options" / "small" / "train_restoreformer.yml")
    check_options(opt)
    for about, message in (({"notes": "x"}, "got 'notes'"), ({"color_fix": "all"}, "about: color_fix"), (3, "mapping")):
        with pytest.raises(RestoreFormerError, match=message):
            check_options({**opt, "about": about})


def test_scaled_degradation_is_checked_for_the_size_of_the_samples():
    opt = load(ROOT / "options" / "small" / "train_restoreformer.yml")
    block = opt["datasets"]["train"]["degradation"]
    for value, message in (("512", "reference_size"), (0, "reference_size"), (1, "blur_sigma")):
        block["reference_size"] = value
        with pytest.raises(RestoreFormerError, match=message):
            check_options(opt)
