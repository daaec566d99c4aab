from types import SimpleNamespace

import pytest
import torch
from basicsr.archs import vgg_arch
from basicsr.losses.basic_loss import PerceptualLoss
from torchvision.models import vgg19

from restoreformer.errors import RestoreFormerError
from restoreformer.losses.vgg_perceptual_loss import PAPER_LAYERS, VGG19PerceptualLoss


@pytest.mark.parametrize("criterion", ["l1", "l2"])
def test_agrees_with_basicsr(monkeypatch, criterion):
    ours = VGG19PerceptualLoss(criterion=criterion, weights="none")
    backbone = vgg19(weights=None)
    backbone.features.load_state_dict({**backbone.features.state_dict(), **ours.vgg.features.state_dict()})
    monkeypatch.setattr(vgg_arch, "vgg", SimpleNamespace(vgg19=lambda pretrained: backbone))
    theirs = PerceptualLoss(dict(PAPER_LAYERS), vgg_type="vgg19", range_norm=True, criterion="l1")
    if criterion == "l2":
        # BasicSR 1.4.2 asks torch for an L2loss that there never was.
        theirs.criterion = torch.nn.MSELoss()
    a, b = torch.rand(2, 3, 32, 32) * 2 - 1, torch.rand(2, 3, 32, 32) * 2 - 1
    expected, _ = theirs(a, b)
    torch.testing.assert_close(ours(a, b), expected)


def test_identity_gradient_and_frozen_network():
    loss = VGG19PerceptualLoss({"conv1_2": 2.0}, weights="none")
    a, b = (torch.rand(1, 3, 16, 16, requires_grad=True) for _ in range(2))
    assert loss(a, a).item() == 0
    loss(a, b).backward()
    assert a.grad.abs().sum() > 0 and b.grad is None
    assert not any(p.requires_grad for p in loss.parameters())
    assert len(loss.vgg.features) == 3


def test_errors(monkeypatch, tmp_path):
    with pytest.raises(RestoreFormerError, match="Expected layers among .* got conv9_9"):
        VGG19PerceptualLoss({"conv9_9": 1.0}, weights="none")
    with pytest.raises(RestoreFormerError, match="Expected criterion l1 or l2, got l3"):
        VGG19PerceptualLoss(criterion="l3", weights="none")
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "x.pth")
    with pytest.raises(RestoreFormerError, match="Expected the weights of VGGFeatures"):
        VGG19PerceptualLoss(weights=str(tmp_path / "x.pth"))
