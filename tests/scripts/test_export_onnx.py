import re
import sys
from pathlib import Path

import cv2
import export_onnx
import numpy as np
import onnx
import pytest
import torch
from golden import fill, golden_input
from onnx import TensorProto

from restoreformer.archs.checkpoint import save_checkpoint
from restoreformer.archs.fusion import FUSIONS
from restoreformer.archs.restoreformer_arch import RELEASED_FUSIONS, RestoreFormer, RestoreFormerPaper
from restoreformer.errors import RestoreFormerError
from restoreformer.inference.face_restorer import FaceRestorer
from restoreformer.inference.onnx_network import OnnxNetwork

pytestmark = pytest.mark.skipif(
    torch.__version__ < export_onnx.OLDEST_TORCH, reason=f"torch exports from {export_onnx.OLDEST_TORCH} on"
)
ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
PAPER = {"n_embed": 32, "embed_dim": 64, "ch": 32, "ch_mult": [1, 1, 2], "num_res_blocks": 1, "resolution": 32}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("onnx")


@pytest.fixture(scope="module")
def two_levels(folder):
    """A RestoreFormer in float32, and the file of it."""
    sizes = {"n_embed": 128, "embed_dim": 64, "z_channels": 64, "ch": 32, "ch_mult": [1, 2], "num_res_blocks": 1}
    net = fill(RestoreFormer(**sizes, attn_resolutions=[16], resolution=32, head_size=4))
    export_onnx.export_checked(net, folder / "two.onnx")
    return net, folder / "two.onnx"


def held_against(net, path, count):
    """How a file agrees with its network for faces that the export did not try."""
    faces = golden_input(count, 3, net.resolution, net.resolution)
    (entries,) = export_onnx.looked_up(path, [faces])
    return export_onnx.agreement(net, faces, OnnxNetwork(path, CPU)(faces), entries)


def test_batches_that_it_was_not_traced_with(two_levels):
    net, path = two_levels
    assert export_onnx.TRACED not in (*export_onnx.BATCHES, 5)
    network, faces = OnnxNetwork(path, CPU), golden_input(5, 3, 32, 32)
    assert network(faces[:0]).shape == net(faces[:0]).shape == (0, 3, 32, 32)
    together = network(faces)
    with torch.no_grad():
        torch.testing.assert_close(together, net(faces), atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.cat([network(face[None]) for face in faces]), together, atol=1e-5, rtol=0)


def test_in_half_precision_entries_are_as_torch_chooses_them(tmp_path, small_net):
    """All entries are nearly one: float32 tells them apart at most places, half precision at none."""
    net = fill(RestoreFormer(**small_net))
    with torch.no_grad():
        entries = net.quantize.embedding.weight
        entries.copy_(entries[:1] + 1e-3 * entries)
        latents = net.encode(golden_input(1, 3, 64, 64))
        vectors = latents.half().permute(0, 2, 3, 1).reshape(-1, 64)
        halves = (entries.half().square().sum(1) - 2 * vectors @ entries.half().t()).argmin(1)
        assert (halves == net.quantize.nearest(latents).view(-1)).float().mean() < 0.5
    path = tmp_path / "half.onnx"
    export_onnx.export_checked(net, path, "fp16")
    found = held_against(net, path, 2)
    assert found.same_entries > 0.98 and found.psnr > 55 and found.difference > 1e-4
    graph = onnx.load(path).graph
    stored = {t.name: t.data_type for t in graph.initializer}
    halved = {name for name, kind in stored.items() if kind == TensorProto.FLOAT16 and name.endswith(".conv1.weight")}
    parts = ("encoder.down.0.", "decoder.")
    assert halved == {name for name in stored if name.endswith(".conv1.weight") and name.startswith(parts)}
    # Norms are not left to what a runtime makes of half precision.
    norms = {stored[node.input[1]] for node in graph.node if node.op_type == "InstanceNormalization"}
    assert norms == {TensorProto.FLOAT} and OnnxNetwork(path, CPU).precision == "fp16"


def test_the_papers_network_by_the_command(tmp_path, monkeypatch, capsys, face):
    net = fill(RestoreFormerPaper(heads=4, **PAPER))
    save_checkpoint(tmp_path / "net.pth", net)
    path = tmp_path / "made" / "net.onnx"
    monkeypatch.setattr(sys, "argv", ["x", "--model", str(tmp_path / "net.pth"), "-o", str(path)])
    export_onnx.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and re.search(r"net.onnx: fp32, opset 18, \d.\d MB$", lines[0])
    assert lines[2].startswith("3 face(s), against torch in float32: largest difference ")
    assert list(path.parent.iterdir()) == [path]
    assert held_against(net, path, 2).difference < 1e-4
    before, after = (FaceRestorer(p, None, "cpu").restore_aligned([face])[0] for p in (tmp_path / "net.pth", path))
    assert after.shape == (32, 32, 3) and np.abs(before.astype(int) - after).max() <= 1


def test_kernels_are_in_the_file_and_no_paths_are(two_levels):
    path = two_levels[1]
    graph = onnx.load(path).graph
    stored = {t.name for t in graph.initializer}
    assert all(n.input[1] in stored for n in graph.node if n.op_type in ("Conv", "ConvTranspose"))
    assert str(ROOT).encode() not in path.read_bytes()


def test_the_documentations_lines_restore_as_we_do(two_levels, tmp_path, monkeypatch, face):
    aligned = cv2.resize(face, (32, 32), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(tmp_path / "face.png"), aligned)
    (tmp_path / "restoreformer.onnx").write_bytes(two_levels[1].read_bytes())
    monkeypatch.chdir(tmp_path)
    (lines,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "onnx.md").read_text(), re.DOTALL)
    exec(lines, {})
    (expected,) = FaceRestorer("restoreformer.onnx", None, "cpu").restore_aligned([aligned])
    assert np.abs(cv2.imread("restored.png").astype(int) - expected).max() <= 1


def test_a_file_that_differs_is_not_written(two_levels, tmp_path, monkeypatch):
    net, path = two_levels
    monkeypatch.setattr(export_onnx, "export", lambda *_: onnx.load(path))
    other = fill(RestoreFormer(**net.config))
    with torch.no_grad():
        other.decoder.conv_out.bias += 0.01
    (tmp_path / "net.onnx").write_text("an older one")
    with pytest.raises(RestoreFormerError, match=r"as near to torch in float32 as .* 0.001, .* got .* 0.01, .* 1 face"):
        export_onnx.export_checked(other, tmp_path / "net.onnx")
    other.decoder.conv_out.bias.data[0] = float("nan")
    with pytest.raises(RestoreFormerError, match="difference nan"):
        export_onnx.export_checked(other, tmp_path / "net.onnx")
    assert [p.read_text() for p in tmp_path.iterdir()] == ["an older one"]


def test_what_cannot_be_exported(tmp_path, monkeypatch, two_levels):
    for arguments, told in (
        (["-o", str(tmp_path / "net.pth")], "Expected an output that ends in .onnx"),
        (["-o", str(tmp_path / "net.onnx"), "--model", str(tmp_path / "none.pth")], "Expected a network file at"),
    ):
        monkeypatch.setattr(sys, "argv", ["x", *arguments])
        with pytest.raises(SystemExit, match=f"error: {told}"):
            export_onnx.main()
    with torch.device("meta"):
        large = RestoreFormer(ch=256)
    with pytest.raises(RestoreFormerError, match=r"Expected weights of less than 2.1 GB, got 4.\d GB."):
        export_onnx.export(large)
    with pytest.raises(RestoreFormerError, match="Expected precision among fp32, fp16, got bf16"):
        export_onnx.export(two_levels[0], "bf16")


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_told_before_the_model_is_fetched(package, tmp_path, monkeypatch, two_levels):
    monkeypatch.setitem(sys.modules, package, None)
    told = f"Expected the package {package} for ONNX files"
    monkeypatch.setattr(export_onnx, "local_file", lambda *_: pytest.fail("before the packages"))
    monkeypatch.setattr(sys, "argv", ["x", "-o", str(tmp_path / "net.onnx")])
    with pytest.raises(SystemExit, match=f"error: {told}"):
        export_onnx.main()
    with pytest.raises(RestoreFormerError, match=told):
        export_onnx.export(two_levels[0])


@pytest.mark.slow
@pytest.mark.parametrize("precision", export_onnx.LIMITS)
@pytest.mark.parametrize(
    "kind, options",
    [
        *((RestoreFormer, {"fusion": fusion}) for fusion in RELEASED_FUSIONS),
        *((RestoreFormerPaper, {"fusion": fusion, "heads": 4, **PAPER}) for fusion in FUSIONS),
        (RestoreFormerPaper, {"heads": 4, **PAPER, "encoder": "vgg19", "embed_dim": 128}),
    ],
)
def test_every_variant(kind, options, precision, tmp_path, small_net):
    net = fill(kind(**(small_net if kind is RestoreFormer else {}), **options))
    path = tmp_path / "net.onnx"
    assert len(export_onnx.export_checked(net, path, precision)) == 2
    assert held_against(net, path, 5).within(export_onnx.LIMITS[precision])


@pytest.mark.slow
@pytest.mark.parametrize("opset", export_onnx.OPSETS)
def test_every_opset(opset, two_levels, tmp_path):
    net, path = two_levels[0], tmp_path / "net.onnx"
    export_onnx.export_checked(net, path, opset=opset)
    assert onnx.load(path).opset_import[0].version == opset


@pytest.mark.slow
def test_an_opset_that_torch_does_not_export_to(two_levels):
    with pytest.raises(RestoreFormerError, match="Expected an opset that this torch exports to, got 17: 18 is."):
        export_onnx.export(two_levels[0], opset=17)
