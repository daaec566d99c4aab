from types import SimpleNamespace

import pytest
import torch
from basicsr.archs import vgg_arch
from basicsr.losses.basic_loss import PerceptualLoss
from plain_vgg import caffe, plain_vgg16
from small_weights import small_weights
from torch.nn import functional as F
from torchvision.models import vgg16
from torchvision.models.vgg import cfgs, make_layers

from restoreformer.errors import RestoreFormerError
from restoreformer.losses.vgg_perceptual_loss import PAPER_LAYERS, EdgeVGG16PerceptualLoss, VGG19PerceptualLoss


@pytest.mark.parametrize("criterion", ["l1", "l2"])
def test_agrees_with_basicsr(monkeypatch, criterion):
    ours = VGG19PerceptualLoss(criterion=criterion, weights="none")
    features = make_layers(cfgs["E"])
    features.load_state_dict({**features.state_dict(), **ours.vgg.features.state_dict()})
    monkeypatch.setattr(vgg_arch, "vgg", SimpleNamespace(vgg19=lambda pretrained: SimpleNamespace(features=features)))
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
    with pytest.raises(RestoreFormerError, match="layer_weights: conv9_9 is no layer: expected one of conv1_1"):
        VGG19PerceptualLoss({"conv9_9": 1.0}, weights="none")
    with pytest.raises(RestoreFormerError, match="Expected criterion l1 or l2, got l3"):
        VGG19PerceptualLoss(criterion="l3", weights="none")
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "x.pth")
    with pytest.raises(RestoreFormerError, match="Expected the weights of VGGFeatures"):
        VGG19PerceptualLoss(weights=str(tmp_path / "x.pth"))


@pytest.fixture
def edges(tmp_path):
    """A file of a VGG-16's convolutions, and its tensors."""
    with torch.device("meta"):
        tensors = small_weights(vgg16().features.state_dict())
    torch.save(tensors, tmp_path / "edges.pth")
    return tmp_path / "edges.pth", tensors


def test_edge_vgg16_in_float64(edges):
    """Stages weighed 2 and 0.5 apart; features as they are, and brought to length 1 at each place."""
    path, tensors = edges
    a, b = torch.rand(2, 3, 32, 32) * 2 - 1, torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        pairs = list(zip(*(plain_vgg16(tensors, caffe(x)) for x in (a, b)), strict=True))
    features = {"conv2_2": (pairs[1][0][0], pairs[1][1][0]), "relu5_3": (pairs[4][0][1], pairs[4][1][1])}
    for unit, criterion, difference in ((True, "l2", torch.square), (False, "l1", torch.abs)):
        loss = EdgeVGG16PerceptualLoss(path, {"conv2_2": 2.0, "relu5_3": 0.5}, criterion, 3.0, unit)
        brought = {k: [F.normalize(f) if unit else f for f in pair] for k, pair in features.items()}
        terms = {k: difference(f - g).mean().item() for k, (f, g) in brought.items()}
        assert loss(a, b).item() == pytest.approx(3 * (2 * terms["conv2_2"] + 0.5 * terms["relu5_3"]), rel=1e-3)


def test_edge_vgg16_by_default_its_gradient_and_errors(edges, tmp_path):
    path, tensors = edges
    loss = EdgeVGG16PerceptualLoss(path)
    a, b = (torch.rand(1, 3, 32, 32, requires_grad=True) for _ in range(2))
    with torch.no_grad():
        pairs = zip(*(plain_vgg16(tensors, caffe(x)) for x in (a, b)), strict=True)
        expected = sum((F.normalize(f) - F.normalize(g)).square().mean().item() for (f, _), (g, _) in pairs)
    value = loss(a, b)
    assert value.item() == pytest.approx(expected, rel=1e-3) and loss(a, a).item() == 0
    value.backward()
    assert a.grad.abs().sum() > 0 and b.grad is None
    assert not any(p.requires_grad for p in loss.parameters())
    with pytest.raises(RestoreFormerError, match="layer_weights: conv3_4 is no layer: expected one of conv1_1"):
        EdgeVGG16PerceptualLoss(path, {"conv3_4": 1.0})
    torch.save({"0.weight": torch.zeros(1)}, tmp_path / "x.pth")
    with pytest.raises(RestoreFormerError, match="Expected the weights of Sequential for the perceptual loss"):
        EdgeVGG16PerceptualLoss(tmp_path / "x.pth", {"conv1_2": 1.0})
