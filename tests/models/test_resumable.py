"""What a checkpoint holds, and that a broken one does not take the place of a good one."""

import copy
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from basicsr.models import build_model

from restoreformer.errors import RestoreFormerError
from restoreformer.models.resumable import random_state, set_random_state
from restoreformer.resume import PASSED_OVER
from restoreformer.tensor_files import read_tensors


@pytest.fixture
def model(stage1, batch):
    model = build_model(stage1)
    model.feed_data(batch)
    model.optimize_parameters(1)
    return model


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_what_finds_no_room_leaves_what_was_there(model, tmp_path):
    model.save(0, 1)
    folders = (tmp_path / "models", tmp_path / "states")
    before = {p: p.read_bytes() for folder in folders for p in folder.iterdir()}
    assert len(before) == 4

    def fill(path):
        # What is written beside it goes to a device that is always full.
        path.with_name(f".{path.name}.part").symlink_to("/dev/full")

    # Another checkpoint, and the same once more.
    for iteration in (2, 1):
        fill(folders[0] / f"net_d_{iteration}.pth")
        with pytest.raises(
            RestoreFormerError, match=f"write .*net_d_{iteration}.pth, could not: .*(No space|Errno 28)"
        ):
            model.save(0, iteration)
        fill(folders[1] / f"{iteration}.state")
        with pytest.raises(RestoreFormerError, match=f"write .*/{iteration}.state, could not"):
            model.save_training_state(0, iteration)
    after = {p: p.read_bytes() for folder in folders for p in folder.iterdir() if p.name != "2.best_metrics.json"}
    assert after == before


def test_nan_is_not_written(model, tmp_path):
    with torch.no_grad():
        model.net_g.decoder.conv_out.bias[1] = torch.inf
    with pytest.raises(
        RestoreFormerError, match="in net_g_7.pth, got NaN or infinity in decoder.conv_out.bias, and so"
    ):
        model.save(0, 7)
    assert not list((tmp_path / "models").glob("net_g*")) and not list((tmp_path / "states").glob("*.state"))


def draws():
    values = [random.random(), np.random.rand(), torch.rand(1).item(), np.random.standard_normal()]
    return [*values, torch.rand(1, device="cuda").item()] if torch.cuda.is_available() else values


def test_random_states(model, tmp_path):
    np.random.standard_normal()  # leaves a second one waiting
    model.save(0, 1)
    expected = draws()
    state = read_tensors(tmp_path / "states" / "1.state")
    draws()
    set_random_state(state["processes"][0]["random"])
    assert draws() == expected
    set_random_state(random_state())


def resumed(opt, folder, caplog, **changes):
    again = build_model(copy.deepcopy(opt))
    caplog.clear()
    again.resume_training(dict(read_tensors(folder / "states" / "1.state")) | changes)
    return again, [record.getMessage() for record in caplog.records]


def test_chance_goes_on_with_the_first_batch(stage1, model, batch, tmp_path, caplog):
    model.save(0, 1)
    expected = draws()
    model, told = resumed(stage1, tmp_path, caplog)
    draws()  # what is made for a training draws too
    model.feed_data(batch)
    assert draws() == expected and told == []
    model.feed_data(batch)
    assert draws() != expected


def test_states_of_others(stage1, model, tmp_path, caplog):
    model.save(0, 1)
    _, told = resumed(stage1, tmp_path, caplog, processes=[{}, {}], **{PASSED_OVER: ["2.state is cut short."]})
    assert told == [
        "A newer checkpoint is passed over. 2.state is cut short.",
        "Chance begins anew: the state tells it for 2 processes, and here are 1.",
    ]
    # As BasicSR writes them.
    _, told = resumed(stage1, tmp_path, caplog, processes=())
    assert told == ["Chance begins anew: the state tells it for 0 processes, and here are 1."]


def test_batches_left_out_are_counted_on(stage1, model, tmp_path, caplog):
    model.skipped_batches = 3
    model.save(0, 1)
    assert resumed(stage1, tmp_path, caplog)[0].skipped_batches == 3


def test_best_metrics(stage1, model, tmp_path, caplog):
    psnr, lower = {"type": "calculate_psnr", "crop_border": 0}, {"better": "lower"}
    stage1["val"] = {"metrics": {"psnr": psnr, "ssim": dict(psnr), "niqe": {**psnr, **lower}}}
    best = {"better": "higher", "val": 21.5, "iter": 1}
    model.best_metric_results = {"faces": {"psnr": best, "gone": best, "niqe": best}, "others": {"psnr": best}}
    model.save(0, 1)
    again, _ = resumed(stage1, tmp_path, caplog)
    assert again.best_metrics == model.best_metric_results
    again._initialize_best_metric_results("faces")
    records = again.best_metric_results["faces"]
    assert records["psnr"] == best and records.keys() == {"psnr", "ssim", "niqe"}
    assert records["ssim"]["iter"] == -1, "it was not measured before"
    assert records["niqe"]["iter"] == -1, "what was best is the worst now"
    again._update_best_metric_result("faces", "psnr", 20.0, 2)
    assert records["psnr"] == best
    assert again.best_metrics["others"] == {"psnr": best}
    (tmp_path / "states" / "1.best_metrics.json").write_text("{")
    assert resumed(stage1, tmp_path, caplog)[0].best_metrics == {}


def test_what_fits_is_loaded_without_strict(stage1, model, tmp_path, caplog):
    model.save(0, 1)
    path = tmp_path / "models" / "net_g_1.pth"
    content = torch.load(path, weights_only=True)
    kept, another = "decoder.conv_out.weight", "decoder.conv_out.bias"
    content["params"] = {kept: content["params"][kept] + 1, another: torch.ones(5), "strange": torch.ones(1)}
    del content["config"]
    torch.save(content, path)
    stage1["path"] |= {"pretrain_network_g": str(path), "strict_load_g": False}
    again = build_model(stage1)
    assert torch.equal(again.net_g.state_dict()[kept], content["params"][kept])
    assert "Size different, ignore [decoder.conv_out.bias]" in caplog.text and "strange" in caplog.text


def test_a_pickle_that_runs_code_is_not_run_without_strict_either(stage1, tmp_path):
    class Runs:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    torch.save({"params": {"x": Runs()}}, tmp_path / "evil.pth")
    stage1["path"] |= {"pretrain_network_g": str(tmp_path / "evil.pth"), "strict_load_g": False}
    with pytest.raises(RestoreFormerError, match="a pickle that holds more than tensors"):
        build_model(stage1)
    assert not (tmp_path / "ran").exists()
