"""How much an adversarial loss counts, by the gradients that it and the rest leave at the last layer."""

import torch
from torch import Tensor


def adaptive_weight(reconstruction: Tensor, adversarial: Tensor, last_layer: Tensor) -> Tensor:
    """The released code's balance of the adversarial loss, after VQGAN (Esser et al. 2021, Eq. 7).

    Args:
        reconstruction: pixel and perceptual loss, a scalar whose graph is kept.
        adversarial: the generator's adversarial loss without its weight, likewise.
        last_layer: the weight that both gradients are taken at.

    Returns:
        ||grad reconstruction|| / (||grad adversarial|| + 1e-4), within [0, 1e4], without gradient.
    """
    (wanted,) = torch.autograd.grad(reconstruction, last_layer, retain_graph=True)
    (given,) = torch.autograd.grad(adversarial, last_layer, retain_graph=True)
    return (wanted.norm() / (given.norm() + 1e-4)).clamp(0.0, 1e4)
