import cv2
import numpy as np
import pytest
import torch
from basicsr.models import build_model
from small_weights import small_weights
from torch.utils.data import DataLoader, Dataset
from torchvision.models import alexnet, mobilenet_v2

from restoreformer.errors import RestoreFormerError
from restoreformer.images import read, to_tensor, write
from restoreformer.metrics.collector import make_collector
from restoreformer.metrics.evaluation import evaluate
from restoreformer.metrics.face_sets import read_face_set
from restoreformer.models import validation

CPU = torch.device("cpu")


class Faces(Dataset):
    """Images and, unless told otherwise, their truths."""

    def __init__(self, images, with_truth=True):
        self.opt = {"name": "faces"}
        self.rows = [{"lq": to_tensor(i) * 0.8, "lq_path": f"{n:02d}.png"} for n, i in enumerate(images)]
        for row, image in zip(self.rows, images, strict=True):
            row |= {"gt": to_tensor(image)} if with_truth else {}

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.rows[i]


@pytest.fixture
def images(face):
    return [cv2.resize(np.roll(face, 11 * i, axis=1), (32, 32)) for i in range(4)]


@pytest.fixture
def metrics(tmp_path):
    with torch.device("meta"):
        nets = {"alexnet": alexnet(), "mobilenet": mobilenet_v2()}
    for name, net in nets.items():
        torch.save(small_weights(net.state_dict()), tmp_path / f"{name}.pth")
    mobilenet = {"type": "calculate_fid", "network": "mobilenet_v2", "weights": str(tmp_path / "mobilenet.pth")}
    return {
        "psnr": {"type": "calculate_psnr", "crop_border": 0},
        "alex": {"type": "calculate_lpips", "net": "alex", "weights": str(tmp_path / "alexnet.pth")},
        "set": mobilenet,
    }


@pytest.fixture
def options(stage1, metrics, tmp_path):
    stage1["val"] = {"save_img": True, "metrics": metrics}
    stage1["path"]["visualization"] = str(tmp_path / "shown")
    return stage1


def test_values_are_those_of_evaluate_on_what_was_saved(options, metrics, images, tmp_path):
    model = build_model(options)
    model.validation(DataLoader(Faces(images)), 7, None, save_img=True)
    for i, image in enumerate(images):
        write(tmp_path / "result" / f"{i:02d}.png", read(tmp_path / "shown" / f"{i:02d}" / f"{i:02d}_7.png"))
        write(tmp_path / "gt" / f"{i:02d}.png", image)
    made = {name: make_collector(block, CPU) for name, block in metrics.items()}
    result, gt = (read_face_set(tmp_path / name) for name in ("result", "gt"))
    measured = evaluate("ours", "faces", result, gt, gt, list(made.values()))
    assert model.metric_results.keys() == metrics.keys()
    for name, collector in made.items():
        assert model.metric_results[name] == pytest.approx(measured.figures[collector.label].value, rel=1e-5), name
        assert model.best_metric_results["faces"][name]["better"] == collector.better


def test_the_best_is_kept_and_networks_are_built_once(options, images, monkeypatch):
    built = []

    def counted(block, device):
        built.append(block["type"])
        return make_collector(block, device)

    monkeypatch.setattr(validation, "make_collector", counted)
    model = build_model(options)
    shades, results = iter((0.5, 0.8, 0.2)), []
    for iteration in (1, 2, 3):
        shade = next(shades)
        monkeypatch.setattr(model, "test", lambda shade=shade: setattr(model, "output", model.gt * shade))
        model.validation(DataLoader(Faces(images)), iteration, None)
        results.append(dict(model.metric_results))
    assert sorted(built) == ["calculate_fid", "calculate_lpips", "calculate_psnr"]
    best = model.best_metric_results["faces"]
    assert {name: b["iter"] for name, b in best.items()} == dict.fromkeys(results[0], 2)
    assert {name: b["val"] for name, b in best.items()} == results[1]
    assert results[1]["psnr"] > results[0]["psnr"] and results[1]["alex"] < results[0]["alex"]
    # Each set by itself, whatever came before.
    monkeypatch.setattr(model, "test", lambda: setattr(model, "output", model.gt * 0.5))
    model.validation(DataLoader(Faces(images)), 4, None)
    assert model.metric_results == results[0]


def test_faces_without_truth(options, metrics, images, tmp_path):
    for i, image in enumerate(images):
        write(tmp_path / "reference" / f"{i:02d}.png", image)
    options["val"]["metrics"] = {"set": metrics["set"] | {"reference": str(tmp_path / "reference")}}
    model = build_model(options)
    model.validation(DataLoader(Faces(images, with_truth=False)), 1, None)
    assert model.metric_results["set"] > 0
    # The truth of a face before is not that of a face without.
    options["val"]["metrics"] = {"psnr": metrics["psnr"]}
    model = build_model(options)
    model.validation(DataLoader(Faces(images)), 1, None)
    with pytest.raises(
        RestoreFormerError, match="the truth of each face of faces for the metric psnr, its dataset gives"
    ):
        model.validation(DataLoader(Faces(images, with_truth=False)), 2, None)


def test_metrics_that_cannot_be_had_are_told_before_training(options, metrics, tmp_path):
    metrics["alex"]["weights"] = str(tmp_path / "none.pth")
    with pytest.raises(RestoreFormerError, match=r"Expected a network file at .*none\.pth"):
        build_model(options)


def test_of_a_set_there_is_no_metric_in_other_models(images):
    """BasicSR's own validation asks for one face after another."""
    options = {
        "model_type": "SRModel",
        **{"num_gpu": 0, "is_train": False, "dist": False, "rank": 0, "path": {}},
        "network_g": {"type": "SRVGGNetCompact", "num_feat": 4, "num_conv": 1, "upscale": 1},
        "val": {"metrics": {"fid": {"type": "calculate_fid"}}},
    }
    with pytest.raises(RestoreFormerError, match="a model of this project or metrics/evaluate.py for calculate_fid"):
        build_model(options).validation(DataLoader(Faces(images)), 1, None)
