import pytest
import torch
from basicsr.utils import get_root_logger
from golden import fill, golden_tensor

from restoreformer.errors import RestoreFormerError
from restoreformer.frozen.arcface import ArcFaceResNet18
from restoreformer.frozen.identity import grey_face, narrow_face, settled
from restoreformer.frozen.mobilefacenet import MobileFaceNet
from restoreformer.losses.arcface_identity_loss import ArcFaceIdentityLoss


@pytest.fixture(scope="module")
def tensors():
    return {k: golden_tensor(k, v) for k, v in ArcFaceResNet18().state_dict().items()}


@pytest.fixture(scope="module")
def weights(tmp_path_factory, tensors):
    """A file as released: flat, under the prefix module."""
    path = tmp_path_factory.mktemp("arcface") / "arcface.pth"
    torch.save({f"module.{k}": v for k, v in tensors.items()}, path)
    return str(path)


def test_grey_by_hand():
    image = torch.tensor([1.0, 0.5, -1.0]).view(1, 3, 1, 1).expand(1, 3, 256, 256)
    grey = grey_face(image)
    assert grey.shape == (1, 1, 128, 128)
    torch.testing.assert_close(grey, torch.full_like(grey, 0.2989 + 0.5 * 0.5870 - 0.1140))


def test_value_and_gradient(weights):
    loss = ArcFaceIdentityLoss(weights=weights)
    a, b = (torch.rand(2, 3, 64, 64) * 2 - 1 for _ in range(2))
    with torch.no_grad():
        expected = 1.5 * (loss.net(a) - loss.net(b)).square().mean()
    a.requires_grad_()
    value = loss(a, b)
    torch.testing.assert_close(value.detach(), expected)
    assert loss(a, a).item() == 0
    value.backward()
    assert a.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in loss.parameters())


def test_the_released_form(weights):
    """L1, times 3 (released code)."""
    loss = ArcFaceIdentityLoss(3.0, criterion="l1", weights=weights)
    a, b = (torch.rand(2, 3, 64, 64) * 2 - 1 for _ in range(2))
    expected = 3 * (loss.net(a) - loss.net(b)).abs().mean()
    torch.testing.assert_close(loss(a, b), expected)


def test_weights_may_stand_beside_their_programs_config(tmp_path, weights):
    torch.save(torch.load(weights) | {"config": {"network": "r18"}}, tmp_path / "arcface.pth")
    assert not ArcFaceIdentityLoss(weights=str(tmp_path / "arcface.pth")).net.training


def test_random_weights_are_told(caplog, monkeypatch):
    monkeypatch.setattr(get_root_logger(), "propagate", True)
    with caplog.at_level("WARNING", logger="basicsr"):
        ArcFaceIdentityLoss(weights="none")
    assert "identity loss uses a RANDOM network" in caplog.text


def test_made_quicker_it_is_the_same(tensors):
    net = ArcFaceResNet18()
    net.load_state_dict(tensors)
    quick = settled(net.eval().double())
    x = torch.rand(2, 1, 128, 128, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(quick(x), net(x), rtol=1e-6, atol=1e-6)
    a, b = (torch.autograd.grad(n(x).square().sum(), x)[0] for n in (quick, net))
    assert (a - b).norm() < 1e-6 * b.norm()
    names = [type(layer).__name__ for layer in quick.modules()]
    assert "PReLU" not in names and names.count("BatchNorm2d") < 10


def test_mobilefacenet_in_its_place(tmp_path):
    net = fill(MobileFaceNet())
    torch.save({"net_state_dict": net.state_dict()}, tmp_path / "mobilefacenet.ckpt")
    loss = ArcFaceIdentityLoss(2.0, weights=str(tmp_path / "mobilefacenet.ckpt"), network="mobilefacenet")
    a, b = (torch.rand(2, 3, 64, 64) * 2 - 1 for _ in range(2))
    with torch.no_grad():
        expected = 2 * (net(narrow_face(a)) - net(narrow_face(b))).square().mean()
    a.requires_grad_()
    value = loss(a, b)
    torch.testing.assert_close(value.detach(), expected, rtol=1e-3, atol=0)
    value.backward()
    assert a.grad.abs().sum() > 0 and not any(p.requires_grad for p in loss.parameters())
    with pytest.raises(RestoreFormerError, match="Expected weights for the identity loss, got nothing"):
        ArcFaceIdentityLoss(network="mobilefacenet")
    with pytest.raises(RestoreFormerError, match="Expected network arcface_resnet18 or mobilefacenet, got x"):
        ArcFaceIdentityLoss(network="x")
