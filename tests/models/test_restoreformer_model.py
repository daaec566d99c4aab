import copy

import numpy as np
import pytest
import torch
from basicsr.models import build_model

from restoreformer.archs.checkpoint import save_checkpoint
from restoreformer.archs.fusion import FUSIONS
from restoreformer.archs.hq_dictionary_arch import HQDictionary, HQDictionaryPaper
from restoreformer.archs.patch_discriminator_arch import PatchDiscriminator
from restoreformer.archs.restoreformer_arch import RestoreFormer
from restoreformer.errors import RestoreFormerError

REGIONS = ("left_eye", "right_eye", "mouth")
USAGE = {"entries_in_use", "perplexity"}
WHOLE_FACE = {"l_pix", "l_identity", "l_prior", "l_g_gan", "l_d", "out_d_real", "out_d_fake", *USAGE}


def step(model, batch, iteration=1):
    model.feed_data(batch)
    model.optimize_parameters(iteration)
    return model.get_current_log()


def test_every_term_is_logged_under_its_own_name(stage2, batch):
    log = step(build_model(stage2), batch)
    expected = set(WHOLE_FACE)
    for r in REGIONS:
        expected |= {f"l_g_gan_{r}", f"l_g_style_{r}", f"l_d_{r}", f"out_d_{r}_real", f"out_d_{r}_fake"}
    assert log.keys() == expected
    assert all(torch.isfinite(torch.tensor(v)) for v in log.values())


def test_all_learn_but_the_dictionary(stage2, batch):
    model = build_model(stage2)
    before = {k: v.clone() for k, v in model.net_g.state_dict().items()}
    nets = {k: [p.clone() for p in a.net.parameters()] for k, a in model.adversaries.items()}
    step(model, batch)
    after = model.net_g.state_dict()
    assert torch.equal(before["quantize.embedding.weight"], after["quantize.embedding.weight"])
    for name in ("encoder.conv_in.weight", "decoder.up.2.attn.0.q.weight", "decoder.conv_out.weight"):
        assert not torch.equal(before[name], after[name])
    for label, adversary in model.adversaries.items():
        assert any(not torch.equal(a, b) for a, b in zip(nets[label], adversary.net.parameters(), strict=True)), label


def test_stage_1_is_taken_over(stage2, tmp_path, small_net):
    dictionary, discriminator = HQDictionary(**small_net), PatchDiscriminator(ndf=8, n_layers=2)
    save_checkpoint(tmp_path / "g.pth", dictionary)
    save_checkpoint(tmp_path / "d.pth", discriminator)
    stage2["path"] |= {"pretrain_network_g": str(tmp_path / "g.pth"), "pretrain_network_d": str(tmp_path / "d.pth")}
    model = build_model(stage2)
    assert all(torch.equal(v, model.net_g.state_dict()[k]) for k, v in dictionary.state_dict().items())
    theirs = model.adversaries["network_d"].net.state_dict()
    assert all(torch.equal(v, theirs[k]) for k, v in discriminator.state_dict().items())


def test_a_discriminator_is_no_generator(stage2, tmp_path):
    save_checkpoint(tmp_path / "d.pth", PatchDiscriminator(ndf=8, n_layers=2))
    stage2["path"]["pretrain_network_g"] = str(tmp_path / "d.pth")
    with pytest.raises(RestoreFormerError, match="Expected RestoreFormer or HQDictionary in .*, got Patch"):
        build_model(stage2)


def test_crops_are_roi_aligned_in_proportion(stage2, batch):
    model = build_model(stage2)
    batch["gt"][:] = torch.linspace(-1, 1, 32)
    model.feed_data(batch)
    crop = model._crop(model.gt, "mouth")
    # 120 of 512 pixels, of a face of 32; the mean of a ramp over columns 10 to 24.
    assert crop.shape == (2, 3, 8, 8)
    assert crop.mean().item() == pytest.approx((10 + 24) / 2 / 31 * 2 - 1, abs=0.01)
    assert model._crop(model.gt, "left_eye").shape == (2, 3, 5, 5)


def test_crops_carry_gradients(stage2, batch):
    model = build_model(stage2)
    model.feed_data(batch)
    image = batch["gt"].clone().requires_grad_()
    model._crop(image, "left_eye").sum().backward()
    assert image.grad[:, :, 10:18, 8:16].abs().sum() > 0
    assert image.grad[:, :, 24:].abs().sum() == 0


def test_component_discriminators_need_boxes_and_each_other(stage2, batch):
    model = build_model(stage2)
    without = {k: v for k, v in batch.items() if not k.startswith("loc_")}
    model.gan_start_iter = 10001
    with pytest.raises(RestoreFormerError, match="set its component_path"):
        step(model, without)
    model.feed_data(without)
    model.test()
    del stage2["network_d_mouth"]
    with pytest.raises(RestoreFormerError, match="but there is only network_d_left_eye, network_d_right_eye"):
        build_model(stage2)


def test_without_components(stage2, batch):
    for r in REGIONS:
        del stage2[f"network_d_{r}"]
    for option in ("component_gan_opt", "component_style_opt", "optim_component"):
        del stage2["train"][option]
    assert step(build_model(stage2), batch).keys() == WHOLE_FACE


def test_testing_takes_the_moving_average(stage2, tmp_path, small_net):
    net, average = RestoreFormer(**small_net), RestoreFormer(**small_net)
    stage2 |= {"is_train": False, "path": {"pretrain_network_g": str(tmp_path / "g.pth")}}
    for ema in (average, None):
        save_checkpoint(tmp_path / "g.pth", net, ema)
        loaded = build_model(stage2).net_g.state_dict()
        assert all(torch.equal(v, loaded[k]) for k, v in (ema or net).state_dict().items())


def test_resuming_continues_as_if_never_stopped(stage2, batch):
    """All networks, optimizers and schedulers come back."""
    torch.manual_seed(1)
    whole = build_model(stage2)
    step(whole, batch, 1)
    whole.save(0, 1)
    expected = step(whole, batch, 2)
    models = stage2["path"]["models"]
    for key in ("g", "d", *(f"d_{r}" for r in REGIONS)):
        stage2["path"][f"pretrain_network_{key}"] = f"{models}/net_{key}_1.pth"
    torch.manual_seed(2)
    # ArcFace is random here: the same one must judge both.
    resumed = build_model(stage2)
    resumed.image_losses["l_identity"] = whole.image_losses["l_identity"]
    state = torch.load(f"{stage2['path']['training_states']}/1.state", weights_only=True)
    resumed.resume_training(state)
    log = step(resumed, batch, 2)
    assert log == pytest.approx(expected, rel=1e-4)
    # Adam's averages lie in memory as the weights do: the fused kernel does not look.
    for name, weight in whole.net_g.named_parameters():
        found = resumed.net_g.get_parameter(name)
        torch.testing.assert_close(found, weight, rtol=0, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def test_resuming_a_state_that_another_adam_wrote(stage2, batch):
    """As before the fused kernel: averages in another order of memory, and no word of it."""
    stage2["train"]["scheduler"] = {"type": "MultiStepLR", "milestones": [1000]}
    model = build_model(copy.deepcopy(stage2))
    step(model, batch, 1)
    state = {"optimizers": [copy.deepcopy(o.state_dict()) for o in model.optimizers], "iter": 1, "epoch": 0}
    state["schedulers"] = [s.state_dict() for s in model.schedulers]
    for optimizer in state["optimizers"]:
        for group in optimizer["param_groups"]:
            group["fused"] = None
        for values in optimizer["state"].values():
            values |= {k: v.contiguous() for k, v in values.items()}
    before = {n: p.detach().clone() for n, p in model.net_g.named_parameters()}
    model.optimizer_g.step()
    expected = {n: p.detach().clone() for n, p in model.net_g.named_parameters()}
    model.resume_training(state)
    with torch.no_grad():
        for name, weight in model.net_g.named_parameters():
            weight.copy_(before[name])
    model.optimizer_g.step()
    assert all(group["fused"] for group in model.optimizer_g.param_groups)
    for name, weight in model.net_g.named_parameters():
        torch.testing.assert_close(weight, expected[name], msg=lambda m, n=name: f"{n}: {m}")


def test_identity_may_wait(stage2, batch):
    stage2["train"]["identity_start_iter"] = 3
    model = build_model(stage2)
    assert "l_identity" not in step(model, batch, 2) and "l_identity" in step(model, batch, 3)


def test_eq_13_term_by_term(stage2, batch):
    """Each term by NumPy in float64 from what the networks gave, with the paper's weights."""
    weights = {"l_pix": 1.0, "l_prior": 0.25, "l_g_gan": 0.8, "l_identity": 1.5, "l_g_gan_mouth": 1.0}
    stage2["train"]["gan_opt"]["loss_weight"] = 0.8
    model = build_model(stage2)
    model.feed_data(batch)
    out = model.net_g(model.lq, with_latents=True)
    nets = {name.removeprefix("network_d"): copy.deepcopy(a.net) for name, a in model.adversaries.items()}
    model.optimize_parameters(1)
    terms = {name: term for name, term in model.losses.items() if name.startswith("l_") and "_d" not in name}
    assert terms.keys() == {"l_pix", "l_prior", "l_g_gan", "l_identity"} | {
        f"l_g_{kind}_{region}" for kind in ("gan", "style") for region in REGIONS
    }

    def array(tensor):
        return tensor.detach().double().numpy()

    def not_told_from_real(logits):
        return np.log1p(np.exp(-array(logits))).mean()

    def gram_matrix(features):
        n, c, h, w = features.shape
        flat = array(features).reshape(n, c, h * w)
        return np.einsum("nik,njk->nij", flat, flat) / (c * h * w)

    identity = model.image_losses["l_identity"].net
    faces = [array(identity(x)) for x in (out.image, model.gt)]
    fake, real = (nets["_mouth"](model._crop(x, "mouth"), with_features=True) for x in (out.image, model.gt))
    expected = {
        "l_pix": np.abs(array(out.image) - array(model.gt)).mean(),
        "l_prior": ((array(out.prior) - array(out.latents)) ** 2).mean(),
        "l_g_gan": not_told_from_real(nets[""](out.image)),
        "l_identity": ((faces[0] - faces[1]) ** 2).mean(),
        "l_g_gan_mouth": not_told_from_real(fake[0]),
    }
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(weights[name] * value, rel=1e-4), name
    style = sum(((gram_matrix(a) - gram_matrix(b)) ** 2).mean() for a, b in zip(fake[1], real[1], strict=True))
    assert terms["l_g_style_mouth"].item() == pytest.approx(2000 * style, rel=1e-3)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_papers_network_with_every_fusion(fusion, stage2, batch, tmp_path):
    sizes = {"n_embed": 32, "embed_dim": 64, "ch": 32, "ch_mult": [1, 1, 2], "num_res_blocks": 1, "resolution": 64}
    one = HQDictionaryPaper(**sizes)
    save_checkpoint(tmp_path / "one.pth", one)
    stage2["network_g"] = {"type": "RestoreFormerPaper", "fusion": fusion, "heads": 4, **sizes}
    stage2["path"]["pretrain_network_g"] = str(tmp_path / "one.pth")
    model = build_model(stage2)
    assert torch.equal(model.net_g.decoder.conv_in.weight, one.decoder.conv_in.weight)
    assert step(model, batch).keys() >= {"l_pix", "l_prior", "l_g_gan_mouth"}
    assert torch.equal(model.dictionary.weight, one.quantize.embedding.weight), "the dictionary is frozen"
    assert not torch.equal(model.net_g.encoder.conv_in.weight, one.encoder.conv_in.weight)


def test_the_average_of_a_new_fusion_is_the_fusion(stage2, tmp_path, small_net):
    """Stage 1's file has none of it, and two networks draw two."""
    sizes = {"n_embed": 32, "embed_dim": 64, "ch": 32, "ch_mult": [1, 1, 2], "num_res_blocks": 1, "resolution": 64}
    save_checkpoint(tmp_path / "one.pth", HQDictionaryPaper(**sizes))
    stage2["network_g"] = {"type": "RestoreFormerPaper", "heads": 4, **sizes}
    stage2["train"]["ema_decay"] = 0.999
    # A random discriminator is no reason to leave a generator's average.
    one, average = HQDictionary(**small_net), HQDictionary(**small_net)
    save_checkpoint(tmp_path / "averaged.pth", one, average)
    released = copy.deepcopy(stage2)
    released["network_g"] = {"type": "RestoreFormer", **small_net}
    released["path"] |= {"pretrain_network_g": str(tmp_path / "averaged.pth"), "pretrain_network_d": "none"}
    model = build_model(released)
    assert torch.equal(model.net_g_ema.encoder.conv_in.weight, average.encoder.conv_in.weight)
    for file in (str(tmp_path / "one.pth"), "none"):
        stage2["path"]["pretrain_network_g"] = file
        model = build_model(copy.deepcopy(stage2))
        average = model.net_g_ema.state_dict()
        assert all(torch.equal(v, average[k]) for k, v in model.net_g.state_dict().items()), file


def test_a_rate_for_attention_needs_attention(stage2):
    sizes = {"n_embed": 32, "embed_dim": 64, "ch": 32, "ch_mult": [1, 1, 2], "num_res_blocks": 1, "resolution": 64}
    stage2["network_g"] = {"type": "RestoreFormerPaper", "fusion": "none", **sizes}
    stage2["train"]["attention_lr_factor"] = 10.0
    with pytest.raises(RestoreFormerError, match="Expected attention_lr_factor for a network with attention"):
        build_model(stage2)
