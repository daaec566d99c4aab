import os
import subprocess
import sys
import time

import pytest
import train_in_pieces
import yaml
from test_pipeline import opts, root  # noqa: F401
from train_in_pieces import MORE_TO_DO, Run

from restoreformer.errors import RestoreFormerError


@pytest.fixture
def stage(root, opts, monkeypatch):  # noqa: F811
    """A training of four iterations, a checkpoint after each, and its option file."""
    opt = opts["stage1"]
    opt["logger"] |= {"save_checkpoint_freq": 1, "use_tb_logger": False}
    del opt["val"], opt["datasets"]["val"]
    path = root / "stage1.yml"
    path.write_text(yaml.safe_dump(opt))
    monkeypatch.setattr(train_in_pieces, "ROOT", root)
    return path


def test_pieces(stage):
    """Of no time at all: each makes one checkpoint, and the last one ends by itself."""
    reached = []
    while not (run := Run(stage)).is_done():
        status = run.train(time.monotonic())
        reached.append(run.reached())
        assert status == (0 if reached[-1] == 4 else MORE_TO_DO)
    assert reached == sorted(set(reached)) and reached[-1] == 4 and len(reached) > 1
    assert (stage.parent / "experiments" / "stage1" / "models" / "net_g_latest.pth").is_file()


def test_a_training_that_fails_is_told(stage):
    stage.write_text(stage.read_text().replace("type: HQDictionary\n", "type: HQDictionry\n"))
    assert Run(stage).train(time.monotonic() + 60) == 1


def finished(folder, name, iteration):
    for part in ("models/net_g_latest.pth", f"training_states/{iteration}.state"):
        path = folder / "experiments" / name / part
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    os.utime(folder / "experiments" / name / "models" / "net_g_latest.pth", (2**31, 2**31))


def test_one_after_the_other(tmp_path, monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(train_in_pieces, "ROOT", tmp_path)
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.yml").write_text(f"{{name: {name}, train: {{total_iter: 8}}}}")
    finished(tmp_path, "a", 8)

    def train(run, deadline):
        calls.append(run.name)
        finished(tmp_path, run.name, 8)
        return 0

    monkeypatch.setattr(Run, "train", train)

    def main(minutes):
        words = ["train_in_pieces.py", *(str(tmp_path / f"{n}.yml") for n in "abc"), "--minutes", str(minutes)]
        monkeypatch.setattr(sys, "argv", words)
        try:
            train_in_pieces.main()
        except SystemExit as exit:
            return exit.code
        return 0

    assert main(0) == MORE_TO_DO and calls == ["b"]
    assert main(0) == 0 and calls == ["b", "c"]
    assert main(9) == 0 and calls == ["b", "c"]
    assert "c: 8 of 8 iterations" in capsys.readouterr().err
    # More iterations than it was trained for: the checkpoint is newer than the last network.
    os.utime(tmp_path / "experiments" / "c" / "training_states" / "8.state", (2**31 + 9, 2**31 + 9))
    assert main(9) == 0 and calls == ["b", "c", "c"]


def test_files_that_are_no_trainings(tmp_path):
    (tmp_path / "test.yml").write_text("name: x\nval: {}\n")
    with pytest.raises(RestoreFormerError, match="of a training at .*test.yml, got one without 'train'"):
        Run(tmp_path / "test.yml")
    done = subprocess.run(
        [sys.executable, train_in_pieces.__file__, str(tmp_path / "none.yml")], capture_output=True, text=True
    )
    assert done.returncode == 1 and done.stderr.startswith("error: Expected an option file at")
