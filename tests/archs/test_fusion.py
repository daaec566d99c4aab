"""Eq. 2 to 8 and the variants of Table 4, held against NumPy in float64."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from restoreformer.archs.fusion import FUSIONS, AttentionBlock, Fusion, SpatialFeatureTransform
from restoreformer.errors import RestoreFormerError

CHANNELS, HEADS, SIDE = 8, 2, 3


def tokens(x):
    """``(1, c, h, w)`` as rows of places."""
    return x.detach().numpy()[0].reshape(x.shape[1], -1).T


def linear(x, convolution):
    """Eq. 1 and 5: Z W + b."""
    return x @ convolution.weight.detach().numpy()[:, :, 0, 0].T + convolution.bias.detach().numpy()


def multi_head(block, queries, context):
    """Eq. 2 and 3."""
    attention = block.attention
    q, k, v = linear(queries, attention.q), linear(context, attention.k), linear(context, attention.v)
    heads = []
    for i in range(HEADS):
        part = slice(i * CHANNELS // HEADS, (i + 1) * CHANNELS // HEADS)
        scores = q[:, part] @ k[:, part].T / np.sqrt(CHANNELS // HEADS)
        weights = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        heads.append(weights @ v[:, part])
    return np.concatenate(heads, 1)


def block_by_hand(block, queries, context, residual):
    """Eq. 4 and 6: FFN(LN(Z_mh + residual)); the two convolutions alone are torch's."""
    z = multi_head(block, queries, context) + residual
    z = (z - z.mean(1, keepdims=True)) / np.sqrt(z.var(1, keepdims=True) + 1e-5)
    z = z * block.norm.weight.detach().numpy() + block.norm.bias.detach().numpy()
    grid = torch.from_numpy(z.T.reshape(1, CHANNELS, SIDE, SIDE))
    first, _, second = block.ffn
    hidden = F.silu(F.conv2d(grid, first.weight, first.bias, padding=1))
    return tokens(F.conv2d(hidden, second.weight, second.bias, padding=1))


@pytest.fixture
def maps():
    """Z_d and Z_p."""
    return tuple(torch.randn(1, CHANNELS, SIDE, SIDE, dtype=torch.float64) for _ in range(2))


def fusion(kind):
    net = Fusion(kind, CHANNELS, HEADS).double()
    for name, parameter in net.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(parameter)
    return net


@pytest.mark.parametrize("kind", ["mhca-p", "mhca-d", "mhsa-degraded", "mhsa-prior"])
def test_attention_variants(kind, maps):
    net = fusion(kind)
    z_d, z_p = (tokens(z) for z in maps)
    expected = {"mhca-p": z_p, "mhca-d": z_p, "mhsa-degraded": z_d, "mhsa-prior": z_p}[kind]
    for block in net.blocks:
        queries = z_d if kind.startswith("mhca") else expected
        residual = z_d if kind == "mhca-d" else expected
        expected = block_by_hand(block, queries, expected, residual)
    assert len(net.blocks) == 2
    np.testing.assert_allclose(tokens(net(*maps)), expected, rtol=1e-10, atol=1e-12)


def test_eq_8_is_two_consecutive_mhca(maps):
    net, (z_d, z_p) = fusion("mhca-p"), maps
    first, second = net.blocks

    def mhca(block, prior):
        return block(prior, queries=z_d, residual=prior)

    torch.testing.assert_close(net(z_d, z_p), mhca(second, mhca(first, z_p)))


def test_none_is_the_degraded_features(maps):
    assert torch.equal(fusion("none")(*maps), maps[0])


def test_sft_by_hand():
    sft = SpatialFeatureTransform(1)
    for part, bias in ((sft.scale, 2.0), (sft.shift, 3.0)):
        for layer in part:
            for parameter in layer.parameters():
                torch.nn.init.zeros_(parameter)
        torch.nn.init.constant_(part[-1].bias, bias)
    x = torch.tensor([[[[1.0, -4.0]]]])
    # x * (1 + 2) + 3
    assert sft(x, torch.zeros(1, 1, 1, 2)).tolist() == [[[[6.0, -9.0]]]]


def test_sft_is_local_and_attention_is_not():
    """Gradients of one place of the result: with SFT they come from near by, with attention from everywhere."""
    for kind, everywhere in (("none", False), ("sft", False), ("mhsa-degraded", True), ("mhca-d", True)):
        z_d = torch.randn(1, CHANNELS, 16, 16, requires_grad=True)
        Fusion(kind, CHANNELS, HEADS)(z_d, torch.randn(1, CHANNELS, 16, 16))[0, 0, 0, 0].backward()
        reached = z_d.grad.abs().sum(1)[0]
        assert reached[0, 0] > 0
        assert (reached[12, 12] > 0) == everywhere, kind


def test_gradients_reach_queries_prior_and_every_weight(maps):
    for kind in FUSIONS:
        net = fusion(kind)
        z_d, z_p = (z.clone().requires_grad_() for z in maps)
        net(z_d, z_p).square().sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters() if p.ndim > 1), kind
        assert (z_d.grad is not None) == (kind != "mhsa-prior")
        assert (z_p.grad is not None) == (kind not in ("none", "mhsa-degraded"))


def test_attention_maps_are_the_weights_of_eq_2(maps):
    block = AttentionBlock(CHANNELS, HEADS).double()
    z_d, z_p = maps
    weights = block.attention.maps(z_p, z_d)
    assert weights.shape == (1, HEADS, SIDE * SIDE, SIDE * SIDE)
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights.sum(-1)))
    v = block.attention.v(z_p).reshape(HEADS, CHANNELS // HEADS, -1).transpose(1, 2)
    mixed = (weights[0] @ v).transpose(1, 2).reshape(z_p.shape)
    torch.testing.assert_close(block.attention.attend(z_p, z_d), mixed)


def test_errors():
    with pytest.raises(RestoreFormerError, match="Expected fusion among none, .* got mhca"):
        Fusion("mhca", CHANNELS, HEADS)
    with pytest.raises(RestoreFormerError, match="Expected heads"):
        Fusion("mhca-p", CHANNELS, 3)


def test_parameters_by_hand():
    """Of Sec. 3.1's two MHCA at 256 channels: q, k, v; LN; two 3x3 convolutions."""
    attention, norm, ffn = 3 * (256 * 256 + 256), 2 * 256, 2 * (9 * 256 * 256 + 256)
    for kind in ("mhca-p", "mhca-d", "mhsa-prior", "mhsa-degraded"):
        assert sum(p.numel() for p in Fusion(kind, 256, 8).parameters()) == 2 * (attention + norm + ffn) == 2_756_096
    # Scale and shift, each of two 3x3 convolutions.
    assert sum(p.numel() for p in Fusion("sft", 256, 8).parameters()) == 2 * 2 * ffn == 4_720_640
    assert not list(Fusion("none", 256, 8).parameters())
