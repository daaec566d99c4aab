import pytest
import torch

from restoreformer.models.adaptive_weight import adaptive_weight


def test_by_hand():
    layer = torch.tensor([1.0, 2.0], requires_grad=True)
    # Gradients (3, 4) and (0, 2).
    weight = adaptive_weight((layer * torch.tensor([3.0, 4.0])).sum(), 2 * layer[1], layer)
    assert weight.item() == pytest.approx(5 / 2.0001)
    assert not weight.requires_grad


def test_bounds():
    layer = torch.ones(1, requires_grad=True)
    assert adaptive_weight(1e9 * layer.sum(), 0 * layer.sum(), layer).item() == 1e4
    assert adaptive_weight(0 * layer.sum(), layer.sum(), layer).item() == 0
