import lpips
import pytest
import torch
from plain_vgg import caffe, plain_vgg16
from small_weights import small_weights
from torch.nn import functional as F
from torchvision.models import alexnet, vgg16

from restoreformer.errors import RestoreFormerError
from restoreformer.metrics.collector import make_collector
from restoreformer.metrics.lpips_distance import LPIPSCollector, calculate_lpips

CPU = torch.device("cpu")


@pytest.fixture
def weights(tmp_path):
    """A file with a backbone's convolutions, and its tensors."""

    def make(net):
        with torch.device("meta"):
            backbone = {"vgg": vgg16, "alex": alexnet}[net]()
        tensors = small_weights({k: v for k, v in backbone.state_dict().items() if k.startswith("features.")})
        torch.save(tensors, tmp_path / f"{net}.pth")
        assert (tmp_path / f"{net}.pth").stat().st_size < 500_000
        return str(tmp_path / f"{net}.pth"), tensors

    return make


@pytest.mark.parametrize("net", ["vgg", "alex"])
def test_agrees_with_the_package_lpips(net, faces, rgb, weights, collected):
    path, tensors = weights(net)
    theirs = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    for number in range(1, 6):
        for name, layer in theirs.net.get_submodule(f"slice{number}").named_children():
            if isinstance(layer, torch.nn.Conv2d):
                layer.load_state_dict({k: tensors[f"features.{name}.{k}"] for k in ("weight", "bias")})
    # Two sizes, and batches that the sets do not fill.
    truths = [*faces(3, 48), *faces(1)]
    images = [*faces(3, 48, noise=40), *faces(1, noise=10)]
    with torch.no_grad():
        expected = [theirs(rgb(i), rgb(t)).item() for i, t in zip(images, truths, strict=True)]
        exchanged = theirs(rgb(images[0]).flip(1), rgb(truths[0]).flip(1)).item()
    collector = make_collector({"type": "calculate_lpips", "net": net, "weights": path}, CPU)
    collector.batch_size = 2
    assert collected(collector, images, truths) == pytest.approx(expected, rel=1e-4)
    assert exchanged != pytest.approx(expected[0], rel=1e-2), "blue taken for red would be seen"
    assert collector.compute(images[:1], images[:1]) == [0]
    as_in_scripts = LPIPSCollector(CPU, net, path, colors="bgr", black=0)
    with torch.no_grad():
        fed = ((rgb(images[0]).flip(1) + 1) / 2, (rgb(truths[0]).flip(1) + 1) / 2)
        assert as_in_scripts.compute(images[:1], truths[:1]) == pytest.approx([theirs(*fed).item()], rel=1e-4)
    assert as_in_scripts.label.endswith(f"({net}.pth) (BGR, [0, 1])")
    with pytest.raises(RestoreFormerError, match="colors rgb or bgr and black -1 or 0, got grey and -1"):
        LPIPSCollector(CPU, net, path, colors="grey")
    if net == "alex":
        assert calculate_lpips(images[0], truths[0], net, path, better="lower") == pytest.approx(expected[0], rel=1e-4)


def test_edge_vgg16_in_float64(faces, rgb, tmp_path, collected):
    """Features of length 1 at each place; squared, summed over channels, averaged over places, summed over stages."""
    with torch.device("meta"):
        tensors = small_weights(vgg16().features.state_dict())
    torch.save(tensors, tmp_path / "edges.pth")
    images, truths = faces(3, 32, noise=40), faces(3, 32)
    expected = []
    for image, truth in zip(images, truths, strict=True):
        pairs = zip(plain_vgg16(tensors, caffe(rgb(image))), plain_vgg16(tensors, caffe(rgb(truth))), strict=True)
        terms = [(F.normalize(a) - F.normalize(b)).square().sum(1).mean() for (_, a), (_, b) in pairs]
        expected.append(torch.stack(terms).sum().item())
    collector = LPIPSCollector(CPU, "edge_vgg16", str(tmp_path / "edges.pth"), batch_size=2)
    assert collected(collector, images, truths) == pytest.approx(expected, rel=1e-4)
    assert collector.label == "distance (edge VGG-16)", "it is not LPIPS"


def test_errors(weights):
    with pytest.raises(RestoreFormerError, match="Expected net vgg or alex or edge_vgg16, got squeeze"):
        LPIPSCollector(CPU, "squeeze")
    with pytest.raises(RestoreFormerError, match="Expected the weights of Backbone for the LPIPS in .*vgg.pth"):
        LPIPSCollector(CPU, "alex", weights("vgg")[0])
    with pytest.raises(RestoreFormerError, match="Expected weights for the perceptual distance, got nothing"):
        LPIPSCollector(CPU, "edge_vgg16")
