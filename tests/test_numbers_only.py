"""Files of numbers that are to do more than hold numbers."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from restoreformer.errors import RestoreFormerError
from restoreformer.numbers_only import load_numbers

ARRAY, EMPTY = np.array([1.0, 2.0]), np.ndarray.__reduce__(np.zeros(1))[:2]


class Made:
    """Pickled as the call ``kind(*arguments)``, with a state if need be."""

    def __init__(self, kind, arguments, state=None):
        self.made = (kind, arguments) if state is None else (kind, arguments, state)

    def __reduce__(self):
        return self.made


class Program(torch.nn.Module):
    """Writes a file as soon as it is read."""

    def __init__(self, path: str):
        super().__init__()
        self.path = path
        # What is kept nowhere is not computed.
        self.kept = torch.zeros(1, dtype=torch.uint8)

    def forward(self, x):
        return x

    @torch.jit.export
    def __getstate__(self):
        return self.path, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]):
        self.path = state[0]
        self.training = state[1]
        self.kept = torch.from_file(self.path, True, 16, dtype=torch.uint8).fill_(65)


def program(folder: Path) -> bytes:
    """A TorchScript file whose reading makes ``folder / ran``."""
    torch.jit.script(Program(str(folder / "ran"))).save(str(folder / "program.pth"))
    torch.jit.load(str(folder / "program.pth"))
    assert (folder / "ran").exists(), "a program that does nothing shows nothing"
    (folder / "ran").unlink()
    return (folder / "program.pth").read_bytes()


def test_numbers_come_back(tmp_path):
    content = {
        "boxes": np.arange(12.0).reshape(3, 4),
        "scale": np.float64(2.5),
        "n": np.int32(7),
    }
    for new in (True, False):
        torch.save(content, tmp_path / "numbers.pth", _use_new_zipfile_serialization=new)
        found = load_numbers(tmp_path / "numbers.pth", "numbers")
        assert found.keys() == content.keys() and all(np.array_equal(found[k], v) for k, v in content.items())
        assert found["boxes"].dtype == np.float64


@pytest.mark.parametrize(
    "made",
    [
        Made(np.ndarray, ((1,), np.dtype("O"), b"A" * 8)),
        Made(np.ndarray, ((4,), np.dtype("f8"), b"A" * 32)),
        Made(np.dtype, ("O", False, True)),
        Made(np.dtype, ([("x", "O")],)),
        Made(EMPTY[0], EMPTY[1], (1, (1,), np.dtype("O"), False, [[]])),
        Made(np.float64(1).__reduce__()[0], (np.dtype("O"), b"A" * 8)),
        Made(eval, ("1",)),
    ],
    ids=["objects", "buffer", "type of objects", "fields", "array of objects", "scalar", "call"],
)
def test_what_is_no_number_is_refused(made, tmp_path):
    for new in (True, False):
        torch.save({"x": made}, tmp_path / "evil.pth", _use_new_zipfile_serialization=new)
        with pytest.raises(RestoreFormerError, match="Expected boxes in .*evil.pth, could not read it"):
            load_numbers(tmp_path / "evil.pth", "boxes")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"x": made}))
    with pytest.raises(RestoreFormerError):
        load_numbers(tmp_path / "plain.pth", "boxes")


@pytest.mark.parametrize("behind", [b"", b"PK\5\6junk"])
def test_a_program_is_not_run(behind, tmp_path):
    content = program(tmp_path) + behind
    (tmp_path / "boxes.pth").write_bytes(content)
    with pytest.raises(RestoreFormerError, match="TorchScript program"):
        load_numbers(tmp_path / "boxes.pth", "boxes")
    assert not (tmp_path / "ran").exists()
