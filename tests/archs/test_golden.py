"""Outputs of the released networks, for weights and inputs made by a formula (tests/golden.py)."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from golden import fill, golden_input
from torch import nn

from restoreformer.archs.component_discriminator_arch import ComponentDiscriminator
from restoreformer.archs.hq_dictionary_arch import HQDictionary
from restoreformer.archs.patch_discriminator_arch import PatchDiscriminator
from restoreformer.archs.restoreformer_arch import RestoreFormer
from restoreformer.frozen.arcface import ArcFaceResNet18

HERE = Path(__file__).parent
GOLDEN = np.load(HERE / "golden.npz")
SHAPES = json.loads((HERE / "state_dict_shapes.json").read_text())


def check_shapes(net: nn.Module, name: str) -> None:
    assert {k: list(v.shape) for k, v in net.state_dict().items()} == SHAPES[name]


@pytest.mark.parametrize("name, cls", [("restoreformer", RestoreFormer), ("hq_dictionary", HQDictionary)])
@pytest.mark.parametrize("size, side, stride", [("full", 512, 16), ("small", 64, 4)])
def test_autoencoders(name, cls, size, side, stride, small_net):
    net = cls() if size == "full" else cls(**small_net)
    check_shapes(net, f"{name}_{size}")
    fill(net)
    with torch.no_grad():
        out = net(golden_input(1, 3, side, side), with_latents=True)
    key = f"{name}_{size}_"
    assert (out.indices.flatten().numpy() == GOLDEN[key + "indices"]).all()
    np.testing.assert_allclose(out.image[0, :, ::stride, ::stride].numpy(), GOLDEN[key + "out"], atol=1e-4)
    # The released loss, 1.0 + 0.25 of one mean square: both terms have the same value.
    assert 1.25 * (out.prior - out.latents).square().mean().item() == pytest.approx(float(GOLDEN[key + "embloss"]))
    if key + "stats" in GOLDEN:
        assert [out.image.mean().item(), out.image.std().item()] == pytest.approx(
            GOLDEN[key + "stats"].tolist(), abs=1e-4
        )


def test_arcface():
    net = ArcFaceResNet18()
    check_shapes(net, "arcface_resnet18")
    with torch.no_grad():
        out = fill(net)(golden_input(2, 1, 128, 128))
    np.testing.assert_allclose(out.numpy(), GOLDEN["arcface_out"], atol=2e-4)


def test_patch_discriminator():
    net = PatchDiscriminator()
    check_shapes(net, "patch_discriminator")
    with torch.no_grad():
        out = fill(net)(golden_input(1, 3, 64, 64))
    np.testing.assert_allclose(out.numpy(), GOLDEN["patch_discriminator_out"], atol=1e-5)


def test_component_discriminator():
    net = ComponentDiscriminator()
    check_shapes(net, "component_discriminator")
    fill(net)
    with torch.no_grad():
        logits, features = net(golden_input(2, 3, 80, 80), with_features=True)
        assert torch.equal(net(golden_input(2, 3, 80, 80)), logits)
    np.testing.assert_allclose(logits.numpy(), GOLDEN["component_discriminator_out"], atol=1e-5)
    for i, feature in enumerate(features):
        expected = GOLDEN[f"component_discriminator_feat{i}"]
        np.testing.assert_allclose(feature[:, ::16, ::4, ::4].numpy(), expected, atol=1e-5)
