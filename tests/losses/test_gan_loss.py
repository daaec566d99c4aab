"""BasicSR's GANLoss is used as it is: what it gives for Eq. 11, 12 and 17, and for the released hinge."""

import numpy as np
import pytest
import torch
from basicsr.losses.gan_loss import GANLoss

REAL, FAKE = np.array([2.0, -1.0]), np.array([0.5, -3.0])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def value(loss, logits, target, is_disc):
    return loss(torch.from_numpy(logits), target, is_disc=is_disc).item()


def test_the_discriminator_maximises_eq_12():
    """L_adv = log D(I_h) + log(1 - D(result)), D the sigmoid of the logits: it descends on -L_adv."""
    loss = GANLoss("vanilla", loss_weight=0.8)
    l_adv = np.log(sigmoid(REAL)).mean() + np.log(1 - sigmoid(FAKE)).mean()
    total = value(loss, REAL, True, True) + value(loss, FAKE, False, True)
    assert total == pytest.approx(-l_adv), "without lambda_adv, which is the generator's"


def test_the_generator_takes_the_form_that_does_not_saturate():
    """-log D(result) in place of log(1 - D(result)): both fall as D(result) rises (Goodfellow et al. 2014, Sec. 3)."""
    loss = GANLoss("vanilla", loss_weight=0.8)
    assert value(loss, FAKE, True, False) == pytest.approx(-0.8 * np.log(sigmoid(FAKE)).mean())
    logits = torch.from_numpy(FAKE).requires_grad_()
    loss(logits, True, is_disc=False).backward()
    assert (logits.grad < 0).all()


def test_hinge():
    """Released: mean max(0, 1 - real) + mean max(0, 1 + fake), and -mean fake; the released half on the first is left
    to Adam, which does not see it."""
    loss = GANLoss("hinge", loss_weight=0.8)
    assert value(loss, REAL, True, True) == pytest.approx(np.maximum(0, 1 - REAL).mean())
    assert value(loss, FAKE, False, True) == pytest.approx(np.maximum(0, 1 + FAKE).mean())
    assert value(loss, FAKE, True, False) == pytest.approx(0.8 * -FAKE.mean())
