"""An iteration as one would first write it: one sum, one way back, separate passes for each step of the game."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from restoreformer.geometry import REGIONS


def without_steps(model: Any) -> Any:
    """The same model, whose iterations leave gradients and change no weight."""
    for optimizer in model.optimizers:
        optimizer.step = lambda: None
    return model


def gradients(model: Any) -> dict[str, Tensor]:
    """What each weight was left with, by network and name."""
    nets = {"network_g": model.net_g} | {name: a.net for name, a in model.adversaries.items()}
    nets = {name: model.get_bare_model(net) for name, net in nets.items()}
    return {f"{k}: {n}": p.grad for k, net in nets.items() for n, p in net.named_parameters() if p.grad is not None}


def plain_iteration(model: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Gradients of one iteration on what the model was fed, and the terms, from copies of its networks."""
    g = copy.deepcopy(model.net_g)
    nets: dict[str, nn.Module] = {k: copy.deepcopy(a.net) for k, a in model.adversaries.items()}
    for net in (g, *nets.values()):
        net.zero_grad()
    out = g(model.lq, with_latents=True)
    terms = {n: c(out.image, model.gt) for n, c in model.image_losses.items() if c is not None}
    if isinstance(terms.get("l_percep"), tuple):
        terms["l_percep"], terms["l_style"] = terms["l_percep"]
    terms |= {n: c(out.latents, out.prior) for n, c in model.latent_losses.items() if c is not None}
    inputs = {}
    for key, net in nets.items():
        region, criterion = key.removeprefix("network_d_"), model.adversaries[key].criterion
        inputs[key] = [model._crop(x, region) if region in REGIONS else x for x in (model.gt, out.image)]
        suffix = f"_{region}" if region in REGIONS else ""
        terms[f"l_g_gan{suffix}"] = criterion(net(inputs[key][1]), True, is_disc=False)
        if suffix and model.component_style is not None:
            real, fake = (net(x, with_features=True)[1] for x in inputs[key])
            terms[f"l_g_style{suffix}"] = model.component_style(fake, real)
    if model.adaptive_gan_weight:
        weight = model.adversaries["network_d"].weight
        wanted, given = (
            torch.autograd.grad(loss, g.decoder.conv_out.weight, retain_graph=True)[0].norm()
            for loss in (terms["l_pix"] + terms.get("l_percep", 0), terms["l_g_gan"] / weight)
        )
        terms["l_g_gan"] = terms["l_g_gan"] * (wanted / (given + 1e-4)).clamp(0, 1e4)
    sum(terms.values()).backward()
    for key, net in nets.items():
        net.zero_grad()
        criterion, (real, fake) = model.adversaries[key].criterion, inputs[key]
        criterion(net(real), True, is_disc=True).backward()
        criterion(net(fake.detach()), False, is_disc=True).backward()
    both = {"network_g": g, **nets}
    left = {f"{k}: {n}": p.grad for k, net in both.items() for n, p in net.named_parameters() if p.grad is not None}
    return left, {name: term.detach() for name, term in terms.items()}
