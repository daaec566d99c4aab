"""Files in each released layout, written here by hand, are converted into every other and run by spandrel."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import convert_checkpoint
import pytest
import safetensors.torch
import spandrel
import torch
import yaml
from golden import fill, golden_input

from restoreformer.archs.about import About
from restoreformer.archs.build import build_from_checkpoint
from restoreformer.archs.checkpoint import network_config, read_checkpoint, save_checkpoint
from restoreformer.archs.hq_dictionary_arch import HQDictionary
from restoreformer.archs.restoreformer_arch import RestoreFormer, RestoreFormerPaper
from restoreformer.pretrained import sha256

SHAPES = json.loads((Path(__file__).parents[1] / "archs" / "state_dict_shapes.json").read_text())
# Narrower than the released network, with the same tensor names; spandrel tells the widths from the shapes.
NARROW = {"n_embed": 64, "embed_dim": 32, "z_channels": 32, "ch": 32, "ch_mult": [1, 2, 2, 3, 3, 4]}
PLUS_PLUS = {"extra_attn_resolutions": [32], "head_size": 4}
OUTPUTS = {"restoreformer": "out.pth", "gfpgan": "out.pth", "released": "out.ckpt", "safetensors": "out.safetensors"}
TRAINING = {"loss.discriminator.main.0.weight": torch.ones(1), "loss.lpips.lin0.weight": torch.ones(1)}
LIGHTNING = {"epoch": 3, "global_step": 9, "pytorch-lightning_version": "1.0.8", "callbacks": {}}


@pytest.fixture(scope="module")
def net():
    return fill(RestoreFormer(**NARROW))


@pytest.fixture(scope="module")
def plus_plus():
    return fill(RestoreFormer(**PLUS_PLUS, **NARROW))


@pytest.fixture(scope="module")
def face():
    return golden_input(1, 3, 64, 64)


def written(folder, layout, tensors, config):
    """A file as the authors, GFPGAN, this project or safetensors' users have it; ``tensors`` under bare names."""
    path = folder / OUTPUTS[layout].replace("out", layout)
    released = {f"vqvae.{name}": v for name, v in tensors.items()}
    released |= {"vqvae.quantize.utility_counter": torch.zeros(64), **TRAINING}
    if layout == "safetensors":
        safetensors.torch.save_file(tensors, path, {"config": json.dumps(config)})
    else:
        content = {
            "restoreformer": {"params": tensors, "params_ema": tensors, "config": config},
            "gfpgan": {"params_ema": tensors},
            "released": {"state_dict": released, **LIGHTNING},
        }
        torch.save(content[layout], path)
    return path


@pytest.fixture
def convert(monkeypatch, capsys):
    """Run the script; returns what it printed, or why it stopped."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["convert_checkpoint.py", *map(str, arguments)])
        try:
            convert_checkpoint.main()
        except SystemExit as stop:
            return str(stop.code)
        return capsys.readouterr().out

    return run


def test_the_files_have_the_released_names(net, plus_plus):
    names = set(SHAPES["restoreformer_full"])
    assert set(net.state_dict()) == names
    new = set(plus_plus.state_dict()) - names
    assert len(new) == 36 and {name.rsplit(".", 3)[0] for name in new} == {"decoder.up.4.attn"}


@pytest.mark.parametrize("source", OUTPUTS)
def test_every_layout_into_every_other(source, net, face, convert, tmp_path):
    tensors = net.state_dict()
    path = written(tmp_path, source, tensors, network_config(net))
    with torch.no_grad():
        expected = net(face)
    for layout in OUTPUTS.keys() - {source}:
        out = tmp_path / layout / OUTPUTS[layout]
        printed = convert(path, out, "--format", layout)
        assert f"read {path}: {source}, 405 tensors" in printed
        kept = "stored in the file" if source in ("restoreformer", "safetensors") else "told from the tensors"
        assert f"configuration, {kept}: type: RestoreFormer, n_embed: 64" in printed and "note:" not in printed
        assert f"wrote {out}: {layout}, 405 tensors, read again and the same" in printed
        left = [line.removeprefix("left out: ") for line in printed.splitlines() if line.startswith("left out")]
        counted = ["vqvae.quantize.utility_counter", *TRAINING]
        assert left == {"released": [*LIGHTNING, *counted], "restoreformer": ["params"]}.get(source, [])
        found = read_checkpoint(out)
        assert found.layout == layout and found.tensors.keys() == tensors.keys()
        assert all(torch.equal(v, found.tensors[k]) for k, v in tensors.items())
        ours = build_from_checkpoint(found)
        assert ours.config == net.config
        with torch.no_grad():
            assert torch.equal(ours(face), expected)
            if layout != "released":  # whose prefix spandrel does not take off
                theirs = spandrel.ModelLoader("cpu").load_from_file(out).model
                torch.testing.assert_close(theirs(face)[0], expected, atol=1e-4, rtol=0)


def test_restoreformer_plus_plus_goes_where_it_is_understood(plus_plus, face, convert, tmp_path):
    path = written(tmp_path, "released", plus_plus.state_dict(), None)
    with torch.no_grad():
        expected = plus_plus(face)
    for layout in ("safetensors", "restoreformer", "released"):
        out = tmp_path / layout / OUTPUTS[layout]
        assert "441 tensors, read again and the same" in convert(path, out, "--format", layout)
        path = out
        ours = build_from_checkpoint(read_checkpoint(out))
        assert ours.config == plus_plus.config
        with torch.no_grad():
            assert torch.equal(ours(face), expected)
    reason = convert(path, tmp_path / "out.pth", "--format", "gfpgan")
    assert reason.startswith("error: Expected a RestoreFormer for the layout gfpgan, got RestoreFormer++")


@pytest.mark.parametrize(
    "net, wrong",
    [
        (RestoreFormer(**{**NARROW, "head_size": 4}), "head_size: 8 instead of 4"),
        (RestoreFormer(fusion="mhca-d", **NARROW), "fusion: mhca-p instead of mhca-d"),
        (HQDictionary(**NARROW), "type: RestoreFormer instead of HQDictionary"),
        (RestoreFormerPaper(embed_dim=32, ch=32, ch_mult=[1, 1]), "type: RestoreFormer instead of RestoreFormerPaper"),
    ],
    ids=["heads", "fusion", "dictionary", "paper"],
)
def test_what_readers_would_take_for_something_else(net, wrong, convert, tmp_path):
    save_checkpoint(tmp_path / "net.pth", net)
    for layout in ("gfpgan", "released"):
        reason = convert(tmp_path / "net.pth", tmp_path / OUTPUTS[layout], "--format", layout)
        assert reason.startswith(f"error: Expected a layout that keeps the configuration, got {layout}")
        assert f"would take {wrong}: use restoreformer or safetensors" in reason
    printed = convert(tmp_path / "net.pth", tmp_path / "out.safetensors")
    assert f"note: a program that does not read the configuration would take {wrong}" in printed
    assert read_checkpoint(tmp_path / "out.safetensors").config == network_config(net)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.pth", "out.safetensors"]


def test_what_is_not_known_must_be_named(net, convert, tmp_path):
    tensors = {**net.state_dict(), "extra.weight": torch.ones(1)}
    prefixed = {f"vqvae.{name}": v for name, v in net.state_dict().items()} | {"extra.weight": torch.ones(1)}
    out = tmp_path / "out.safetensors"
    torch.save({"params": tensors}, tmp_path / "bare.pth")
    assert "extra.weight is not part of RestoreFormer" in convert(tmp_path / "bare.pth", out)
    torch.save({"state_dict": prefixed}, tmp_path / "lightning.ckpt")
    assert "all that is in the file, but not extra.weight: if" in convert(tmp_path / "lightning.ckpt", out)
    assert not out.exists()
    for name in ("bare.pth", "lightning.ckpt"):
        assert "left out: extra.weight\n" in convert(tmp_path / name, out, "--leave-out", "extra.")
    assert "got nothing, which all begin with" in convert(tmp_path / "bare.pth", out, "--leave-out", "")
    for key, name in (("params", "bare.pth"), ("state_dict", "lightning.ckpt")):
        reason = convert(tmp_path / name, out, "--leave-out", key[:5])
        assert f"got the beginning of {key}, under which all of a network stand" in reason


def test_nothing_of_the_network_can_be_left_out(net, plus_plus, convert, tmp_path):
    """Without these RestoreFormer++ would be taken for a RestoreFormer, and fit."""
    for network, needed in ((net, "decoder.mid.block_1.norm1.weight"), (plus_plus, "decoder.up.4.attn.0.q.weight")):
        torch.save(network.state_dict(), tmp_path / "net.pth")
        reason = convert(tmp_path / "net.pth", tmp_path / "out.safetensors", "--leave-out", needed[:14])
        assert f"Expected --leave-out of what is no part of the network, but {needed} is, and begins so" in reason
    assert [p.name for p in tmp_path.iterdir()] == ["net.pth"]


@pytest.mark.parametrize("stored", ["sd-v1-5", '{"type": "unet"}', '{"type": ["RestoreFormer"]}'])
def test_another_programs_configuration_can_be_left_out(stored, net, convert, tmp_path):
    path, out = tmp_path / "net.safetensors", tmp_path / "out.safetensors"
    safetensors.torch.save_file(net.state_dict(), path, {"config": stored})
    reason = convert(path, out)
    assert reason.startswith("error: Expected ") and "--leave-out config" in reason and "\n" not in reason
    printed = convert(path, out, "--leave-out", "config")
    assert "configuration, told from the tensors" in printed and "left out: config\n" in printed
    assert read_checkpoint(out).config == network_config(net)


def test_sets_that_stand_otherwise(net, convert, tmp_path):
    tensors = net.state_dict()
    other = {name: v + 1 for name, v in tensors.items()}
    safetensors.torch.save_file(
        {**{f"params.{k}": v for k, v in other.items()}, **{f"params_ema.{k}": v for k, v in tensors.items()}},
        tmp_path / "flat.safetensors",
    )
    torch.save({"model": {"params": other, "params_ema": tensors}, "epoch": 3}, tmp_path / "deep.pth")
    torch.save({"critic": other, "generator": tensors}, tmp_path / "two.pth")
    for name, key in (("flat.safetensors", "params_ema"), ("deep.pth", "params_ema"), ("two.pth", "generator")):
        assert f"405 tensors under {key}\n" in convert(
            tmp_path / name, tmp_path / "out.safetensors", "--param-key", key, "--leave-out", "critic"
        )
        assert torch.equal(
            read_checkpoint(tmp_path / "out.safetensors").tensors["quant_conv.bias"], net.quant_conv.bias
        )
    for name, there in (("flat.safetensors", "params, params_ema"), ("deep.pth", "model, params, params_ema")):
        reason = convert(tmp_path / name, tmp_path / "out.safetensors", "--param-key", "ema")
        assert reason == f"error: Expected ema in {tmp_path / name}, got {there}: give another --param-key, or none."
    assert "found none among critic (dict), generator (OrderedDict)" in convert(
        tmp_path / "two.pth", tmp_path / "out.ckpt"
    )


def test_a_configuration_for_files_without_one(convert, tmp_path):
    net = fill(RestoreFormer(**{**NARROW, "head_size": 4}))
    torch.save(net.state_dict(), tmp_path / "bare.pth")
    config, option_file = tmp_path / "config.yml", tmp_path / "option_file.yml"
    config.write_text("head_size: 4")
    option_file.write_text(
        yaml.safe_dump({"name": "mine", "network_g": {"type": "RestoreFormer", "head_size": 4, **NARROW}})
    )
    for path, known in ((config, f"told from the tensors and by {config}"), (option_file, f"by {option_file}")):
        assert f"configuration, {known}: type" in convert(
            tmp_path / "bare.pth", tmp_path / "out.pth", "--format", "restoreformer", "--config", path
        )
        assert read_checkpoint(tmp_path / "out.pth").config == network_config(net)
    for written, source, problem in (
        ("head_size: 8", "out.pth", f"in {config} and {tmp_path}/out.pth .*Expected head_size: 8 .* with head_size: 4"),
        ("head_sise: 8", "bare.pth", f"{config}: head_sise is not an option: did you mean head_size?"),
        ("head_size: many", "bare.pth", f"{config}: head_size is 'many': expected a whole number"),
        ("head_size: 7", "bare.pth", f"Expected the configuration of RestoreFormer in {config}: "),
        ("n_embed: 32", "bare.pth", f"Expected in {config} what fits {tmp_path}/bare.pth: "),
        ("type: PatchDiscriminator", "bare.pth", f"RestoreFormer, .* as type in {config}, got 'PatchDiscriminator'"),
        ("type: [RestoreFormer]", "bare.pth", f"as type in {config}, got \\['RestoreFormer'\\]"),
        ("network_g: [RestoreFormer]", "bare.pth", f"a network's arguments in {config}, got \\['RestoreFormer'\\]"),
    ):
        config.write_text(written)
        reason = convert(tmp_path / source, tmp_path / "again.safetensors", "--config", config)
        assert re.match("error: Expected ", reason) and re.search(problem, reason), reason
    assert not (tmp_path / "again.safetensors").exists()


def test_resolutions_in_another_order_are_the_same(convert, tmp_path):
    net = RestoreFormer(**{**NARROW, "extra_attn_resolutions": [64, 32], "head_size": 4})
    save_checkpoint(tmp_path / "net.pth", net)
    assert "note:" not in convert(tmp_path / "net.pth", tmp_path / "out.ckpt")
    assert build_from_checkpoint(read_checkpoint(tmp_path / "out.ckpt")).config["extra_attn_resolutions"] == [32, 64]


def test_the_same_safetensors_come_of_every_process(net, tmp_path):
    torch.save(net.state_dict(), tmp_path / "net.pth")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    for seed in "12":
        command = [sys.executable, convert_checkpoint.__file__, tmp_path / "net.pth", tmp_path / f"{seed}.safetensors"]
        subprocess.run(command, check=True, env={**environment, "PYTHONHASHSEED": seed}, stdout=subprocess.DEVNULL)
    assert (tmp_path / "1.safetensors").read_bytes() == (tmp_path / "2.safetensors").read_bytes()


def test_published_files_carry_their_hash(net, convert, tmp_path):
    average = fill(RestoreFormer(**NARROW))
    average.encoder.conv_in.bias.data.zero_()
    save_checkpoint(tmp_path / "net.pth", net, average)
    printed = convert(tmp_path / "net.pth", tmp_path / "published" / "RestoreFormer.pth", "--publish")
    assert "810 tensors" in printed and "left out" not in printed
    (path,) = (tmp_path / "published").iterdir()
    assert path.name == f"RestoreFormer-{sha256(path)[:8]}.pth"
    content = torch.load(path, weights_only=True)
    assert list(content) == ["params", "params_ema", "config"]
    for key, expected in (("params", net), ("params_ema", average)):
        assert all(torch.equal(v, content[key][k]) for k, v in expected.state_dict().items())
        name = tmp_path / f"{key}.safetensors"
        convert(path, name, "--param-key", key)
        assert torch.equal(safetensors.torch.load_file(name)["encoder.conv_in.bias"], expected.encoder.conv_in.bias)
    reason = convert(tmp_path / "params.safetensors", tmp_path / "x.safetensors", "--param-key", "params_ema")
    assert reason.startswith("error: Expected params_ema in ") and "got tensors by themselves" in reason


def test_half_precision_in_half_the_size(net, face, convert, tmp_path):
    path, out = tmp_path / "net.pth", tmp_path / "half.safetensors"
    save_checkpoint(path, net)
    assert "405 tensors, read again and the same" in convert(path, out, "--half")
    assert out.stat().st_size == pytest.approx(sum(v.numel() for v in net.state_dict().values()) * 2, rel=0.03)
    found = read_checkpoint(out)
    assert all(torch.equal(found.tensors[k], v.half()) for k, v in net.state_dict().items())
    again = build_from_checkpoint(found)
    assert {v.dtype for v in again.state_dict().values()} == {torch.float32}
    rounded = RestoreFormer(**NARROW).eval()
    rounded.load_state_dict({k: v.half().float() for k, v in net.state_dict().items()})
    with torch.no_grad():
        assert torch.equal(again(face), rounded(face))
    large = fill(RestoreFormer(**NARROW))
    large.decoder.conv_out.bias.data[1] = 65520
    save_checkpoint(path, large)
    reason = convert(path, tmp_path / "other.safetensors", "--half")
    assert (
        "65504, but decoder.conv_out.bias has larger ones" in reason and not (tmp_path / "other.safetensors").exists()
    )


def test_an_output_is_never_the_input(convert, tmp_path):
    """Told before the input is read, which here is no network."""
    (tmp_path / "net.pth").write_text("no network")
    (tmp_path / "link.pth").symlink_to("net.pth")
    (tmp_path / "folder.pth").mkdir()
    for name, reason in (
        ("net.pth", "Expected an output beside the input"),
        ("link.pth", "Expected an output beside the input"),
        ("folder.pth", "Expected a file to write, got the folder"),
    ):
        assert reason in convert(tmp_path / "net.pth", tmp_path / name, "--format", "gfpgan")
    assert (tmp_path / "net.pth").read_text() == "no network"


def test_a_published_output_is_never_the_input(net, convert, tmp_path):
    save_checkpoint(tmp_path / "net.pth", net)
    convert(tmp_path / "net.pth", tmp_path / "out.safetensors", "--publish")
    (path,) = tmp_path.glob("out-*")
    assert "Expected an output beside the input" in convert(path, tmp_path / "out.safetensors", "--publish")


@pytest.mark.parametrize(
    "change, name",
    [
        (lambda sets, config: sets["params"]["encoder.conv_in.bias"].zero_(), "encoder.conv_in.bias"),
        (lambda sets, config: sets["params"].pop("encoder.conv_in.bias"), "encoder.conv_in.bias"),
        (lambda sets, config: config.update(head_size=4), "head_size"),
    ],
    ids=["tensor", "missing", "configuration"],
)
def test_an_output_is_what_was_to_be_written(change, name, net, convert, tmp_path, monkeypatch):
    save_checkpoint(tmp_path / "net.pth", net)

    def changed(file, layout, sets, config):
        content = {"params": {k: v.clone() for k, v in sets["params"].items()}}, dict(config)
        change(*content)
        torch.save(content[0] | {"config": content[1]}, file)

    monkeypatch.setattr(convert_checkpoint, "write_tensors", changed)
    reason = convert(tmp_path / "net.pth", tmp_path / "out.pth", "--format", "restoreformer")
    assert reason.startswith("error: Expected ") and name in reason
    assert [p.name for p in tmp_path.iterdir()] == ["net.pth"]


@pytest.mark.parametrize(
    "arguments, reason",
    [
        (["out.pth"], "Expected --format restoreformer or gfpgan for .*out.pth, got none"),
        (["out.pth", "--format", "safetensors"], "Expected --format restoreformer or gfpgan for .*, got safetensors"),
        (
            ["out.onnx"],
            r"Expected an output with the suffix of its layout, got .*: name it so \(\.pth for restoreformer",
        ),
        (["out.CKPT"], "Expected a network file at .*none.pth, found none"),
    ],
)
def test_arguments_that_do_not_fit(arguments, reason, convert, tmp_path):
    assert re.match(f"error: {reason}", convert(tmp_path / "none.pth", tmp_path / arguments[0], *arguments[1:]))


def test_about_is_kept_and_single_values_replaced(convert, tmp_path, small_net):
    net = RestoreFormer(**small_net)
    net.about = About({"mine": 1000}, 8000, 64, "low")
    save_checkpoint(tmp_path / "net.pth", net)
    (tmp_path / "about.yml").write_text("about: {note: Mine., faces_seen: 9000}\n")
    option_file = {
        "network_g": network_config(RestoreFormer(**small_net)),
        "about": {"note": "Mine.", "faces_seen": 9000},
    }
    (tmp_path / "option_file.yml").write_text(yaml.safe_dump(option_file))
    for name in ("about.yml", "option_file.yml"):
        out = tmp_path / f"{name}.safetensors"
        convert(tmp_path / "net.pth", out, "--config", tmp_path / name)
        assert read_checkpoint(out).config["about"] == {
            "trained_on": {"mine": 1000}, "faces_seen": 9000, "face_size": 64, "color_fix": "low", "note": "Mine."
        }  # fmt: skip
