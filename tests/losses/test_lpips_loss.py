import lpips
import torch
from torchvision.models import vgg16

from restoreformer.losses.lpips_loss import LPIPSLoss


def test_agrees_with_the_package_given_the_same_backbone(tmp_path):
    backbone = vgg16(weights=None)
    torch.save(backbone.state_dict(), tmp_path / "vgg16.pth")
    ours = LPIPSLoss(0.5, weights=str(tmp_path / "vgg16.pth"))
    theirs = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False)
    a, b = torch.rand(2, 3, 64, 64) * 2 - 1, torch.rand(2, 3, 64, 64) * 2 - 1
    # A different random backbone gives another distance, so agreement below is not chance.
    assert not torch.allclose(0.5 * theirs(a, b).mean(), ours(a, b))
    for i in range(1, 6):
        for name, layer in getattr(theirs.net, f"slice{i}").named_children():
            layer.load_state_dict(backbone.features[int(name)].state_dict())
    torch.testing.assert_close(ours(a, b), 0.5 * theirs(a, b).mean())


def test_gradient_reaches_the_result_only():
    loss = LPIPSLoss(weights="none")
    a, b = (torch.rand(1, 3, 32, 32, requires_grad=True) for _ in range(2))
    assert loss(a, a).item() == 0
    loss(a, b).backward()
    assert a.grad.abs().sum() > 0 and b.grad is None
