"""What is NaN or infinite: named, and nothing learns from it."""

import math

import pytest
import torch
from basicsr.models import build_model
from torch import nn

from restoreformer.errors import RestoreFormerError
from restoreformer.models.finite import Watch

CPU = torch.device("cpu")


class Bad(nn.Module):
    """A loss that is what it is told to be, or one whose gradient alone is."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, image, *_, **__):
        if self.value == "gradient":
            return ((image - image.detach()).sum() ** 2).sqrt()
        return image.mean() * 0 + self.value


def learned(model):
    """What is learned: weights of all networks and what optimizers keep, by network or optimizer."""
    nets = {"network_g": model.net_g} | {name: a.net for name, a in model.adversaries.items()}
    found = {name: list(net.parameters()) for name, net in nets.items()}
    found |= {
        f"optimizer {i}": [v for s in o.state.values() for v in s.values()] for i, o in enumerate(model.optimizers)
    }
    return {name: torch.cat([v.detach().flatten() for v in values]) for name, values in found.items()}


def spoil(model, name, value):
    if name == "l_g_gan":
        model.adversaries["network_d"].generator_loss = lambda: Bad(value)(model.adversaries["network_d"].fake.logits)
    elif name == "l_d":
        criterion = model.adversaries["network_d"].criterion
        whole = criterion.forward
        criterion.forward = lambda x, real, is_disc=False: Bad(value)(x) if is_disc else whole(x, real, is_disc)
    elif name in model.latent_losses:
        model.latent_losses[name] = Bad(value)
    else:
        model.image_losses[name] = Bad(value)


@pytest.fixture
def model(stage2, batch):
    """After a first iteration."""
    stage2["train"]["ema_decay"] = 0.5
    model = build_model(stage2)
    model.feed_data(batch)
    model.optimize_parameters(1)
    return model


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["l_pix", "l_identity", "l_prior", "l_g_gan", "l_d"])
def test_a_loss_is_named_with_its_batch_and_nothing_learns_from_it(model, name, value):
    before = learned(model)
    spoil(model, name, value)
    told = f"iteration 2, got NaN or infinity in {name}; its batch: a, b. Nothing was learned"
    with pytest.raises(RestoreFormerError, match=told):
        model.optimize_parameters(2)
    after = learned(model)
    changed = {n for n, v in before.items() if not torch.equal(v, after[n])}
    assert len(before) == 10
    if name != "l_prior":
        assert changed == set()
    else:
        # The last of all: what had been played by then was played with numbers.
        assert not {"network_g", "optimizer 0"} & changed and len(changed) == 8


def test_an_input_that_is_nan(model, batch):
    before = learned(model)
    batch["lq"][0, 0, 3, 3] = math.nan
    model.feed_data(batch)
    with pytest.raises(RestoreFormerError, match="infinity in the output, l_prior; its batch: a, b"):
        model.optimize_parameters(2)
    after = learned(model)
    assert all(torch.equal(v, after[n]) for n, v in before.items())
    nets = [model.net_g, model.net_g_ema, *(a.net for a in model.adversaries.values())]
    assert all(v.isfinite().all() for net in nets for v in net.state_dict().values()), "averages of batches too"


def test_a_gradient_alone(stage1, batch):
    model = build_model(stage1)
    before = {k: v.clone() for k, v in model.net_g.state_dict().items()}
    model.image_losses["l_pix"] = Bad("gradient")
    model.feed_data(batch)
    with pytest.raises(RestoreFormerError, match="infinity in gradients of network_g; its batch: a, b"):
        model.optimize_parameters(1)
    assert all(torch.equal(v, before[k]) for k, v in model.net_g.state_dict().items())


def test_so_many_may_be_left_out(stage1, batch, caplog):
    stage1["train"]["skip_bad_batches"] = 2
    model = build_model(stage1)
    whole = model.image_losses["l_pix"]
    model.feed_data(batch)
    for iteration, loss in enumerate((whole, Bad(math.nan), whole, Bad(math.inf)), 1):
        model.image_losses["l_pix"] = loss
        before = {k: v.clone() for k, v in model.net_g.state_dict().items()}
        model.optimize_parameters(iteration)
        same = all(torch.equal(v, before[k]) for k, v in model.net_g.state_dict().items())
        assert same == (loss is not whole)
    told = [r.getMessage() for r in caplog.records if r.levelname == "WARNING" and "Nothing was learned" in r.message]
    assert len(told) == 2 and "iteration 2, " in told[0] and told[1].endswith("2 such batches so far.")
    with pytest.raises(RestoreFormerError, match="iteration 5, got NaN .* skip_bad_batches: N"):
        model.optimize_parameters(5)


def test_optimizers_without_a_fused_kernel(stage1, batch):
    stage1["train"]["optim_g"]["fused"] = False
    model = build_model(stage1)
    before = {k: v.clone() for k, v in model.net_g.state_dict().items()}
    model.image_losses["l_pix"] = Bad(math.nan)
    model.feed_data(batch)
    with pytest.raises(RestoreFormerError, match="infinity in l_pix"):
        model.optimize_parameters(1)
    assert all(torch.equal(v, before[k]) for k, v in model.net_g.state_dict().items())


def test_what_has_not_arrived_is_told_later():
    """Of a device that is asked whether it is done, and is not at first."""

    class Event:
        done = False

        def query(self):
            return self.done

        def synchronize(self):
            self.done = True

    watch = Watch(CPU)
    events = []
    for iteration, value in ((1, 1.0), (2, math.nan), (3, 2.0)):
        watch.begin(iteration, [f"{iteration}.png"])
        watch.see({"l_a": torch.tensor(value), "l_b": torch.ones(2)})
        assert watch.poison.isfinite() == (iteration != 2)
        watch.end()
        events.append(Event())
        watch._waiting[-1] = watch._waiting[-1]._replace(event=events[-1])
    assert list(watch.arrived()) == []
    events[0].done = True
    assert list(watch.arrived()) == []
    assert list(watch.arrived(wait=True)) == [(2, ["2.png"], ["l_a"])]
    assert events[2].done and list(watch.arrived(wait=True)) == []
