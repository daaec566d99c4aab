"""Cross-attention above the lowest resolution, as RestoreFormer++ has it."""

import copy

import numpy as np
import pytest
import torch
from golden import fill, golden_input

from restoreformer.archs.blocks import MultiHeadAttention
from restoreformer.archs.checkpoint import load_weights, read_checkpoint, save_checkpoint
from restoreformer.archs.hq_dictionary_arch import HQDictionary
from restoreformer.archs.precision import set_precision
from restoreformer.archs.restoreformer_arch import RELEASED_FUSIONS, RestoreFormer
from restoreformer.errors import RestoreFormerError


def array(x):
    return x.detach().double().numpy()


def group_norm(x, norm):
    groups = x.reshape(x.shape[0], 32, -1)
    normal = (groups - groups.mean(2, keepdims=True)) / np.sqrt(groups.var(2, keepdims=True) + 1e-6)
    return normal.reshape(x.shape) * array(norm.weight)[:, None, None] + array(norm.bias)[:, None, None]


def linear(x, layer):
    return np.einsum("oc,nchw->nohw", array(layer.weight)[:, :, 0, 0], x) + array(layer.bias)[:, None, None]


def attention_by_hand(layer, x, asking, residual, heads):
    """One head after the other, in float64."""
    source = group_norm(x, layer.norm1)
    q, k, v = linear(asking, layer.q), linear(source, layer.k), linear(source, layer.v)
    out = np.empty_like(x)
    size = x.shape[1] // heads
    for part in (slice(i * size, (i + 1) * size) for i in range(heads)):
        a, b, c = (t[0, part].reshape(size, -1) for t in (q, k, v))
        weights = np.exp(a.T @ b / np.sqrt(size))
        out[0, part] = (c @ (weights / weights.sum(1, keepdims=True)).T).reshape(size, *x.shape[2:])
    return residual + linear(out, layer.proj_out)


@pytest.mark.parametrize("fusion", RELEASED_FUSIONS)
def test_each_attention_asks_with_its_feature(fusion, small_net):
    """At 32x32 with what the encoder's level has before it is halved (the released ``block_4``)."""
    net = fill(RestoreFormer(fusion, extra_attn_resolutions=[32], **{**small_net, "num_res_blocks": 2}))
    features, seen = {}, {}
    net.encoder.down[1].downsample.register_forward_pre_hook(lambda m, i: features.update(up_1=i[0]))
    net.encoder.mid.block_1.register_forward_hook(lambda m, i, out: features.update(up_2=out))
    net.encoder.mid.block_2.register_forward_hook(lambda m, i, out: features.update(mid=out))
    layers = {
        name: m
        for name, m in net.decoder.named_modules()
        if isinstance(m, MultiHeadAttention) and net.is_attention(f"decoder.{name}.q.weight")
    }
    for name, layer in layers.items():
        layer.register_forward_hook(lambda m, i, out, name=name: seen.update({name: (i[0], out)}))
    with torch.no_grad():
        image = net(golden_input(1, 3, 64, 64))
    asked = {"mid.attn_1": "mid"} | {f"up.{level}.attn.{i}": f"up_{level}" for level in (1, 2) for i in range(3)}
    assert layers.keys() == seen.keys() == asked.keys() and torch.isfinite(image).all()
    for name, (x, out) in seen.items():
        layer, x = layers[name], array(x)
        feature = array(features[asked[name]])
        crossed = fusion.startswith("mhca")
        asking = group_norm(feature, layer.norm2) if crossed else group_norm(x, layer.norm1)
        expected = attention_by_hand(layer, x, asking, feature if fusion == "mhca-d" else x, heads=4)
        np.testing.assert_allclose(out.numpy(), expected, atol=1e-4)


def test_every_new_weight_learns_and_counts_as_attention(small_net):
    net = RestoreFormer(extra_attn_resolutions=[32], **small_net)
    net(torch.randn(1, 3, 32, 48)).square().mean().backward()
    new = [name for name in net.state_dict() if name.startswith(net.new_tensors)]
    assert len(new) == 2 * 12 and all(net.get_parameter(n).grad.any() and net.is_attention(n) for n in new)


def test_stage_2_begins_with_a_dictionary_without_them(tmp_path, small_net):
    one, two = HQDictionary(**small_net), RestoreFormer(extra_attn_resolutions=[32], **small_net)
    save_checkpoint(tmp_path / "one.pth", one)
    checkpoint = read_checkpoint(tmp_path / "one.pth")
    left = load_weights(two, checkpoint, (two.STAGE_1,), two.new_tensors)
    assert {name.rsplit(".", 3)[0] for name in left} == {"decoder.up.1.attn"}
    assert all(torch.equal(two.state_dict()[name], v) for name, v in one.state_dict().items())
    with pytest.raises(RestoreFormerError, match=r"Expected extra_attn_resolutions: \[32\] .* with .*: \[\]"):
        load_weights(two, checkpoint._replace(config=RestoreFormer(**small_net).config | {"type": "RestoreFormer"}))


def test_half_precision_reaches_what_is_asked_with(small_net):
    """The first level computes in bfloat16 here, and its feature is handed on.

    Both look up the same entries: one of a random dictionary that is confused with its neighbour, as rounding does
    on some processors and not on others, changes all of the image.
    """
    net = fill(RestoreFormer(extra_attn_resolutions=[32, 64], **small_net))
    half = copy.deepcopy(net)
    set_precision(half, "bf16")
    x = golden_input(1, 3, 32, 32)
    seen = {}
    net.quantize.register_forward_hook(lambda m, i, out: seen.update(found=out))
    half.quantize.register_forward_hook(lambda m, i, out: seen["found"])
    with torch.no_grad():
        expected, found = net(x), half(x)
    assert found.dtype == torch.float32 and 0 < (found - expected).norm() < 0.05 * expected.norm()


def test_where_they_cannot_be(small_net):
    with pytest.raises(RestoreFormerError, match=r"Expected extra_attn_resolutions among \[64, 32\] .* got \[16\]"):
        RestoreFormer(extra_attn_resolutions=[16], **small_net)
    with pytest.raises(TypeError, match="extra_attn_resolutions"):
        HQDictionary(extra_attn_resolutions=[32], **small_net)
