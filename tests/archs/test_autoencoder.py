import pytest
import torch

from restoreformer.archs.hq_dictionary_arch import HQDictionary
from restoreformer.archs.restoreformer_arch import RestoreFormer


@pytest.mark.parametrize("cls", [HQDictionary, RestoreFormer])
def test_any_multiple_of_the_factor(cls, small_net):
    net = cls(**small_net).eval()
    with torch.no_grad():
        out = net(torch.randn(2, 3, 32, 48), with_latents=True)
        assert net.encode(torch.randn(2, 3, 32, 48)).shape == (2, 64, 8, 12)
    assert out.image.shape == (2, 3, 32, 48)
    assert out.latents.shape == out.prior.shape == (2, 64, 8, 12)
    assert out.indices.shape == (2, 8, 12)


@pytest.mark.parametrize("shape", [(1, 3, 30, 32), (1, 3, 32, 0), (1, 1, 32, 32), (3, 32, 32)])
def test_other_inputs_are_refused(shape, small_net):
    with pytest.raises(ValueError, match="multiples of 4, got"):
        HQDictionary(**small_net)(torch.zeros(shape))


def test_released_configuration_wants_multiples_of_32():
    with torch.device("meta"):
        assert RestoreFormer().size_multiple == 32


def test_restoration_asks_with_the_degraded_face(small_net):
    """With the same weights and latents, what the decoder asks with changes RestoreFormer's result only."""
    restore, reconstruct = RestoreFormer(**small_net).eval(), HQDictionary(**small_net).eval()
    reconstruct.load_state_dict(restore.state_dict())
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        a, b = restore(x, with_latents=True), reconstruct(x, with_latents=True)
    assert torch.equal(a.indices, b.indices)
    assert (a.image - b.image).abs().max() > 1e-3


def test_gradients_reach_every_part_that_learns(small_net):
    net = RestoreFormer(**small_net)
    out = net(torch.randn(1, 3, 32, 32), with_latents=True)
    (out.image.square().mean() + (out.latents - out.prior).square().mean()).backward()
    assert all((p.grad is not None) == p.requires_grad for p in net.parameters())
    # norm2 belongs to cross-attention; the encoder attends to itself.
    idle = [name for name, p in net.named_parameters() if not p.requires_grad]
    assert idle and all(name.startswith("encoder.") and ".norm2." in name and "attn" in name for name in idle)


@pytest.mark.parametrize("resolutions", [[20], [32, 16]])
def test_attention_where_it_cannot_be(resolutions, small_net):
    with pytest.raises(ValueError, match="Expected attn_resolutions among"):
        RestoreFormer(**{**small_net, "attn_resolutions": resolutions})


def test_dictionary_may_attend_at_several_resolutions(small_net):
    net = HQDictionary(**{**small_net, "attn_resolutions": [32, 16]})
    assert net(torch.randn(1, 3, 64, 64)).shape == (1, 3, 64, 64)
