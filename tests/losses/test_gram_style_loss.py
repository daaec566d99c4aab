import numpy as np
import pytest
import torch

from restoreformer.errors import RestoreFormerError
from restoreformer.losses.gram_style_loss import GramStyleLoss, gram


def test_gram_by_hand():
    features = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).view(1, 2, 1, 2)
    # Rows (1, 2) and (3, 4), over c*h*w = 4.
    assert gram(features).tolist() == [[[5 / 4, 11 / 4], [11 / 4, 25 / 4]]]


def test_value_in_float64():
    a, b = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)

    def by_hand(x):
        flat = x.double().numpy().reshape(2, 3, 20)
        return np.einsum("nik,njk->nij", flat, flat) / 60

    expected = 2000 * ((by_hand(a) - by_hand(b)) ** 2).mean()
    assert GramStyleLoss()([a], [b]).item() == pytest.approx(expected, rel=1e-5)
    assert GramStyleLoss()([a, a], [b, a]).item() == pytest.approx(expected, rel=1e-5)


def test_place_does_not_matter_but_features_must_pair():
    a = torch.randn(1, 3, 4, 4)
    assert GramStyleLoss()([a.flip(3)], [a]).item() == pytest.approx(0, abs=1e-8)
    with pytest.raises(ValueError):
        GramStyleLoss()([a], [a, a])


def test_gradient_reaches_the_result_only():
    a, b = (torch.randn(1, 3, 4, 4, requires_grad=True) for _ in range(2))
    GramStyleLoss()([a], [b]).backward()
    assert a.grad.abs().sum() > 0 and b.grad is None
    x = a.detach().double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: GramStyleLoss(1.0)([x], [b.double()]), x)


def test_the_released_form():
    """L1 of Gram matrices, half for the first feature map (released code)."""
    a, b = torch.randn(2, 1, 3, 4, 4)
    c, d = torch.randn(2, 1, 5, 2, 2)
    expected = 2000 * (0.5 * (gram(a) - gram(b)).abs().mean() + (gram(c) - gram(d)).abs().mean())
    loss = GramStyleLoss(2000.0, criterion="l1", layer_weights=[0.5, 1.0])
    torch.testing.assert_close(loss([a, c], [b, d]), expected)
    with pytest.raises(RestoreFormerError, match="Expected layer_weights for 1 feature maps, got 2"):
        loss([a], [b])
    with pytest.raises(RestoreFormerError, match="Expected criterion l1 or l2, got l3"):
        GramStyleLoss(criterion="l3")
