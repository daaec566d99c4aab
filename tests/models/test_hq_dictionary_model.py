import pytest
import torch
from basicsr.models import build_model

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


def test_the_generators_step_is_the_sum_of_the_terms_and_one_pass(stage1, batch):
    model = build_model(stage1)
    calls = []
    model.net_g.register_forward_hook(lambda *_: calls.append(1))
    model.feed_data(batch)
    expected = model.generator_losses(model.net_g(model.lq, with_latents=True), adversarial=True)
    sum(expected.values()).backward()
    gradient = model.net_g.decoder.conv_out.weight.grad.clone()
    calls.clear()
    model.optimizer_g.step = lambda: None
    model.optimize_parameters(1)
    assert len(calls) == 1
    torch.testing.assert_close(model.net_g.decoder.conv_out.weight.grad, gradient, rtol=1e-4, atol=1e-6)


def test_the_generators_step_leaves_the_discriminator_without_gradient(stage1, batch):
    model = build_model(stage1)
    adversary = model.adversaries["network_d"]
    adversary.learn = lambda real, fake: {}
    step(model, batch)
    assert all(p.grad is None for p in adversary.net.parameters())


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
    del stage1["network_d"]
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
