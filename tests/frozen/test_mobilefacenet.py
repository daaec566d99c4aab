import pytest
import torch
from golden import fill, golden_tensor
from small_weights import small_weights
from torch.nn import functional as F

from restoreformer.errors import RestoreFormerError
from restoreformer.frozen.mobilefacenet import MobileFaceNet
from restoreformer.frozen.weights import load_frozen


def test_tensors_are_those_of_the_public_checkpoints():
    shapes = {name: tuple(tensor.shape) for name, tensor in MobileFaceNet().state_dict().items()}
    # 15 bottlenecks of 3 convolutions and 5 beside them; PReLU after each but the last of each and the last two.
    convolutions, slopes = 15 * 3 + 5, 15 * 2 + 3
    assert len(shapes) == convolutions * (1 + 5) + slopes == 333
    assert shapes["conv1.conv.weight"] == (64, 3, 3, 3) and shapes["conv1.prelu.weight"] == (64,)
    assert shapes["dw_conv1.conv.weight"] == (64, 1, 3, 3)
    assert shapes["blocks.5.conv.3.weight"] == (256, 1, 3, 3)
    assert shapes["blocks.14.conv.7.weight"] == (128,) and "blocks.14.conv.8.weight" not in shapes
    assert shapes["conv2.conv.weight"] == (512, 128, 1, 1)
    assert shapes["linear7.conv.weight"] == (512, 1, 7, 6) and "linear7.prelu.weight" not in shapes
    assert shapes["linear1.conv.weight"] == (128, 512, 1, 1) and shapes["linear1.bn.running_mean"] == (128,)


def test_a_file_as_published_is_read(tmp_path):
    """The tensors under net_state_dict, beside the epoch, under the prefix of several GPUs."""
    net = fill(MobileFaceNet())
    tensors = {f"module.{k}": golden_tensor(k, v) for k, v in net.state_dict().items()}
    torch.save({"epoch": 68, "net_state_dict": tensors}, tmp_path / "068.ckpt")
    read = MobileFaceNet()
    load_frozen(read, tmp_path / "068.ckpt", "test")
    assert not read.training and not any(p.requires_grad for p in read.parameters())
    x = torch.rand(2, 3, 112, 96) * 2 - 1
    with torch.no_grad():
        assert read(x).shape == (2, 128)
        torch.testing.assert_close(read(x), net(x), rtol=0, atol=0)
    del tensors["module.linear7.conv.weight"]
    torch.save({"epoch": 68, "net_state_dict": tensors}, tmp_path / "part.ckpt")
    with pytest.raises(
        RestoreFormerError, match="MobileFaceNet for the test in .*, but linear7.conv.weight and 0 more"
    ):
        load_frozen(read, tmp_path / "part.ckpt", "test")


def test_agrees_with_a_plain_computation():
    """A bottleneck adds its input where it changes neither size nor width."""
    net = MobileFaceNet().eval()
    tensors = small_weights(net.state_dict())
    net.load_state_dict(tensors)

    def step(x, conv, norm, slope=None, **options):
        x = F.conv2d(x, tensors[f"{conv}.weight"], **options)
        x = F.batch_norm(x, *(tensors[f"{norm}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")))
        return x if slope is None else F.prelu(x, tensors[f"{slope}.weight"])

    def layer(x, name, **options):
        slope = f"{name}.prelu" if f"{name}.prelu.weight" in tensors else None
        return step(x, f"{name}.conv", f"{name}.bn", slope, **options)

    image = torch.rand(2, 3, 112, 96) * 2 - 1
    x = layer(image, "conv1", stride=2, padding=1)
    x = layer(x, "dw_conv1", padding=1, groups=64)
    for i in range(15):
        name, stride = f"blocks.{i}.conv", 2 if i in (0, 5, 12) else 1
        h = step(x, f"{name}.0", f"{name}.1", f"{name}.2")
        h = step(h, f"{name}.3", f"{name}.4", f"{name}.5", stride=stride, padding=1, groups=h.shape[1])
        h = step(h, f"{name}.6", f"{name}.7")
        x = x + h if stride == 1 else h
    x = layer(x, "conv2")
    assert x.shape == (2, 512, 7, 6)
    x = layer(layer(x, "linear7", groups=512), "linear1").flatten(1)
    with torch.no_grad():
        torch.testing.assert_close(net(image), x, rtol=1e-4, atol=1e-4 * x.std().item())
