import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchmetrics.image.fid import FrechetInceptionDistance

from restoreformer.errors import RestoreFormerError
from restoreformer.images import write
from restoreformer.metrics import frechet_distance
from restoreformer.metrics.collector import make_collector
from restoreformer.metrics.frechet_distance import FrechetCollector, calculate_fid

CPU = torch.device("cpu")
BLOCK = {"type": "calculate_fid", "network": "mobilenet_v2"}


def quarters(images):
    """Means of the quarters of each, ``(n, 12)``."""
    return torch.cat([F.adaptive_avg_pool2d(i.double(), 2).flatten(1) for i in images])


class Same(torch.nn.Module):
    num_features = 12

    def forward(self, features):
        return features


def by_torchmetrics(real, fake):
    metric = FrechetInceptionDistance(feature=Same()).set_dtype(torch.float64)
    metric.update(real, real=True)
    metric.update(fake, real=False)
    return metric.compute().item()


@pytest.fixture
def sets(faces):
    """As many faces as they have features, and two more that are larger; and their truths."""
    return [*faces(12, noise=40), *faces(2, 80, noise=40)], [*faces(12), *faces(2, 80)]


@pytest.mark.usefixtures("corners")
@pytest.mark.parametrize("with_reference", [False, True])
def test_agrees_with_torchmetrics(with_reference, sets, rgb, tmp_path, monkeypatch):
    monkeypatch.setattr(frechet_distance, "BATCH_SIZE", 4)
    images, truths = sets
    if with_reference:
        truths = truths[:12]
        for i, truth in enumerate(truths):
            write(tmp_path / "truths" / f"{i}.png", truth)
    block = BLOCK | ({"reference": str(tmp_path / "truths")} if with_reference else {})
    collector = make_collector(block, CPU)
    for image, truth in zip(images, sets[1], strict=True):
        collector.add(image, None if with_reference else truth)
    fake, real, exchanged = (
        quarters(map(rgb, s)) for s in (images, truths, [np.ascontiguousarray(i[:, :, ::-1]) for i in images])
    )
    values = collector.values()
    np.testing.assert_allclose(values, fake if with_reference else torch.cat([fake, real], 1), atol=1e-6)
    found = collector.result(values)
    assert found == pytest.approx(by_torchmetrics(real, fake), rel=1e-4)
    assert found != pytest.approx(by_torchmetrics(real, exchanged), rel=1e-2), "blue taken for red would be seen"
    assert collector.label == "Fréchet (MobileNetV2)" + ("" if with_reference else " to GT")
    assert collector.needs_gt != with_reference


@pytest.mark.usefixtures("corners")
def test_identity_and_forgetting(sets):
    images, truths = sets
    collector = make_collector(BLOCK, CPU)
    for truth in truths:
        collector.add(truth, truth)
    assert collector.result(collector.values()) == pytest.approx(0, abs=1e-5)
    collector.clear()
    collector.add(images[0], truths[0])
    collector.clear()
    with pytest.raises(RestoreFormerError, match=r"two faces or more for Fréchet \(MobileNetV2\) to GT, got 0"):
        collector.result(collector.values())
    collector.add(images[0], truths[0])
    with pytest.raises(RestoreFormerError, match=r"two faces or more for Fréchet \(MobileNetV2\) to GT, got 1"):
        collector.result(collector.values())


@pytest.mark.usefixtures("corners")
def test_errors(sets):
    images, _ = sets
    collector = make_collector(BLOCK, CPU)
    for truth in (None, images[-1]):
        with pytest.raises(RestoreFormerError, match=r"at its size for Fréchet \(MobileNetV2\) to GT"):
            collector.add(images[0], truth)
    with pytest.raises(RestoreFormerError, match="Expected network inception or mobilenet_v2, got vgg"):
        FrechetCollector(CPU, network="vgg")
    with pytest.raises(RestoreFormerError, match="got one face: FID is of a set"):
        calculate_fid(images[0], images[0], better="lower")
