"""LPIPS's network (Zhang et al. 2018), by the package ``lpips`` (its version 0.1)."""

from pathlib import Path
from typing import Any

import torchvision
from torch import nn

from restoreformer.errors import RestoreFormerError
from restoreformer.frozen.weights import load_frozen

# torchvision's name and file of each backbone. The linear layers come with the package.
BACKBONES = {"vgg": ("vgg16", "vgg16-397923af.pth"), "alex": ("alexnet", "alexnet-owt-7be5be79.pth")}


def lpips_net(net: str = "vgg", weights: str | Path | None = None, what: str = "LPIPS") -> Any:
    """An ``lpips.LPIPS`` that never learns.

    Args:
        net: ``vgg`` or ``alex``.
        weights: of the backbone: a file of ``restoreformer.pretrained.FILES``, a path, or ``none``; without it
            torchvision's.
        what: what the network is for, for messages.

    Raises:
        RestoreFormerError: another ``net``, or weights that cannot be had.
    """
    import lpips

    if net not in BACKBONES:
        raise RestoreFormerError(f"Expected net {' or '.join(BACKBONES)} for {what}, got {net}.")
    name, file = BACKBONES[net]
    backbone = getattr(torchvision.models, name)(weights=None)
    load_frozen(backbone, weights or file, what)
    # pnet_rand keeps the package from fetching a backbone by itself.
    made = lpips.LPIPS(net=net, pnet_rand=True, verbose=False).requires_grad_(False)
    slices = [getattr(made.net, f"slice{i}") for i in range(1, 6)]
    for number, layer in ((n, m) for s in slices for n, m in s.named_children() if isinstance(m, nn.Conv2d)):
        layer.load_state_dict(backbone.features[int(number)].state_dict())
    return made.eval()
