import copy

import pytest
import torch
from golden import fill, golden_input

from restoreformer.archs.hq_dictionary_arch import HQDictionaryPaper
from restoreformer.archs.precision import halve, set_precision
from restoreformer.archs.restoreformer_arch import RestoreFormer, RestoreFormerPaper
from restoreformer.errors import RestoreFormerError

PAPER = {"n_embed": 32, "embed_dim": 128, "ch": 32, "ch_mult": [1, 1, 2], "num_res_blocks": 1, "resolution": 64}


def dtypes(net):
    return {name: p.dtype for name, p in net.named_parameters()}


def test_what_chooses_entries_stays_in_float32(small_net):
    net = RestoreFormer(**small_net)
    set_precision(net, "bf16")
    half = {name for name, dtype in dtypes(net).items() if dtype == torch.bfloat16}
    # A third of three levels is one.
    starts = ("encoder.down.0.", "decoder.", "post_quant_conv.")
    assert half == {name for name in dtypes(net) if name.startswith(starts)}
    assert len(RestoreFormer(ch_mult=(1, 1, 1, 1, 1, 1), ch=32, num_res_blocks=1).half_parts()) == 2 + 2


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_images_are_near_float32s(small_net, precision):
    net = fill(RestoreFormer(**small_net))
    half = copy.deepcopy(net)
    set_precision(half, precision)
    x = golden_input(1, 3, 64, 64)
    with torch.no_grad():
        expected, found = net(x, with_latents=True), half(x, with_latents=True)
        assert found.image.dtype == found.latents.dtype == found.prior.dtype == torch.float32
        assert (found.indices == expected.indices).float().mean() > 0.95
        exact, decoded = (n.decode_prior(expected.prior) for n in (net, half))
        assert 0 < (decoded - exact).norm() < 0.02 * exact.norm()
        torch.testing.assert_close(half(x), found.image)


def test_the_whole_encoder_in_half_precision_would_be_worse(small_net):
    net = fill(RestoreFormer(**small_net))
    ours, whole = copy.deepcopy(net), copy.deepcopy(net)
    set_precision(ours, "bf16")
    for part in (whole.encoder, whole.quant_conv):
        halve(part, torch.bfloat16)
    x = golden_input(1, 3, 64, 64)
    with torch.no_grad():
        errors = [(other.encode(x) - net.encode(x)).norm().item() for other in (ours, whole)]
    assert 0 < errors[0] < 0.6 * errors[1]


@pytest.mark.parametrize(
    "net",
    [
        RestoreFormerPaper(heads=4, **PAPER),
        RestoreFormerPaper("sft", heads=4, **PAPER),
        HQDictionaryPaper(**PAPER),
        RestoreFormerPaper(heads=4, **{**PAPER, "encoder": "vgg19"}),
    ],
    ids=["mhca-p", "sft", "dictionary", "vgg19"],
)
def test_the_papers_networks_too(net):
    set_precision(net.eval(), "bf16")
    assert dtypes(net)["decoder.conv_out.weight"] == torch.bfloat16
    assert dtypes(net)["quantize.embedding.weight"] == torch.float32
    with torch.no_grad():
        assert net(torch.zeros(1, 3, 64, 64)).dtype == torch.float32


def test_float32_changes_nothing_and_other_names_are_errors(small_net):
    net = RestoreFormer(**small_net)
    set_precision(net, "fp32")
    assert set(dtypes(net).values()) == {torch.float32} and not net.decoder._forward_pre_hooks
    with pytest.raises(RestoreFormerError, match="Expected precision among fp32, bf16, fp16, got half"):
        set_precision(net, "half")
    set_precision(net, "bf16")
    with pytest.raises(RestoreFormerError, match="Expected a network in float32, but encoder.down.0"):
        set_precision(net, "fp16")
