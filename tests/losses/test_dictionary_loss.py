import pytest
import torch

from restoreformer.losses.dictionary_loss import CommitmentLoss, DictionaryLoss

LATENTS = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 1, 2, 2)
PRIOR = torch.tensor([1.0, 0.0, 3.0, 6.0]).view(1, 1, 2, 2)


@pytest.mark.parametrize("cls, weight, default", [(DictionaryLoss, 0.5, 1.0), (CommitmentLoss, 0.5, 0.25)])
def test_value_by_hand(cls, weight, default):
    # (0 + 4 + 0 + 4) / 4
    assert cls(weight)(LATENTS, PRIOR).item() == weight * 2
    assert cls()(LATENTS, PRIOR).item() == default * 2


@pytest.mark.parametrize("cls, learns", [(DictionaryLoss, "prior"), (CommitmentLoss, "latents")])
def test_gradient_reaches_one_side(cls, learns):
    tensors = {"latents": LATENTS.clone().requires_grad_(), "prior": PRIOR.clone().requires_grad_()}
    cls(1.0)(**tensors).backward()
    sign = 1 if learns == "latents" else -1
    # d/dx mean (x - y)^2 = 2 (x - y) / 4
    assert tensors.pop(learns).grad.flatten().tolist() == [0.0, sign * 1.0, 0.0, sign * -1.0]
    assert next(iter(tensors.values())).grad is None
