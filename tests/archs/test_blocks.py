import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from restoreformer.archs.blocks import (
    Downsample,
    MultiHeadAttention,
    Norm,
    NormSiLU,
    ResidualBlock,
    Upsample,
    straight_through,
)


def test_attention_agrees_with_torch():
    """The same weights in torch's own multi-head attention give the same map."""
    ours = MultiHeadAttention(64, heads=4).eval()
    theirs = nn.MultiheadAttention(64, 4, batch_first=True).eval()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.q.weight, ours.k.weight, ours.v.weight]).flatten(1))
        theirs.in_proj_bias.copy_(torch.cat([ours.q.bias, ours.k.bias, ours.v.bias]))
        theirs.out_proj.weight.copy_(ours.proj_out.weight.flatten(1))
        theirs.out_proj.bias.copy_(ours.proj_out.bias)
        x, queries = torch.randn(2, 64, 4, 6), torch.randn(2, 64, 4, 6)
        q, k = (t.flatten(2).transpose(1, 2) for t in (ours.norm2(queries), ours.norm1(x)))
        expected = x + theirs(q, k, k, need_weights=False)[0].transpose(1, 2).reshape(x.shape)
        torch.testing.assert_close(ours(x, queries), expected)
        own, _ = theirs(k, k, k, need_weights=False)
        torch.testing.assert_close(ours(x), x + own.transpose(1, 2).reshape(x.shape))


def test_attention_by_hand():
    """Eq. 2 and 3 in float64, one head after the other."""
    attention = MultiHeadAttention(32, heads=2).double()
    x, queries = torch.randn(1, 32, 2, 2).double(), torch.randn(1, 32, 2, 2).double()
    out = attention(x, queries)
    keys = attention.norm1(x)
    q, k, v = attention.q(attention.norm2(queries)), attention.k(keys), attention.v(keys)
    heads = []
    for i in range(2):
        qi, ki, vi = (t[0, 16 * i : 16 * (i + 1)].flatten(1).T.detach().numpy() for t in (q, k, v))
        weights = np.exp(qi @ ki.T / np.sqrt(16))
        heads.append((weights / weights.sum(1, keepdims=True)) @ vi)
    mixed = torch.from_numpy(np.concatenate(heads, 1).T.reshape(1, 32, 2, 2))
    torch.testing.assert_close(out, x + attention.proj_out(mixed))


def test_attention_errors():
    with pytest.raises(ValueError, match="head_size"):
        MultiHeadAttention(64, heads=3)
    with pytest.raises(ValueError, match="Expected queries of shape"):
        MultiHeadAttention(32, 1)(torch.zeros(1, 32, 4, 4), torch.zeros(1, 32, 2, 2))


def test_width_must_suit_group_norm():
    with pytest.raises(ValueError, match="32 divides"):
        ResidualBlock(48, 48)


def test_resampling_shapes_and_padding():
    x = torch.randn(1, 32, 8, 8)
    down = Downsample(32)
    assert down(x).shape == (1, 32, 4, 4)
    # Padded right and bottom: the first output sees no padding.
    expected = F.conv2d(x[:, :, :3, :3], down.conv.weight, down.conv.bias)
    torch.testing.assert_close(down(x)[:, :, :1, :1], expected)
    assert Upsample(32)(x).shape == (1, 32, 16, 16)


def test_straight_through():
    latents, values = torch.randn(3, requires_grad=True), torch.randn(3)
    out = straight_through(values, latents)
    torch.testing.assert_close(out, values)
    (out * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert latents.grad.tolist() == [1.0, 2.0, 3.0]
    with torch.no_grad():
        assert torch.equal(straight_through(values, latents), values)
    entries = torch.randn(3, requires_grad=True)
    assert not straight_through(entries, torch.randn(3)).requires_grad, "a fixed encoder passes nothing to the entries"


def test_upsampling_is_nearest_neighbour_then_a_convolution():
    """In float64, with the borders, and with the same gradients; at 4/9 of the operations."""
    up = Upsample(32).double()
    x = torch.randn(2, 32, 3, 5, dtype=torch.float64, requires_grad=True)
    expected = F.conv2d(F.interpolate(x, scale_factor=2.0), up.conv.weight, up.conv.bias, padding=1)
    found = up(x)
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(found)
    for a, b in zip(
        torch.autograd.grad((found * weights).sum(), (x, up.conv.weight, up.conv.bias)),
        torch.autograd.grad((expected * weights).sum(), (x, up.conv.weight, up.conv.bias)),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_norm_and_silu_are_torchs_and_leave_their_input():
    layer = NormSiLU(64)
    x = torch.randn(2, 64, 4, 4)
    before = x.clone()
    expected = F.silu(F.group_norm(x, 32, layer.weight, layer.bias, 1e-6))
    torch.testing.assert_close(layer(x), expected)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), expected)
    assert torch.equal(x, before)
    with torch.no_grad():
        block = ResidualBlock(64, 64)
        block(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("learning", [False, True])
def test_norms_keep_half_precision(learning):
    """Under autocast too, and near what float32 gives, forward and back."""
    layer, x = Norm(64), torch.randn(2, 64, 8, 8, requires_grad=learning)
    with torch.autocast("cpu", torch.bfloat16):
        half = layer(x.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), layer(x), rtol=0.02, atol=0.02)
    if learning:
        weights = torch.randn_like(x)
        a, b = (torch.autograd.grad((out.float() * weights).sum(), (x, layer.weight)) for out in (half, layer(x)))
        for found, expected in zip(a, b, strict=True):
            assert (found - expected).norm() < 0.01 * expected.norm()


def test_checkpointing_changes_nothing():
    block, x = ResidualBlock(32, 64), torch.randn(2, 32, 4, 4)
    plain = torch.autograd.grad(block(x).square().sum(), list(block.parameters()))
    block.checkpointing = True
    again = torch.autograd.grad(block(x).square().sum(), list(block.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))
