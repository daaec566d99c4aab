import errno
import io

import pytest
import safetensors.torch
import spandrel
import torch
from golden import fill

from restoreformer import pretrained
from restoreformer.archs import checkpoint as checkpoint_module
from restoreformer.archs.build import build_from_checkpoint
from restoreformer.archs.checkpoint import load_weights, network_config, read_checkpoint, save_checkpoint
from restoreformer.archs.hq_dictionary_arch import HQDictionary
from restoreformer.archs.layouts import write_tensors
from restoreformer.archs.patch_discriminator_arch import PatchDiscriminator
from restoreformer.archs.restoreformer_arch import RestoreFormer
from restoreformer.errors import RestoreFormerError

# spandrel assumes the lowest resolution to be 512 / 2^(levels - 1) and 8 heads.
LIKE_SPANDREL = {
    "n_embed": 64,
    "embed_dim": 32,
    "z_channels": 32,
    "ch": 32,
    "ch_mult": [1, 1, 2, 2, 2, 2],
    "num_res_blocks": 2,
    "attn_resolutions": [16],
    "resolution": 512,
    "head_size": 8,
}


def test_saved_files_come_back(tmp_path, small_net):
    net = fill(RestoreFormer(**small_net))
    save_checkpoint(tmp_path / "net.pth", net)
    again = build_from_checkpoint(read_checkpoint(tmp_path / "net.pth"))
    assert again.config == net.config
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in net.state_dict().items())
    assert [p.name for p in tmp_path.iterdir()] == ["net.pth"]


def test_moving_average_is_preferred(tmp_path, small_net):
    net, ema = RestoreFormer(**small_net), RestoreFormer(**small_net)
    save_checkpoint(tmp_path / "net.pth", net, ema)
    for key, expected in (("params_ema", ema), ("params", net)):
        tensors = read_checkpoint(tmp_path / "net.pth", key).tensors
        assert torch.equal(tensors["encoder.conv_in.weight"], expected.encoder.conv_in.weight)


def test_spandrel_loads_what_we_save(tmp_path):
    net = fill(RestoreFormer(**LIKE_SPANDREL))
    save_checkpoint(tmp_path / "net.pth", net)
    theirs = spandrel.ModelLoader(device="cpu").load_from_file(tmp_path / "net.pth")
    assert theirs.architecture.id == "RestoreFormer"
    x = torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        ours, expected = net(x * 2 - 1), theirs.model(x * 2 - 1)[0]
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("layout", ["state_dict, vqvae", "params", "bare, module"])
def test_we_load_what_others_hold(tmp_path, layout):
    given = {k: v for k, v in LIKE_SPANDREL.items() if k not in ("resolution", "attn_resolutions", "ch_mult")}
    net = fill(spandrel.architectures.RestoreFormer.RestoreFormer(**given, ch_mult=tuple(LIKE_SPANDREL["ch_mult"])))
    tensors = net.state_dict()
    content = {
        "state_dict, vqvae": {
            "state_dict": {
                **{f"vqvae.{k}": v for k, v in tensors.items()},
                "vqvae.quantize.utility_counter": torch.zeros(64),
                "loss.discriminator.main.0.weight": torch.zeros(1),
            },
            "epoch": 3,
        },
        "params": {"params": tensors},
        "bare, module": {f"module.{k}": v for k, v in tensors.items()},
    }[layout]
    torch.save(content, tmp_path / "theirs.ckpt")
    ours = build_from_checkpoint(read_checkpoint(tmp_path / "theirs.ckpt"))
    assert ours.config == {**LIKE_SPANDREL, "fusion": "mhca-p", "extra_attn_resolutions": []}
    x = torch.rand(1, 3, 128, 128) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(ours(x), net(x)[0], atol=1e-4, rtol=0)


def test_a_pretrained_name_is_looked_up_where_pretrained_files_are(tmp_path, small_net, monkeypatch):
    """As ``pretrain_network_g`` of options/test_restoreformer_released.yml."""
    save_checkpoint(tmp_path / "RestoreFormer.ckpt", RestoreFormer(**small_net))
    monkeypatch.setenv(pretrained.ENVIRONMENT, str(tmp_path))
    row = pretrained.FILES["RestoreFormer.ckpt"]
    digest = pretrained.sha256(tmp_path / "RestoreFormer.ckpt")
    monkeypatch.setitem(pretrained.FILES, "RestoreFormer.ckpt", row._replace(sha256=digest, url="http://127.0.0.1:9/x"))
    path = "elsewhere/RestoreFormer.ckpt"
    assert read_checkpoint(path).path == tmp_path / "RestoreFormer.ckpt"
    (tmp_path / "RestoreFormer.ckpt").unlink()
    with pytest.raises(RestoreFormerError, match="and put it at"):
        read_checkpoint(path)


def test_another_network_is_refused(tmp_path, small_net):
    save_checkpoint(tmp_path / "d.pth", PatchDiscriminator())
    with pytest.raises(RestoreFormerError, match=r"Expected RestoreFormer or .* in .*d\.pth, got PatchDiscriminator"):
        build_from_checkpoint(read_checkpoint(tmp_path / "d.pth"))
    torch.save({"params": PatchDiscriminator().state_dict()}, tmp_path / "bare.pth")
    with pytest.raises(RestoreFormerError, match="those of another network, such as main"):
        build_from_checkpoint(read_checkpoint(tmp_path / "bare.pth"))
    with pytest.raises(RestoreFormerError, match="encoder.conv_in.weight is missing"):
        load_weights(RestoreFormer(**small_net), read_checkpoint(tmp_path / "bare.pth"))


def test_a_dictionary_passes_for_a_restoreformer_only_where_it_may(tmp_path, small_net):
    save_checkpoint(tmp_path / "g.pth", HQDictionary(**small_net))
    checkpoint = read_checkpoint(tmp_path / "g.pth")
    with pytest.raises(RestoreFormerError, match="Expected RestoreFormer or .* in .*, got HQDictionary"):
        build_from_checkpoint(checkpoint)
    load_weights(RestoreFormer(**small_net), checkpoint, accept=("HQDictionary",))


def test_another_number_of_heads_is_refused(tmp_path, small_net):
    """No shape tells it, and the result would be silently wrong."""
    save_checkpoint(tmp_path / "g.pth", RestoreFormer(**small_net))
    with pytest.raises(RestoreFormerError, match="Expected head_size: 8 in .*, but it was trained with head_size: 4"):
        load_weights(RestoreFormer(**{**small_net, "head_size": 8}), read_checkpoint(tmp_path / "g.pth"))


def test_other_shapes_are_named(tmp_path, small_net):
    torch.save(RestoreFormer(**small_net).state_dict(), tmp_path / "g.pth")
    wider = RestoreFormer(**{**small_net, "n_embed": 256})
    with pytest.raises(RestoreFormerError, match=r"embedding.weight has shape \(128, 64\) instead of \(256, 64\)"):
        load_weights(wider, read_checkpoint(tmp_path / "g.pth"))


def test_files_without_tensors(tmp_path):
    with pytest.raises(RestoreFormerError, match="Expected a network file at .*none.pth, found none"):
        read_checkpoint(tmp_path / "none.pth")
    for odd, held in (
        ({"epoch": 3, "params": [1]}, r"epoch \(int\), params \(list\)\.$"),
        ({"a": {"x": torch.zeros(1)}, "b": {"x": torch.zeros(1)}}, r"a \(dict\), b \(dict\): take one .*--param-key"),
        ({}, "nothing"),
    ):
        torch.save(odd, tmp_path / "odd.pth")
        with pytest.raises(RestoreFormerError, match=f"Expected tensors in .*odd.pth, found none among {held}"):
            read_checkpoint(tmp_path / "odd.pth")


@pytest.mark.parametrize(
    "stored, got",
    [
        ("sd-v1-5", "'sd-v1-5'"),
        ('["a", 1]', r"\['a', 1\]"),
        ('{"architecture": "unet"}', "{'architecture': 'unet'}"),
        ('{"type": ["RestoreFormer"]}', r"{'type': \['RestoreFormer'\]}"),
        ("[" * 100_000, r"'\[\[\["),
    ],
    ids=["text", "list", "dict", "type", "depth"],
)
def test_a_configuration_of_another_program_is_named(stored, got, tmp_path):
    safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "net.safetensors", {"config": stored})
    torch.save({"params": {"a": torch.zeros(1)}, "config": stored}, tmp_path / "net.pth")
    with pytest.raises(
        RestoreFormerError, match=f"under config in the metadata of .*safetensors, got {got}.*--leave-out"
    ):
        read_checkpoint(tmp_path / "net.safetensors")
    with pytest.raises(RestoreFormerError, match="type and arguments under config in .*pth, got '"):
        read_checkpoint(tmp_path / "net.pth")
    for name in ("net.safetensors", "net.pth"):
        checkpoint = read_checkpoint(tmp_path / name, with_config=False)
        assert list(checkpoint.tensors) == ["a"] and checkpoint.left_out == ("config",) and checkpoint.config is None


def test_a_tensor_named_config_is_a_tensor(tmp_path, small_net):
    torch.save({**RestoreFormer(**small_net).state_dict(), "config": torch.zeros(1)}, tmp_path / "net.pth")
    with pytest.raises(RestoreFormerError, match="config is not part of RestoreFormer"):
        load_weights(RestoreFormer(**small_net), read_checkpoint(tmp_path / "net.pth"))


def test_the_order_of_resolutions_means_nothing(tmp_path, small_net):
    one, other = (
        HQDictionary(**{**small_net, "attn_resolutions": resolutions}) for resolutions in ([16, 32], [32, 16])
    )
    save_checkpoint(tmp_path / "one.pth", one)
    load_weights(other, read_checkpoint(tmp_path / "one.pth"))
    assert torch.equal(other.encoder.conv_in.weight, one.encoder.conv_in.weight)
    with pytest.raises(RestoreFormerError, match=r"Expected ch_mult: \[1, 4, 2\]"):
        load_weights(HQDictionary(**{**small_net, "ch_mult": [1, 4, 2]}), read_checkpoint(tmp_path / "one.pth"))


def test_what_cannot_be_written_leaves_what_was_there(tmp_path, small_net, monkeypatch):
    save_checkpoint(tmp_path / "net.pth", RestoreFormer(**small_net))
    before = (tmp_path / "net.pth").read_bytes()

    def full(file, *network):
        file.write(b"begun")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint_module, "write_tensors", full)
    with pytest.raises(RestoreFormerError, match=r"Expected to write .*net\.pth, could not: No space left on device\."):
        save_checkpoint(tmp_path / "net.pth", RestoreFormer(**small_net))
    assert [p.name for p in tmp_path.iterdir()] == ["net.pth"] and (tmp_path / "net.pth").read_bytes() == before


def test_the_order_of_memory_stays_behind(small_net):
    """As after training with channels_last; safetensors take contiguous tensors alone."""
    net = RestoreFormer(**small_net)
    net.to(memory_format=torch.channels_last)
    assert not all(v.is_contiguous() for v in net.state_dict().values())
    files = {layout: io.BytesIO() for layout in ("safetensors", "restoreformer")}
    for layout, file in files.items():
        write_tensors(file, layout, {"params": net.state_dict()}, network_config(net))
    again = safetensors.torch.load(files["safetensors"].getvalue())
    assert all(torch.equal(v, again[k]) for k, v in net.state_dict().items())
    files["restoreformer"].seek(0)
    assert all(v.is_contiguous() for v in torch.load(files["restoreformer"])["params"].values())


def test_safetensors_are_mapped_and_hold_the_configuration(tmp_path, small_net):
    net = fill(RestoreFormer(**small_net))
    with (tmp_path / "net.bin").open("wb") as file:
        write_tensors(file, "safetensors", {"params": net.state_dict()}, network_config(net))
    before = (tmp_path / "net.bin").read_bytes()
    checkpoint = read_checkpoint(tmp_path / "net.bin")
    again = build_from_checkpoint(checkpoint)
    assert checkpoint.layout == "safetensors" and again.config == net.config
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(again(x), net(x))
        # The network has the mapped tensors for its own: it may learn, and the file stays as it is.
        for parameter in again.parameters():
            parameter.zero_()
    assert (tmp_path / "net.bin").read_bytes() == before


def test_two_tensors_of_one_name_are_refused(tmp_path):
    torch.save({"module.a": torch.zeros(1), "a": torch.ones(1)}, tmp_path / "twice.pth")
    with pytest.raises(RestoreFormerError, match="Expected one a in .*twice.pth, but a is another"):
        read_checkpoint(tmp_path / "twice.pth")
