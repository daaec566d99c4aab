"""How much an adversarial loss counts, by the gradients that it and the rest leave at the last layer."""

import torch
from torch import Tensor

from restoreformer.distributed import mean_over_processes


def adaptive_weight(image: Tensor, reconstruction: Tensor, adversarial: Tensor, last_layer: Tensor) -> Tensor:
    """The released code's balance of the adversarial loss, after VQGAN (Esser et al. 2021, Eq. 7).

    Both losses reach the last layer through the image, so their gradients there need no second way back
    through the networks that judge it.

    Args:
        image: what the generator made, ``(n, 3, h, w)``; its graph is kept.
        reconstruction: gradient of the pixel and perceptual loss with respect to it, of its shape.
        adversarial: gradient of the generator's adversarial loss without its weight, likewise.
        last_layer: the weight that both gradients are taken at. With several processes they are averaged.

    Returns:
        ||grad reconstruction|| / (||grad adversarial|| + 1e-4), within [0, 1e4], without gradient.
    """
    norms = []
    for gradient in (reconstruction, adversarial):
        (at_layer,) = torch.autograd.grad(image, last_layer, gradient.to(image.dtype), retain_graph=True)
        norms.append(mean_over_processes(at_layer).norm())
    return (norms[0] / (norms[1] + 1e-4)).clamp(0.0, 1e4)
