"""torchvision's VGG networks, for perceptual losses and as encoder of a recognition-oriented dictionary."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

# torchvision's letters for those that are used here.
CONFIGURATIONS = {"vgg16": "D", "vgg19": "E"}


class ImageNetNormalize(nn.Module):
    """RGB in [-1, 1], ``(n, 3, h, w)``, as torchvision's networks take it."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225])[:, None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return ((x + 1) / 2 - self.mean) / self.std


class CaffeNormalize(nn.Module):
    """RGB in [-1, 1], ``(n, 3, h, w)``, as networks of Caffe's time take it: BGR in [0, 255], ImageNet's mean taken
    off."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([103.939, 116.779, 123.68])[:, None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x.flip(1) + 1) * 127.5 - self.mean


def vgg_layers(network: str, depth: int) -> nn.Sequential:
    """The first ``depth`` layers of torchvision's ``vgg16`` or ``vgg19``, under its tensor names, with random weights.

    Its own functions would make, and fill with chance, 124 million weights of a classifier besides.
    """
    # Here, since importing torchvision takes as long as restoring a face.
    from torchvision.models.vgg import cfgs, make_layers

    return make_layers(cfgs[CONFIGURATIONS[network]])[:depth]


class VGGFeatures(nn.Module):
    """What layers of a VGG give.

    Args:
        network: ``vgg16`` or ``vgg19``.
        layers: the wanted layers' places, and what to call them.

    Shapes: normalised images ``(n, 3, h, w)`` to ``(n, c, h / s, w / s)`` of each wanted layer.
    """

    def __init__(self, network: str, layers: Mapping[int, str]) -> None:
        super().__init__()
        self.layers = dict(layers)
        # Convolutions' outputs are kept, so the ReLU after one must not write into it.
        self.features = vgg_layers(network, max(layers) + 1)
        for module in self.features:
            if isinstance(module, nn.ReLU):
                module.inplace = False

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        out = {}
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in self.layers:
                out[self.layers[i]] = x
        return out
