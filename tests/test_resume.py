import os

import pytest
import torch

from restoreformer.datasets.sampling import Place, SeededSampler
from restoreformer.errors import RestoreFormerError
from restoreformer.resume import PASSED_OVER, load_resume_state


@pytest.fixture
def opt(tmp_path, monkeypatch):
    """A run with checkpoints after iterations 8, 9 and 10."""
    monkeypatch.setattr(SeededSampler, "resumed_at", None)
    for folder in ("models", "states"):
        (tmp_path / folder).mkdir()
    for iteration in (8, 9, 10):
        state = {"epoch": 3, "iter": iteration, "optimizers": [], "schedulers": []}
        torch.save(state, tmp_path / "states" / f"{iteration}.state")
        for label in ("g", "d"):
            torch.save({"params": {"w": torch.ones(2)}}, tmp_path / "models" / f"net_{label}_{iteration}.pth")
    path = {"models": str(tmp_path / "models"), "training_states": str(tmp_path / "states"), "resume_state": None}
    return {"auto_resume": True, "path": path, "network_g": {}, "network_d": {}, "network_d_mouth": None}


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


def test_the_newest(opt):
    state = load_resume_state(opt)
    assert state["iter"] == 10 and state[PASSED_OVER] == []
    assert opt["path"]["resume_state"].endswith("states/10.state")
    assert opt["path"]["pretrain_network_g"].endswith("models/net_g_10.pth")
    assert SeededSampler.resumed_at == Place(3, 10)
    opt["auto_resume"] = False
    opt["path"]["resume_state"] = None
    assert load_resume_state(opt) is None and SeededSampler.resumed_at is None


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda f: cut(f / "states" / "10.state"), "10.state, got one that is cut short"),
        (lambda f: (f / "states" / "10.state").write_bytes(b""), "10.state, got an empty one"),
        (lambda f: torch.save({"iter": 10}, f / "states" / "10.state"), "it has no epoch, optimizers, schedulers"),
        (lambda f: (f / "models" / "net_g_10.pth").unlink(), "net_g_10.pth, found none"),
        (lambda f: cut(f / "models" / "net_d_10.pth"), "net_d_10.pth, got one that is cut short"),
    ],
)
def test_what_is_not_whole_is_passed_over(opt, tmp_path, spoil, told):
    spoil(tmp_path)
    (tmp_path / "states" / ".11.state.part").write_bytes(b"what a kill leaves")
    state = load_resume_state(opt)
    assert state["iter"] == 9 and len(state[PASSED_OVER]) == 1 and told in state[PASSED_OVER][0]
    assert opt["path"]["pretrain_network_d"].endswith("models/net_d_9.pth")


def test_networks_that_are_not_resumed_may_be_gone(opt, tmp_path):
    opt["path"]["ignore_resume_networks"] = ["network_d"]
    (tmp_path / "models" / "net_d_10.pth").unlink()
    assert load_resume_state(opt)["iter"] == 10 and "pretrain_network_d" not in opt["path"]


def test_a_run_does_not_begin_anew_over_checkpoints_that_are_broken(opt, tmp_path):
    for path in (tmp_path / "states").iterdir():
        cut(path)
    with pytest.raises(
        RestoreFormerError, match="whole checkpoint among 3 in .*: remove the folder .*10.state, got one"
    ):
        load_resume_state(opt)


def test_a_named_state_is_that_one_or_an_error(opt, tmp_path):
    opt["auto_resume"] = False
    opt["path"]["resume_state"] = str(tmp_path / "states" / "8.state")
    assert load_resume_state(opt)["iter"] == 8
    cut(tmp_path / "states" / "8.state")
    with pytest.raises(RestoreFormerError, match="8.state, got one that is cut short"):
        load_resume_state(opt)
