import lpips
import numpy as np
import torch
from torchvision.models.vgg import cfgs, make_layers

from restoreformer.losses.lpips_loss import LPIPSLoss


def test_agrees_with_the_package_given_the_same_backbone(tmp_path):
    backbone = make_layers(cfgs["D"])
    tensors = {f"features.{k}": v for k, v in backbone.state_dict().items()}
    torch.save({**tensors, "classifier.6.bias": torch.zeros(1000)}, tmp_path / "vgg16.pth")
    ours = LPIPSLoss(0.5, weights=str(tmp_path / "vgg16.pth"))
    theirs = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False)
    a, b = torch.rand(2, 3, 64, 64) * 2 - 1, torch.rand(2, 3, 64, 64) * 2 - 1
    # A different random backbone gives another distance, so agreement below is not chance.
    assert not torch.allclose(0.5 * theirs(a, b).mean(), ours(a, b)[0])
    for i in range(1, 6):
        for name, layer in getattr(theirs.net, f"slice{i}").named_children():
            layer.load_state_dict(backbone[int(name)].state_dict())
    torch.testing.assert_close(ours(a, b)[0], 0.5 * theirs(a, b).mean())


def test_gradient_reaches_the_result_only():
    loss = LPIPSLoss(weights="none")
    a, b = (torch.rand(1, 3, 32, 32, requires_grad=True) for _ in range(2))
    assert loss(a, a)[0].item() == 0
    loss(a, b)[0].backward()
    assert a.grad.abs().sum() > 0 and b.grad is None


def test_style_in_float64():
    """Gram matrices of features of length 1, squared distance, summed over layers (released code)."""
    loss = LPIPSLoss(0.0, style_weight=10.0, weights="none")
    a, b = torch.rand(2, 3, 32, 32) * 2 - 1, torch.rand(2, 3, 32, 32) * 2 - 1
    expected = 0.0
    for f, g in zip(*(loss.net.net(loss.net.scaling_layer(x)) for x in (a, b)), strict=True):
        grams = []
        for features in (f, g):
            n, c, h, w = features.shape
            flat = features.detach().double().numpy().reshape(n, c, h * w)
            flat = flat / (np.sqrt((flat**2).sum(1, keepdims=True)) + 1e-10)
            grams.append(flat @ flat.transpose(0, 2, 1) / (c * h * w))
        expected += np.mean((grams[0] - grams[1]) ** 2)
    distance, style = loss(a, b)
    assert distance == 0
    np.testing.assert_allclose(style.item(), 10 * expected, rtol=1e-4)
    assert LPIPSLoss(weights="none")(a, b)[1] is None
