"""On a graph made by hand that answers -x/2."""

import sys

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from restoreformer import __version__
from restoreformer.archs.checkpoint import network_config
from restoreformer.archs.restoreformer_arch import RestoreFormer
from restoreformer.errors import RestoreFormerError
from restoreformer.images import to_image, to_tensor
from restoreformer.inference import inference_restoreformer
from restoreformer.inference.face_restorer import FaceRestorer
from restoreformer.inference.onnx_network import OnnxNetwork, onnx_metadata

CPU = torch.device("cpu")


def save(path, metadata, batch="n", names=("lq", "restored"), size=64):
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 3, size, size]) for name in names]
    half = helper.make_tensor("half", TensorProto.FLOAT, [], [-0.5])
    graph = helper.make_graph([helper.make_node("Mul", [names[0], "half"], [names[1]])], "g", *zip(tensors), [half])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path


@pytest.fixture
def metadata(small_net):
    with torch.device("meta"):
        return onnx_metadata(RestoreFormer(**small_net), "fp16")


@pytest.fixture
def file(tmp_path, metadata):
    return save(tmp_path / "net.onnx", metadata)


def test_batches_of_any_size_and_order_of_memory(file, small_net):
    network = OnnxNetwork(file, CPU)
    assert (network.resolution, network.precision, network.version) == (64, "fp16", __version__)
    assert network.config == network_config(RestoreFormer(**small_net))
    for count in (1, 2, 5):
        x = torch.rand(count, 3, 64, 64).to(memory_format=torch.channels_last)
        assert torch.equal(network(x), -x / 2)


def test_aligned_faces(file, face):
    restorer = FaceRestorer(file, None, "cpu", batch_size=2)
    faces = [cv2.resize(np.roll(face, 9 * i, 1), (64, 64), interpolation=cv2.INTER_AREA) for i in range(3)]
    restored = restorer.restore_aligned(faces)
    assert len(restored) == 3
    for before, after in zip(faces, restored, strict=True):
        np.testing.assert_allclose(after.astype(int), to_image(-to_tensor(before) / 2), atol=1)


def test_from_the_command_line(tmp_path, file, face, monkeypatch, capsys):
    cv2.imwrite(str(tmp_path / "face.png"), face)
    command = [
        "x",
        "-i",
        tmp_path / "face.png",
        "-o",
        tmp_path / "out",
        "--model",
        file,
        "--aligned",
        "--device",
        "cpu",
    ]
    monkeypatch.setattr(sys, "argv", list(map(str, command)))
    inference_restoreformer.main()
    assert cv2.imread(str(tmp_path / "out" / "restored_faces" / "face.png")).shape == (64, 64, 3)
    monkeypatch.setattr(sys, "argv", [*map(str, command), "--precision", "bf16"])
    with pytest.raises(SystemExit, match="error: Expected neither precision nor compile with .* got precision bf16"):
        inference_restoreformer.main()


def test_other_files_are_errors(tmp_path, metadata):
    with pytest.raises(RestoreFormerError, match="Expected an ONNX file at .*, found none."):
        OnnxNetwork(tmp_path / "none.onnx", CPU)
    (tmp_path / "text.onnx").write_bytes(b"no network")
    with pytest.raises(RestoreFormerError, match="Expected an ONNX file at .*, could not read it: "):
        OnnxNetwork(tmp_path / "text.onnx", CPU)
    with pytest.raises(
        RestoreFormerError, match="scripts/export_onnx.py at .*, got one without restoreformer.config in"
    ):
        OnnxNetwork(save(tmp_path / "other.onnx", {}), CPU)
    for wrong in ({"batch": 2}, {"names": ("input", "output")}, {"size": 32}):
        with pytest.raises(RestoreFormerError, match=r"Expected lq and restored of \['n', 3, 64, 64\] and float in"):
            OnnxNetwork(save(tmp_path / "wrong.onnx", metadata, **wrong), CPU)


@pytest.mark.parametrize(
    "name, value, told",
    [
        ("precision", "abc", "Expected fp32 or fp16 as restoreformer.precision in the metadata of .*, got 'abc'"),
        ("resolution", "64.5", "Expected a whole number as restoreformer.resolution in .*, got '64.5'"),
        ("config", "{", "Expected a network's type and arguments in JSON as restoreformer.config in .*, got '{'"),
        ("config", "[64]", r"Expected a network's type and arguments in JSON .*, got '\[64\]': export it again"),
    ],
)
def test_wrong_metadata_is_named(tmp_path, metadata, name, value, told):
    with pytest.raises(RestoreFormerError, match=told):
        OnnxNetwork(save(tmp_path / "net.onnx", metadata | {f"restoreformer.{name}": value}), CPU)


@pytest.mark.parametrize("x", [torch.zeros(1, 3, 32, 32), torch.zeros(3, 64, 64), torch.zeros(1, 3, 64, 64).half()])
def test_other_images_are_errors(file, x):
    with pytest.raises(RestoreFormerError, match=r"Expected images of \('n', 3, 64, 64\) and float32, got"):
        OnnxNetwork(file, CPU)(x)


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_onnxruntime_without_cuda_is_told(file, monkeypatch):
    onnxruntimes = [["CPUExecutionProvider"], ["CUDAExecutionProvider", "CPUExecutionProvider"]]
    # The second is onnxruntime-gpu whose CUDA does not load.
    monkeypatch.setattr(onnxruntime.InferenceSession, "get_providers", lambda session: ["CPUExecutionProvider"])
    for there in onnxruntimes:
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda there=there: there)
        with pytest.raises(RestoreFormerError, match="install onnxruntime-gpu in place of onnxruntime"):
            OnnxNetwork(file, torch.device("cuda", 0))
