"""An iteration of either stage against the same written plainly, and what it is not to do."""

import copy
import weakref

import pytest
import torch
from basicsr.models import build_model
from plain import gradients, plain_iteration, without_steps
from torch.utils._python_dispatch import TorchDispatchMode

from restoreformer.archs.autoencoder import AutoencoderOutput
from restoreformer.errors import RestoreFormerError

LPIPS = {"type": "LPIPSLoss", "style_weight": 100.0, "weights": "none"}
VARIANTS = {
    "plain": {},
    "adaptive": {"adaptive_gan_weight": True},
    "adaptive with style": {"adaptive_gan_weight": True, "perceptual_opt": LPIPS},
    "style": {"perceptual_opt": LPIPS},
    "hinge": {"gan_opt": {"type": "GANLoss", "gan_type": "hinge", "loss_weight": 0.8}},
    "checkpointing": {"checkpointing": True},
}


def build(stage, variant, request):
    opt = request.getfixturevalue(stage)
    opt["train"] |= (VARIANTS | {"compiled": {"compile": True}})[variant]
    return without_steps(build_model(opt))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_gradients_are_those_of_a_plain_iteration(stage, variant, batch, request):
    model = build(stage, variant, request)
    model.feed_data(batch)
    expected, terms = plain_iteration(model)
    model.optimize_parameters(1)
    found = gradients(model)
    assert found.keys() == expected.keys() and len(found) > 50
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
    for name, term in terms.items():
        assert model.losses[name].item() == pytest.approx(term.item(), rel=1e-4, abs=1e-7), name


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_each_network_sees_each_image_once(stage, batch, request):
    model = build(stage, "adaptive", request)
    calls = []
    nets = {"network_g": model.net_g} | {name: a.net for name, a in model.adversaries.items()}
    for name, net in nets.items():
        net.register_forward_hook(lambda *_, name=name: calls.append(name))
    model.feed_data(batch)
    model.optimize_parameters(1)
    assert sorted(calls) == sorted(["network_g", *(n for n in nets if n != "network_g" for _ in range(2))])


class Questions(TorchDispatchMode):
    """Operations whose result, or the size of it, the host waits for; ``lift_fresh`` brings a number from the host,
    which waits for the device too."""

    ASKING = ("lift_fresh", "_local_scalar_dense", "nonzero", "bincount", "_unique2", "masked_select", "equal")

    def __init__(self):
        super().__init__()
        self.asked = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in self.ASKING:
            self.asked.append(func)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_iterations_that_log_nothing_wait_for_nothing(stage, batch, request):
    opt = request.getfixturevalue(stage)
    opt["train"] |= {"adaptive_gan_weight": True, "ema_decay": 0.9}
    model = build_model(opt)
    model.feed_data(batch)
    model.optimize_parameters(1)
    with Questions() as questions:
        model.optimize_parameters(2)
    assert not questions.asked
    with Questions() as questions:
        model.get_current_log()
    assert questions.asked


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_bf16_learns_much_the_same(stage, batch, request):
    """Gradients keep their direction, weights stay in float32, and so do the losses."""
    opt = request.getfixturevalue(stage)
    opt["train"]["perceptual_opt"] = {"type": "VGG19PerceptualLoss", "weights": "none", "loss_weight": 0.1}
    model = without_steps(build_model(opt))
    model.feed_data(batch)
    model.optimize_parameters(1)
    expected = gradients(model)
    model._execution["amp"] = "bf16"
    inside = []
    model.net_g.encoder.register_forward_hook(lambda m, i, out: inside.append(out[0].dtype))
    model.optimize_parameters(1)
    assert inside == [torch.bfloat16]
    assert all(v.dtype == torch.float32 for v in model.losses.values())
    found = gradients(model)
    assert all(g.dtype == torch.float32 for g in found.values())
    for network in ("network_g", *model.adversaries):
        a, b = (
            torch.cat([g.flatten() for n, g in left.items() if n.startswith(f"{network}:")])
            for left in (expected, found)
        )
        # A component's crop has few places, and torch 2.4 rounds more of its layers than later ones.
        assert torch.cosine_similarity(a, b, dim=0) > (0.9 if network.startswith("network_d_") else 0.95), network


def test_amp_has_one_name(stage1):
    stage1["train"]["amp"] = "fp16"
    with pytest.raises(RestoreFormerError, match="train: amp is 'fp16': expected bf16, or ~ for float32"):
        build_model(stage1)


def test_ways_that_do_not_go_together(stage1):
    stage1["train"] |= {"compile": True, "adaptive_gan_weight": True}
    with pytest.raises(RestoreFormerError, match="compile and adaptive_gan_weight do not go together"):
        build_model(copy.deepcopy(stage1))
    stage1["train"] |= {"compile": False, "amp": "bf16"}
    with pytest.raises(RestoreFormerError, match="Expected several processes for train: amp on 2 GPUs"):
        build_model({**stage1, "num_gpu": 2})


@pytest.mark.parametrize("adaptive", [False, True])
def test_a_loss_lets_go_of_its_graph_before_the_next(adaptive, stage1, batch):
    stage1["train"]["adaptive_gan_weight"] = adaptive
    model = build_model(stage1)
    kept, gone = [], []

    def first(image, gt):
        middle = (image - gt).square()
        kept.append(weakref.ref(middle))
        return middle.mean(), (2 * middle).mean()

    def second(image, gt):
        gone.append(kept[0]() is None)
        return image.mean()

    model.image_losses = {"l_percep": first, "nothing": lambda image, gt: (None, None), "l_pix": second}
    model.feed_data(batch)
    model.optimize_parameters(1)
    assert gone == [True] and {"l_percep", "l_style", "l_pix"} <= model.losses.keys()


def test_checkpointing_keeps_less(stage1, batch):
    kept = {}
    for on in (False, True):
        stage1["train"]["checkpointing"] = on
        model = build_model({**stage1, "train": {**stage1["train"], "scheduler": dict(stage1["train"]["scheduler"])}})
        sizes = []

        def keep(tensor, sizes=sizes):
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            out = model.net_g(batch["lq"], with_latents=True)
        assert isinstance(out, AutoencoderOutput)
        kept[on] = sum(sizes)
    assert kept[True] < 0.7 * kept[False]


def test_networks_and_steps_as_fast_as_torch_has_them(stage2):
    model = build_model(stage2)
    nets = [model.net_g, *(a.net for a in model.adversaries.values())]
    for net in nets:
        weights = [p for p in net.parameters() if p.ndim == 4]
        assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)
    assert all(o.defaults["fused"] for o in model.optimizers)
    stage2["train"]["optim_g"]["foreach"] = True
    stage2["train"]["scheduler"] = {"type": "MultiStepLR", "milestones": [1000]}
    assert not build_model(stage2).optimizer_g.defaults["fused"]


def test_fused_steps_are_adams(stage1, batch):
    """Whatever the order of weights, gradients and averages in memory."""
    weights = {}
    for fused in (True, False):
        torch.manual_seed(0)
        opt = copy.deepcopy(stage1)
        for key in ("optim_g", "optim_d"):
            opt["train"][key]["fused"] = fused
        model = build_model(opt)
        assert model.optimizer_g.defaults["fused"] is fused
        model.feed_data(batch)
        model.optimize_parameters(1)
        # On with the gradients of the first iteration, which are the same for both.
        for optimizer in model.optimizers * 2:
            optimizer.step()
        nets = (model.net_g, model.adversaries["network_d"].net)
        weights[fused] = {f"{i} {n}": p for i, net in enumerate(nets) for n, p in net.named_parameters()}
    for name, weight in weights[False].items():
        torch.testing.assert_close(weights[True][name], weight, rtol=0, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_compiled_gradients_are_the_same(stage, batch, request):
    model = build(stage, "compiled", request)
    model.feed_data(batch)
    expected, _ = plain_iteration(model)
    model.optimize_parameters(1)
    found = gradients(model)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
