import pickle
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch
from test_numbers_only import program

from restoreformer.errors import RestoreFormerError
from restoreformer.tensor_files import read_tensors

TENSORS = {"a": torch.arange(2000.0)}


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["evil.pth", "evil.ckpt", "evil.safetensors"])
@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_pickles_that_run_code_are_refused(tmp_path, name, new):
    content = {"state_dict": TENSORS, "callbacks": Malicious(tmp_path / "ran")}
    torch.save(content, tmp_path / name, _use_new_zipfile_serialization=new)
    with pytest.raises(RestoreFormerError, match=r"pickle that holds more than tensors \([\w.]+\): .*nothing of it"):
        read_tensors(tmp_path / name)
    assert not (tmp_path / "ran").exists()
    with (tmp_path / name).open("rb") as file:
        torch.load(file, weights_only=False)
    assert (tmp_path / "ran").exists(), "it would have"


def part_of(path, save, begin):
    save(TENSORS, path)
    path.write_bytes(path.read_bytes()[:begin])


def zipped(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net.pth", b"")


def damaged(path):
    """One of the digits in the pickle is another: the ZIP archive no longer is what its sums say."""
    torch.save({"a": 12345.5}, path)
    path.write_bytes(path.read_bytes().replace(b"\x80\x02}", b"\x80\x02(", 1))


def legacy(tensors, path):
    torch.save(tensors, path, _use_new_zipfile_serialization=False)


@pytest.mark.filterwarnings("ignore:'torch.load' received a zip file that looks like a TorchScript")
@pytest.mark.parametrize(
    "name, write, got",
    [
        ("empty.pth", Path.touch, "an empty one: fetch"),
        ("page.pth", lambda p: p.write_text("\n<!DOCTYPE html>\n<html><h1>Not Found"), "a web page"),
        ("text.pth", lambda p: p.write_text("hello"), "text: fetch"),
        (
            "net.onnx",
            lambda p: p.write_bytes(b"\x08\x0a\x12\x07pytorch"),
            "an ONNX file: .*py runs it by --model .*net",
        ),
        ("net.ONNX", lambda p: p.write_bytes(b"\x08\x0a\x12\x07pytorch"), "an ONNX file"),
        ("most.pth", lambda p: part_of(p, torch.save, -100), "one that is cut short or damaged: fetch"),
        ("half.pth", lambda p: part_of(p, torch.save, 4000), "one that is cut short or damaged: fetch"),
        ("damaged.pth", damaged, "one that is cut short or damaged: fetch"),
        ("legacy.pth", lambda p: part_of(p, legacy, -100), "one that neither .* or a part of one: fetch"),
        ("most.safetensors", lambda p: part_of(p, safetensors.torch.save_file, -4), "safetensors that are cut short"),
        ("zip.pth", zipped, "a ZIP archive of other files: unpack"),
        ("pickle.pth", lambda p: p.write_bytes(pickle.dumps({"a": 1}, 2)), "one that neither torch.save nor"),
        ("script.pth", lambda p: torch.jit.script(torch.nn.ReLU()).save(p), "a TorchScript program"),
        (
            "module.pth",
            lambda p: torch.save(torch.nn.Linear(1, 1), p),
            r"a pickle that holds more than tensors \(torch.*Linear\)",
        ),
    ],
)
def test_what_is_no_file_of_tensors_is_named(tmp_path, name, write, got):
    write(tmp_path / name)
    with pytest.raises(RestoreFormerError, match=f"Expected a file of tensors at .*{name}, got {got}") as raised:
        read_tensors(tmp_path / name)
    message = str(raised.value)
    assert message.isprintable() and "weights_only" not in message and message.endswith(".")


def test_folders_and_files_that_hold_no_dict(tmp_path):
    with pytest.raises(RestoreFormerError, match="Expected a network file at .*, found a folder"):
        read_tensors(tmp_path)
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(RestoreFormerError, match="Expected a dict of tensors in .*list.pth, got list"):
        read_tensors(tmp_path / "list.pth")


def test_a_tensor_named_config_is_not_lost(tmp_path):
    path = tmp_path / "net.safetensors"
    safetensors.torch.save_file({"config": torch.ones(1)}, path, {"config": "{}"})
    assert torch.equal(read_tensors(path)["config"], torch.ones(1))


@pytest.mark.parametrize("behind", [b"", b"PK\5\6junk"])
def test_a_program_is_not_run(behind, tmp_path):
    """Whatever else the bytes may look like."""
    content = program(tmp_path) + behind
    (tmp_path / "net.pth").write_bytes(content)
    with pytest.raises(RestoreFormerError, match=r"Expected a file of tensors at .*net\.pth"):
        read_tensors(tmp_path / "net.pth")
    assert not (tmp_path / "ran").exists()
