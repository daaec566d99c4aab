import math

import pytest
import torch
from small_weights import small_weights
from torch.nn import functional as F

from restoreformer.errors import RestoreFormerError
from restoreformer.frozen.arcface import ArcFaceResNet18
from restoreformer.frozen.identity import narrow_face
from restoreformer.frozen.mobilefacenet import MobileFaceNet
from restoreformer.metrics.collector import make_collector
from restoreformer.metrics.identity_distance import angle, calculate_idd

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((3.0, 4.0), (6.0, 8.0), 0.0),
        ((1.0, 0.0, 0.0), (1.0, math.sqrt(3), 0.0), math.pi / 3),
        ((2.0, 0.0), (0.0, 5.0), math.pi / 2),
        ((1.0, 1.0), (-1.0, 1.0), math.pi / 2),
        ((1.0, -2.0), (-3.0, 6.0), math.pi),
        ((1.0, 0.0), (math.cos(1e-5), math.sin(1e-5)), 1e-5),
        ((-1.0, 0.0), (math.cos(1e-5), math.sin(1e-5)), math.pi - 1e-5),
    ],
)
def test_angles_by_hand(a, b, expected):
    a, b = (torch.tensor([v], dtype=torch.float64) for v in (a, b))
    assert angle(a, b).item() == pytest.approx(expected, rel=1e-9, abs=1e-15)
    assert angle(b, a).item() == angle(a, b).item()


def grey(image):
    red, green, blue = image.split(1, dim=1)
    return F.interpolate(0.2989 * red + 0.5870 * green + 0.1140 * blue, (128, 128), mode="bilinear")


@pytest.mark.parametrize(
    ("network", "net", "prepare", "label"),
    [
        ("arcface_resnet18", ArcFaceResNet18, grey, "IDD"),
        ("mobilefacenet", MobileFaceNet, narrow_face, "angle (MobileFaceNet)"),
    ],
)
def test_agrees_with_a_plain_computation(network, net, prepare, label, faces, rgb, tmp_path, collected):
    made = net()
    made.load_state_dict(small_weights(made.state_dict()))
    torch.save(small_weights(made.state_dict()), tmp_path / "net.pth")
    made.eval()
    truths = [*faces(3), *faces(1, 80)]
    images = [*faces(3, noise=60), *faces(1, 80, noise=60)]

    def plain(image, truth):
        a, b = (made(prepare(x)).double().flatten() for x in (image, truth))
        return math.acos(a @ b / (a.norm() * b.norm()))

    with torch.no_grad():
        expected = [plain(rgb(i), rgb(t)) for i, t in zip(images, truths, strict=True)]
        exchanged = plain(rgb(images[0]).flip(1), rgb(truths[0]).flip(1))
    assert all(0.01 < e < 3 for e in expected)
    options = {"network": network, "weights": str(tmp_path / "net.pth")}
    collector = make_collector({"type": "calculate_idd", **options}, CPU)
    collector.batch_size = 2
    assert collected(collector, images, truths) == pytest.approx(expected, rel=1e-3)
    assert exchanged != pytest.approx(expected[0], rel=1e-2), "blue taken for red would be seen"
    assert collector.compute(images[:1], images[:1]) == [0]
    assert collector.label == label + (" (net.pth)" if label == "IDD" else "")
    assert calculate_idd(images[0], truths[0], **options) == pytest.approx(expected[0], rel=1e-3)


def test_errors(tmp_path):
    with pytest.raises(RestoreFormerError, match="Expected network arcface_resnet18 or mobilefacenet, got facenet"):
        make_collector({"type": "calculate_idd", "network": "facenet"}, CPU)
    with pytest.raises(RestoreFormerError, match="Expected weights for the identity distance, got nothing"):
        make_collector({"type": "calculate_idd", "network": "mobilefacenet"}, CPU)
    torch.save({"conv1.conv.weight": torch.zeros(1)}, tmp_path / "x.pth")
    with pytest.raises(RestoreFormerError, match="Expected the weights of MobileFaceNet for the identity distance"):
        make_collector({"type": "calculate_idd", "network": "mobilefacenet", "weights": str(tmp_path / "x.pth")}, CPU)
