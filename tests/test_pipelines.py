"""What is replaced in BasicSR's pipelines; that they then run: tests/test_pipeline.py and tests/scripts."""

import sys
from pathlib import Path
from types import ModuleType

import basicsr.train
import pytest

import restoreformer.plugin  # noqa: F401
from restoreformer import pipelines
from restoreformer.datasets.sampling import SeededSampler
from restoreformer.errors import RestoreFormerError
from restoreformer.resume import load_resume_state


def started(monkeypatch, file):
    """The script that runs, at the moment when it has defined what BasicSR's train.py defines."""
    script = ModuleType("__main__")
    script.__file__ = str(file)
    script.EnlargedSampler = script.load_resume_state = None
    monkeypatch.setitem(sys.modules, "__main__", script)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(sys, "argv", [str(file), "-opt", "none.yml"])
    with pytest.raises(RestoreFormerError, match="Expected an option file at none.yml"):
        pipelines.parse_options("root")
    return script


def test_basicsrs_own_script_and_no_other_is_completed(monkeypatch, tmp_path, capsys):
    usual = sys.excepthook
    script = started(monkeypatch, tmp_path / "train.py")
    assert script.EnlargedSampler is None and sys.excepthook is usual

    script = started(monkeypatch, Path(basicsr.train.__file__))
    assert script.EnlargedSampler is SeededSampler and script.load_resume_state is load_resume_state
    assert not hasattr(script, "init_dist"), "it did not have that"
    sys.excepthook(RestoreFormerError, RestoreFormerError("Expected this."), None)
    assert capsys.readouterr().err == "error: Expected this.\n"


def test_modules_that_have_taken_their_names_have_ours():
    for module in (basicsr.utils.options, basicsr.train, basicsr.test):
        assert module.parse_options is pipelines.parse_options
    assert basicsr.train.EnlargedSampler is SeededSampler and basicsr.train.load_resume_state is load_resume_state
