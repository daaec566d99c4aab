"""The identity distance IDD (Sec. 4.2): the angle between the embeddings of a face and of its truth."""

from typing import Any

import torch
from basicsr.utils.registry import METRIC_REGISTRY
from torch import Tensor
from torch.nn import functional as F

from restoreformer.frozen.identity import IDENTITY_NETWORKS, IdentityNetwork
from restoreformer.images import Image
from restoreformer.metrics.collector import BATCH_SIZE, COLLECTORS, NetworkDistance, labelled, of_one_pair


def angle(a: Tensor, b: Tensor) -> Tensor:
    """Angles between vectors ``(n, d)``, in radians, ``(n,)``, in float64.

    By Kahan's formula: the arc cosine of a product near 1 would tell equal vectors apart by 1e-4. On the CPU, since
    Apple's devices have no float64.
    """
    a, b = F.normalize(a.cpu().double()), F.normalize(b.cpu().double())
    return 2 * torch.atan2((a - b).norm(dim=1), (a + b).norm(dim=1))


class IdentityCollector(NetworkDistance):
    """The angle of each face, in radians.

    Args:
        device: where the network computes.
        network: ``arcface_resnet18``, which alone is called IDD here, or ``mobilefacenet``.
        weights: see :class:`~restoreformer.frozen.identity.IdentityNetwork`.
        batch_size: faces that are computed at once.
        colors, black: see :class:`~restoreformer.metrics.collector.NetworkDistance`.

    Raises:
        RestoreFormerError: another network, or weights that cannot be had.
    """

    def __init__(
        self,
        device: torch.device,
        network: str = "arcface_resnet18",
        weights: str | None = None,
        batch_size: int = BATCH_SIZE,
        colors: str = "rgb",
        black: float = -1,
    ) -> None:
        super().__init__(device, batch_size, colors, black)
        self.net = IdentityNetwork(network, weights, "identity distance").to(device)
        name = "IDD" if network == "arcface_resnet18" else "angle (MobileFaceNet)"
        self.label = labelled(name, weights, IDENTITY_NETWORKS[network].weights) + self.fed

    def distance(self, images: Tensor, truths: Tensor) -> Tensor:
        return angle(self.net(images), self.net(truths))


@METRIC_REGISTRY.register()
def calculate_idd(
    img: Image,
    img2: Image,
    network: str = "arcface_resnet18",
    weights: str | None = None,
    batch_size: int = BATCH_SIZE,
    colors: str = "rgb",
    black: float = -1,
    **kwargs: Any,
) -> float:
    """IDD of one aligned face, in radians. This project's models compute it in batches, see :class:`IdentityCollector`.

    Args:
        img, img2: BGR ``(h, w, 3)`` uint8, in FFHQ's crop.
        network, weights, batch_size, colors, black: see :class:`IdentityCollector`.
    """
    return of_one_pair(IdentityCollector, img, img2, network=network, weights=weights, colors=colors, black=black)


COLLECTORS[calculate_idd.__name__] = IdentityCollector
