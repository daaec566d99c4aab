import re
import sys
from pathlib import Path

import pytest
import torch

from restoreformer.errors import RestoreFormerError
from restoreformer.extras import PURPOSES
from restoreformer.inference.app import build_page
from restoreformer.inference.onnx_network import OnnxNetwork
from restoreformer.inference.uploads import KeptRestorers
from restoreformer.inference.upsampling import Upsampler

CPU = torch.device("cpu")
tomllib = pytest.importorskip("tomllib", reason="Python 3.11 is the first to read TOML")
PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
USES = {
    ("app", "gradio"): lambda folder: build_page(KeptRestorers(pytest.fail), ["net.pth"], folder),
    ("background", "spandrel"): lambda folder: Upsampler(folder / "x2.pth", CPU),
    ("onnx", "onnxruntime"): lambda folder: OnnxNetwork(folder / "net.onnx", CPU),
}


def test_each_extra_is_for_something():
    assert PURPOSES.keys() == PROJECT["optional-dependencies"].keys() - {"test"}


@pytest.mark.parametrize("extra, module", USES)
def test_a_missing_package_is_told_with_its_extra(extra, module, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(RestoreFormerError) as told:
        USES[extra, module](tmp_path)
    package, brought = re.fullmatch(
        r"Expected the package (\w+) for [\w ]+, could not import it \(.+\): "
        r'pip install "restoreformer-basicsr\[(\w+)\]"\.',
        str(told.value),
    ).groups()
    assert PROJECT["name"] == "restoreformer-basicsr"
    assert package == module.partition(".")[0] and brought == extra
    assert any(re.match(rf"{package}\b", wanted) for wanted in PROJECT["optional-dependencies"][extra])
