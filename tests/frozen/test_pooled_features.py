import cv2
import numpy as np
import pytest
import torch
from basicsr.archs import inception
from PIL import Image as PillowImage
from small_weights import small_weights
from torchvision.models import inception_v3, mobilenet_v2
from torchvision.transforms.functional import normalize, resize

from restoreformer.errors import RestoreFormerError
from restoreformer.frozen.pooled_features import PooledFeatures, dimension
from restoreformer.images import to_batch

CPU = torch.device("cpu")


@pytest.fixture
def files(tmp_path):
    """Of FID's Inception, whose tensors have the names and shapes of torchvision's but for the classes; and of
    MobileNetV2."""
    with torch.device("meta"):
        nets = {
            "inception": inception_v3(num_classes=1008, aux_logits=False, weights=None, init_weights=False),
            "mobilenet_v2": mobilenet_v2(),
        }
    for name, net in nets.items():
        torch.save(small_weights(net.state_dict()), tmp_path / f"{name}.pth")
    return {name: tmp_path / f"{name}.pth" for name in nets}


@pytest.fixture
def batches(face, tmp_path):
    """Two faces as this project reads them, and by Pillow: RGB, from 0 to 1."""
    faces = [cv2.resize(np.roll(face, 40 * i, 1), (320, 320)) for i in range(2)]
    pixels = []
    for image in faces:
        cv2.imwrite(str(tmp_path / "face.png"), image)
        pixels.append(np.asarray(PillowImage.open(tmp_path / "face.png"), np.float32) / 255)
    return to_batch(faces, CPU), torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)


@torch.inference_mode()
def test_inception_is_basicsrs(files, batches, monkeypatch):
    ours, theirs = batches
    load_url = inception.load_url
    net = PooledFeatures("inception", files["inception"])
    assert inception.load_url is load_url, "BasicSR is left as it was"
    assert not any(m.training for m in net.net.modules()) and not any(p.requires_grad for p in net.parameters())
    monkeypatch.setattr(inception, "LOCAL_FID_WEIGHTS", str(files["inception"]))
    expected = inception.InceptionV3([3], resize_input=True, normalize_input=True).eval()(theirs)[0].flatten(1)
    found = net(ours)
    assert found.shape == (2, 2048)
    difference = (expected[0] - expected[1]).abs().max().item()
    torch.testing.assert_close(found, expected, rtol=0, atol=0.01 * difference)
    assert (net(ours.flip(1)) - found).abs().max() > 0.1 * difference, "blue taken for red would be seen"


@torch.inference_mode()
def test_mobilenet_is_torchvisions(files, batches):
    ours, theirs = batches
    net = PooledFeatures("mobilenet_v2", files["mobilenet_v2"])
    plain = mobilenet_v2().eval()
    plain.load_state_dict(torch.load(files["mobilenet_v2"]))
    small = resize(theirs, [224, 224], antialias=True)
    expected = plain.features(normalize(small, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])).mean((2, 3))
    difference = (expected[0] - expected[1]).abs().max().item()
    torch.testing.assert_close(net(ours), expected, rtol=0, atol=0.01 * difference)
    assert (net(ours.flip(1)) - expected).abs().max() > 0.1 * difference, "blue taken for red would be seen"
    assert dimension(net, CPU) == expected.shape[1] == 1280


def test_another_networks_weights(files):
    with pytest.raises(
        RestoreFormerError, match="Expected FID's Inception in .*mobilenet_v2.pth, its tensors are anoth"
    ):
        PooledFeatures("inception", files["mobilenet_v2"])
    with pytest.raises(RestoreFormerError, match="Expected the weights of MobileNetV2 for the FID in .*inception.pth"):
        PooledFeatures("mobilenet_v2", files["inception"])
    with pytest.raises(RestoreFormerError, match="Expected weights for the FID, got nothing"):
        PooledFeatures("mobilenet_v2")
