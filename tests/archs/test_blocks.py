import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from restoreformer.archs.blocks import Downsample, MultiHeadAttention, ResidualBlock, Upsample, straight_through


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
