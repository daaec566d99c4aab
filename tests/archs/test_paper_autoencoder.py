"""The network of Sec. 3.1 and 3.2, and what becomes of stage 1's in stage 2."""

import pytest
import torch
from torch import nn
from torchvision.models import vgg19

from restoreformer.archs.blocks import Attention, AveragePool, NearestUpsample, ResidualBlock
from restoreformer.archs.build import DICTIONARIES, build_from_checkpoint
from restoreformer.archs.checkpoint import load_weights, read_checkpoint, save_checkpoint
from restoreformer.archs.fusion import FUSIONS
from restoreformer.archs.hq_dictionary_arch import HQDictionary, HQDictionaryPaper
from restoreformer.archs.restoreformer_arch import RELEASED_FUSIONS, RestoreFormer, RestoreFormerPaper
from restoreformer.archs.vgg19 import POOLINGS, WIDTHS, VGG19Encoder
from restoreformer.errors import RestoreFormerError

SMALL = {"n_embed": 32, "embed_dim": 64, "ch": 32, "ch_mult": [1, 1, 2], "num_res_blocks": 1, "resolution": 64}


def count(net, kind):
    return sum(isinstance(m, kind) for m in net.modules())


def test_the_papers_numbers():
    """12 residual blocks and 5 poolings, 12 and 5 upsamplings, Z of 16x16x256, 1024 entries, no attention inside."""
    with torch.device("meta"):
        net = RestoreFormerPaper()
        assert net.encode(torch.empty(1, 3, 512, 512)).shape == (1, 256, 16, 16)
        assert net.decode_prior(torch.empty(1, 256, 16, 16)).shape == (1, 3, 512, 512)
    assert (count(net.encoder, ResidualBlock), count(net.encoder, AveragePool)) == (12, 5)
    assert (count(net.decoder, ResidualBlock), count(net.decoder, NearestUpsample)) == (12, 5)
    assert net.quantize.embedding.weight.shape == (1024, 256)
    assert count(net.encoder, Attention) == count(net.decoder, Attention) == 0
    assert count(net.fusion, Attention) == 2


def test_stage_1_has_the_same_encoder_and_decoder():
    """End of Sec. 3.2."""
    with torch.device("meta"):
        one, two = HQDictionaryPaper(), RestoreFormerPaper()
    shapes = {k: v.shape for k, v in one.state_dict().items()}
    later = {k: v.shape for k, v in two.state_dict().items()}
    assert shapes == {k: v for k, v in later.items() if not k.startswith("fusion.")}


def test_resampling_by_hand():
    x = torch.tensor([[1.0, 2.0], [3.0, 6.0]])[None, None]
    assert AveragePool()(x).tolist() == [[[[3.0]]]]
    assert NearestUpsample()(x[:, :, :1]).tolist() == [[[[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0]]]]


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_row_of_table_4(fusion):
    net = RestoreFormerPaper(fusion, heads=4, **SMALL)
    out = net(torch.randn(2, 3, 32, 48), with_latents=True)
    assert out.image.shape == (2, 3, 32, 48) and out.latents.shape == out.prior.shape == (2, 64, 8, 12)
    net.quantize.requires_grad_(False)
    (out.image.square().mean() + (out.latents - out.prior.detach()).square().mean()).backward()
    idle = [n for n, p in net.named_parameters() if p.requires_grad and p.grad is None]
    assert not idle, "DDP would wait for these"


@pytest.mark.parametrize("fusion", RELEASED_FUSIONS)
def test_rows_of_table_4_in_the_released_structure(fusion, small_net):
    net = RestoreFormer(fusion, **small_net)
    net.quantize.requires_grad_(False)
    out = net(torch.randn(1, 3, 32, 32), with_latents=True)
    (out.image.square().mean() + (out.latents - out.prior).square().mean()).backward()
    assert not [n for n, p in net.named_parameters() if p.requires_grad and p.grad is None]
    # The same tensors in all: only what is asked and what is added to differ.
    assert net.state_dict().keys() == RestoreFormer(**small_net).state_dict().keys()


def test_what_the_released_variants_compute(small_net):
    nets = {f: RestoreFormer(f, **small_net).eval() for f in RELEASED_FUSIONS}
    for net in nets.values():
        net.load_state_dict(nets["mhca-p"].state_dict())
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        images = {f: net(x) for f, net in nets.items()}
        reconstruct = HQDictionary(**small_net).eval()
        reconstruct.load_state_dict(nets["mhca-p"].state_dict())
        assert torch.equal(images["mhsa-prior"], reconstruct(x)), "stage 1 attends to the prior"
        decoder, latents = reconstruct.decoder, reconstruct.encode(x)
        assert torch.equal(images["mhsa-degraded"], decoder(reconstruct.post_quant_conv(latents)))
        attention = nets["mhca-d"].decoder.mid.attn_1
        a, b = torch.randn(2, 1, 128, 4, 4)
        torch.testing.assert_close(attention(a, b) - b, nets["mhca-p"].decoder.mid.attn_1(a, b) - a)
    assert len({image.sum().item() for image in images.values()}) == 4


@pytest.mark.parametrize("fusion", ["none", "sft"])
def test_local_fusions_belong_to_the_papers_structure(fusion, small_net):
    with pytest.raises(RestoreFormerError, match=f"got {fusion}: RestoreFormerPaper has it"):
        RestoreFormer(fusion, **small_net)
    with pytest.raises(RestoreFormerError, match=r"Expected fusion among .*, got mhca\."):
        RestoreFormer("mhca", **small_net)


def test_the_gradient_of_the_prior_is_copied_to_the_features():
    """End of Sec. 3.2, exactly; the dictionary receives none of it."""
    net = HQDictionaryPaper(**SMALL)
    kept = {}
    net.encoder.register_forward_hook(lambda m, i, out: kept.update(latents=out) or out.retain_grad())
    net.decoder.register_forward_pre_hook(lambda m, i: kept.update(z=i[0]) or i[0].retain_grad())
    net(torch.randn(1, 3, 32, 32)).square().sum().backward()
    assert torch.equal(kept["latents"].grad, kept["z"].grad) and kept["z"].grad.abs().sum() > 0
    assert net.quantize.embedding.weight.grad is None


def test_stage_2_begins_with_stage_1_and_a_new_fusion(tmp_path):
    one, two = HQDictionaryPaper(**SMALL), RestoreFormerPaper(heads=4, **SMALL)
    fresh = {k: v.clone() for k, v in two.state_dict().items()}
    save_checkpoint(tmp_path / "one.pth", one)
    checkpoint = read_checkpoint(tmp_path / "one.pth")
    left = load_weights(two, checkpoint, ("HQDictionaryPaper",), two.new_tensors)
    assert left and all(k.startswith("fusion.") for k in left)
    for name, value in two.state_dict().items():
        assert torch.equal(value, fresh[name] if name in left else one.state_dict()[name])
    # Its own file must be whole, and the other structure's does not fit.
    del checkpoint.tensors["encoder.conv_in.bias"]
    with pytest.raises(RestoreFormerError, match="encoder.conv_in.bias is missing"):
        load_weights(two, checkpoint, ("HQDictionaryPaper",), two.new_tensors)
    save_checkpoint(tmp_path / "two.pth", two)
    checkpoint = read_checkpoint(tmp_path / "two.pth")
    del checkpoint.tensors[left[0]]
    with pytest.raises(RestoreFormerError, match=f"{left[0]} is missing"):
        load_weights(two, checkpoint, ("HQDictionaryPaper",), two.new_tensors)


def test_a_file_says_which_network_it_holds(tmp_path):
    net = RestoreFormerPaper("mhca-d", heads=4, **SMALL).eval()
    save_checkpoint(tmp_path / "net.pth", net)
    again = build_from_checkpoint(read_checkpoint(tmp_path / "net.pth"))
    x = torch.randn(1, 3, 32, 32)
    assert again.config == net.config and torch.equal(again(x), net(x))
    with pytest.raises(RestoreFormerError, match="Expected fusion: mhca-p in .* trained with fusion: mhca-d"):
        load_weights(RestoreFormerPaper(heads=4, **SMALL), read_checkpoint(tmp_path / "net.pth"))
    save_checkpoint(tmp_path / "dictionary.pth", HQDictionaryPaper(**SMALL))
    assert isinstance(
        build_from_checkpoint(read_checkpoint(tmp_path / "dictionary.pth"), DICTIONARIES), HQDictionaryPaper
    )


def test_entries_alone_make_an_image(small_net):
    prior = torch.randn(2, 64, 3, 3)
    for net in (HQDictionaryPaper(**SMALL), RestoreFormerPaper(heads=4, **SMALL)):
        assert net.decode_prior(prior).shape == (2, 3, 12, 12)
    for net in (HQDictionary(**small_net), RestoreFormer(**small_net)):
        assert net.decode_prior(prior).shape == (2, 3, 12, 12)


def test_vgg19_encoder():
    """Sec. 4.4: a fixed recognition network; torchvision's own gives the same features."""
    encoder, theirs = VGG19Encoder(3, 128), vgg19(weights=None).features.eval()
    theirs.load_state_dict({**theirs.state_dict(), **{k[9:]: v for k, v in encoder.state_dict().items()}})
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    mean, std = (torch.tensor(v)[:, None, None] for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    torch.testing.assert_close(encoder(x), theirs[:10](((x + 1) / 2 - mean) / std))
    assert encoder(x).shape == (1, 128, 8, 8)
    assert not any(p.requires_grad for p in encoder.parameters())
    for place, width in zip(POOLINGS, WIDTHS, strict=True):
        assert isinstance(theirs[place], nn.MaxPool2d)
        assert [m.out_channels for m in theirs[:place] if isinstance(m, nn.Conv2d)][-1] == width


def test_a_fixed_encoder_learns_nothing_and_passes_nothing_on():
    net = HQDictionaryPaper(**{**SMALL, "embed_dim": 128, "encoder": "vgg19"})
    out = net(torch.randn(1, 3, 32, 32), with_latents=True)
    out.image.square().sum().backward()
    assert net.quantize.embedding.weight.grad is None, "the dictionary learns from Eq. 15 alone"
    assert all(p.grad is None for p in net.encoder.parameters())
    assert all(p.grad is not None for p in net.decoder.parameters())


@pytest.mark.parametrize(
    "change, told",
    [
        ({"encoder": "vgg16"}, "Expected encoder learned or vgg19, got vgg16"),
        ({"encoder": "vgg19"}, "Expected embed_dim 128 with encoder vgg19 of 3 levels, got 64"),
        ({"encoder": "vgg19", "ch_mult": [1] * 7}, "two to six levels"),
        ({"ch": 48}, "32 divides"),
    ],
)
def test_errors(change, told):
    with pytest.raises(RestoreFormerError, match=told), torch.device("meta"):
        HQDictionaryPaper(**{**SMALL, **change})
