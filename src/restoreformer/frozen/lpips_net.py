"""LPIPS's network (Zhang et al. 2018), by the package ``lpips`` (its version 0.1)."""

from pathlib import Path
from typing import Any

from torch import nn

from restoreformer.errors import RestoreFormerError
from restoreformer.frozen.weights import load_frozen

# torchvision's file of each backbone. The linear layers come with the package.
BACKBONES = {"vgg": "vgg16-397923af.pth", "alex": "alexnet-owt-7be5be79.pth"}


class Backbone(nn.Module):
    """The convolutions of an ``lpips.LPIPS``, the very ones, under torchvision's names."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.features = nn.Module()
        for number in range(1, 6):
            for name, layer in net.get_submodule(f"net.slice{number}").named_children():
                if isinstance(layer, nn.Conv2d):
                    self.features.add_module(name, layer)


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
    # pnet_rand keeps the package from fetching a backbone by itself.
    made = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    load_frozen(Backbone(made), weights or BACKBONES[net], what)
    return made.eval().requires_grad_(False)
