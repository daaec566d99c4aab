import copy

import numpy as np
import pytest
import torch
from basicsr.models import build_model
from torchvision.models.vgg import cfgs, make_layers

from restoreformer.errors import RestoreFormerError


def step(model, batch, iteration=1):
    model.feed_data(batch)
    model.optimize_parameters(iteration)
    return model.get_current_log()


def test_every_term_is_logged_and_everything_learns(stage1, batch):
    model = build_model(stage1)
    nets = (model.net_g, model.adversaries["network_d"].net)
    before = {k: v.clone() for net in nets for k, v in net.named_parameters()}
    log = step(model, {**batch, "lq": batch["gt"]})
    losses = {"l_pix", "l_dict", "l_commit", "l_g_gan", "l_d", "out_d_real", "out_d_fake"}
    assert log.keys() == {*losses, "entries_in_use", "perplexity"}
    assert 1 <= log["perplexity"] <= log["entries_in_use"] <= 128 and all(v == v for v in log.values())
    assert log["l_commit"] == pytest.approx(0.25 * log["l_dict"])
    after = {k: v for net in nets for k, v in net.named_parameters()}
    still = [k for k in before if torch.equal(before[k], after[k])]
    assert all(".norm2." in k and "attn" in k for k in still)


def test_eq_18_term_by_term(stage1, batch):
    """Each term by NumPy in float64 from what the networks gave, with the paper's weights."""
    stage1["train"]["gan_opt"]["loss_weight"] = 0.8
    model = build_model(stage1)
    model.feed_data(batch)
    out = model.net_g(model.lq, with_latents=True)
    discriminator = copy.deepcopy(model.adversaries["network_d"].net)
    model.optimize_parameters(1)
    terms = {name: term for name, term in model.losses.items() if name.startswith("l_") and name != "l_d"}
    logits, image, gt, latents, prior = (
        x.detach().double().numpy() for x in (discriminator(out.image), out.image, model.gt, out.latents, out.prior)
    )
    expected = {
        "l_pix": np.abs(image - gt).mean(),
        "l_dict": 1.0 * ((latents - prior) ** 2).mean(),
        "l_commit": 0.25 * ((latents - prior) ** 2).mean(),
        "l_g_gan": 0.8 * np.log1p(np.exp(-logits)).mean(),
    }
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value, rel=1e-4), name


def test_the_discriminator_waits(stage1, batch):
    stage1["train"]["gan_start_iter"] = 3
    model = build_model(stage1)
    assert "l_d" not in step(model, batch, 2)
    assert "l_d" in step(model, batch, 3)


def test_entries_in_use_are_counted_between_logs(stage1, batch):
    model = build_model(stage1)
    model.feed_data(batch)
    for i in (1, 2):
        model.optimize_parameters(i)
    assert model.usage.sum() == 2 * 2 * 8 * 8
    assert model.get_current_log()["entries_in_use"] >= 1
    assert model.usage.sum() == 0


def test_start_from_encoder_outputs(stage1, batch):
    stage1["train"]["renewal_opt"] = {"start": "encoder"}
    stage1["train"]["optim_g"]["lr"] = 0.0
    model = build_model(stage1)
    model.feed_data(batch)
    with torch.no_grad():
        vectors = model.net_g.encode(batch["lq"]).permute(0, 2, 3, 1).flatten(0, 2)
    model.optimize_parameters(1)
    distance = torch.cdist(model.dictionary.weight.detach(), vectors).min(1).values
    assert distance.max() < 0.2 * vectors.std() * 64**0.5
    assert model.get_current_log()["entries_in_use"] > 40


def test_a_discriminator_without_a_loss(stage1):
    del stage1["train"]["gan_opt"]
    with pytest.raises(RestoreFormerError, match="train: gan_opt is missing, which network_d needs"):
        build_model(stage1)


def test_without_a_discriminator(stage1, batch):
    del stage1["network_d"], stage1["train"]["gan_opt"], stage1["train"]["optim_d"]
    assert step(build_model(stage1), batch).keys() == {
        "l_pix",
        "l_dict",
        "l_commit",
        "entries_in_use",
        "perplexity",
    }


def test_moving_average_is_saved_and_used(stage1, batch):
    stage1["train"]["ema_decay"] = 0.5
    model = build_model(stage1)
    start = model.net_g_ema.decoder.conv_out.weight.clone()
    step(model, batch)
    expected = 0.5 * start + 0.5 * model.net_g.decoder.conv_out.weight
    torch.testing.assert_close(model.net_g_ema.decoder.conv_out.weight, expected)
    model.save(0, 1)
    content = torch.load(f"{stage1['path']['models']}/net_g_1.pth", weights_only=True)
    assert content.keys() == {"params", "params_ema", "config"}
    torch.testing.assert_close(content["params_ema"]["decoder.conv_out.weight"], expected)


def test_visuals_are_in_zero_to_one(stage1, batch):
    model = build_model(stage1)
    model.feed_data(batch)
    model.test()
    visuals = model.get_current_visuals()
    torch.testing.assert_close(visuals["gt"], batch["gt"] / 2 + 0.5)
    torch.testing.assert_close(visuals["result"], model.output / 2 + 0.5)


def test_perceptual_losses_may_give_a_style(stage1, batch):
    """As BasicSR's own does: a pair, of which either may be missing."""
    model = build_model(stage1)
    model.image_losses["l_percep"] = lambda a, b: ((a - b).square().mean(), (a - b).abs().mean())
    log = step(model, batch)
    assert log.keys() >= {"l_pix", "l_percep", "l_style"} and log["l_style"] == pytest.approx(log["l_pix"])
    model.image_losses["l_percep"] = lambda a, b: ((a - b).square().mean(), None)
    assert "l_style" not in step(model, batch)


def test_attention_learns_at_its_own_rate(stage1, batch):
    stage1["train"]["attention_lr_factor"] = 10.0
    model = build_model(stage1)
    slow, fast = model.optimizer_g.param_groups
    assert fast["lr"] == pytest.approx(10 * slow["lr"]) == pytest.approx(0.01)
    named = dict(model.net_g.named_parameters())
    expected = {n for n, p in named.items() if n.startswith("decoder.") and ".attn" in n and p.requires_grad}
    ids = {id(p) for p in fast["params"]}
    assert expected == {n for n, p in named.items() if id(p) in ids} and expected
    assert len(slow["params"]) + len(fast["params"]) == sum(p.requires_grad for p in named.values())


PAPER = {"n_embed": 32, "ch": 32, "ch_mult": [1, 1, 2], "num_res_blocks": 1, "resolution": 64}


def test_the_papers_network(stage1, batch):
    stage1["network_g"] = {"type": "HQDictionaryPaper", "embed_dim": 64, **PAPER}
    model = build_model(stage1)
    before = model.dictionary.weight.detach().clone()
    assert step(model, batch).keys() >= {"l_pix", "l_dict", "l_commit", "l_g_gan", "l_d"}
    assert not torch.equal(model.dictionary.weight, before)


def test_a_recognition_oriented_dictionary(stage1, batch, tmp_path):
    """Sec. 4.4: the encoder comes from VGG-19's file and stays as it is; it is in the file that stage 1 writes."""
    stage1["network_g"] = {"type": "HQDictionaryPaper", "embed_dim": 128, "encoder": "vgg19", **PAPER}
    with pytest.raises(RestoreFormerError, match="pretrain_encoder is missing"):
        build_model(copy.deepcopy(stage1))
    weights = {f"features.{k}": v for k, v in make_layers(cfgs["E"]).state_dict().items()}
    weights["classifier.6.bias"] = torch.zeros(1000)
    torch.save(weights, tmp_path / "vgg19.pth")
    stage1["path"]["pretrain_encoder"] = str(tmp_path / "vgg19.pth")
    again = copy.deepcopy(stage1)
    stage1["train"]["ema_decay"] = 0.9
    model = build_model(stage1)
    step(model, batch)
    for net in (model.net_g, model.net_g_ema):
        torch.testing.assert_close(net.encoder.features[5].weight, weights["features.5.weight"])
    model.save(0, 1)
    # Resuming asks for no VGG-19 any more.
    again["path"] |= {"pretrain_encoder": "/nowhere", "pretrain_network_g": f"{again['path']['models']}/net_g_1.pth"}
    resumed = build_model(again)
    assert torch.equal(resumed.net_g.encoder.features[5].weight, weights["features.5.weight"])


def test_none_is_as_no_file_in_stage_1(stage1, batch):
    """A dictionary from encoder outputs is one, random network or not."""
    stage1["train"]["renewal_opt"] = {"start": "encoder"}
    stage1["path"]["pretrain_network_g"] = "none"
    model = build_model(stage1)
    before = model.dictionary.weight.detach().clone()
    step(model, batch)
    assert (model.dictionary.weight - before).abs().mean() > 0.05


def test_an_adversarial_loss_without_weight_is_nothing(stage1, batch):
    stage1["train"] |= {"adaptive_gan_weight": True}
    stage1["train"]["gan_opt"]["loss_weight"] = 0.0
    assert step(build_model(stage1), batch)["l_g_gan"] == 0


class Board:
    def __init__(self):
        self.images = {}

    def add_images(self, tag, images, iteration):
        self.images[tag] = (images, iteration)

    def add_scalar(self, *_):
        pass


def test_validation_shows_input_result_and_truth(stage1, batch):
    stage1["val"] = {"save_img": False, "tb_images": 2}
    model = build_model(stage1)
    faces = [{k: v[i % 2] for k, v in batch.items()} for i in range(3)]
    dataset = torch.utils.data.Subset(faces, range(3))
    dataset.opt = {"name": "faces"}
    board = Board()
    model.validation(torch.utils.data.DataLoader(dataset), 7, board)
    images, iteration = board.images["images/faces"]
    assert iteration == 7 and images.shape == (2, 3, 32, 96) and images.min() >= 0 and images.max() <= 1
    torch.testing.assert_close(images[0, :, :, 64:], batch["gt"][0] / 2 + 0.5)
    model.validation(torch.utils.data.DataLoader(dataset), 8, None)
