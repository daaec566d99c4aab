import pytest
import torch

from restoreformer.models.adaptive_weight import adaptive_weight


def test_by_hand():
    layer = torch.tensor([1.0, 2.0], requires_grad=True)
    # d image / d layer is (10, 100): gradients (30, 400) and (0, 200) at the layer.
    image = layer * torch.tensor([10.0, 100.0])
    weight = adaptive_weight(image, torch.tensor([3.0, 4.0]), torch.tensor([0.0, 2.0]), layer)
    assert weight.item() == pytest.approx((30**2 + 400**2) ** 0.5 / 200.0001)
    assert not weight.requires_grad


def test_bounds():
    layer = torch.ones(1, requires_grad=True)
    image, one = 1 * layer, torch.ones(1)
    assert adaptive_weight(image, 1e9 * one, 0 * one, layer).item() == 1e4
    assert adaptive_weight(image, 0 * one, one, layer).item() == 0
