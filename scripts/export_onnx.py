"""Write a trained RestoreFormer as one ONNX file, and hold it against torch.

python scripts/export_onnx.py -o restoreformer.onnx
python scripts/export_onnx.py --model net_g_latest.pth -o half.onnx --precision fp16

The file takes any number of faces, holds the dictionary and its lookup, and appears only if it passes; docs/onnx.md
has what it is held to and how to use it.
"""

import copy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restoreformer.archs.autoencoder import VQAutoencoder
from restoreformer.archs.blocks import Norm, Upsample
from restoreformer.archs.build import build_from_checkpoint
from restoreformer.archs.checkpoint import read_checkpoint
from restoreformer.archs.precision import set_precision
from restoreformer.errors import RestoreFormerError
from restoreformer.extras import import_extra
from restoreformer.inference.face_restorer import DEFAULT_MODEL
from restoreformer.inference.onnx_network import INPUT, OUTPUT, OnnxNetwork, onnx_metadata
from restoreformer.pretrained import local_file
from restoreformer.program import option_parser
from restoreformer.whole_file import whole_file

OLDEST_TORCH = "2.6"
# The first is what torch's exporter is written for.
OPSETS = range(18, 25)
# An ONNX file is one message of protobuf, which ends there.
LARGEST = 2**31
# Sizes of the batches that are tried; the graph is traced with another.
BATCHES, TRACED = (1, 3), 2


class Agreement(NamedTuple):
    """How near a file and torch in float32 are.

    Attributes:
        difference: the largest between two values of images in [-1, 1]; torch makes them of the file's entries.
        psnr: of those images, in dB.
        same_entries: the share of places where torch would have chosen the same.
    """

    difference: float
    psnr: float
    same_entries: float

    def within(self, limit: "Agreement") -> bool:
        """Whether it is as near as ``limit`` or nearer; NaN is not."""
        near = self.difference <= limit.difference and self.psnr >= limit.psnr
        return near and self.same_entries >= limit.same_entries

    def __str__(self) -> str:
        return (
            f"largest difference {self.difference:.2g}, PSNR {self.psnr:.1f} dB, same entries "
            f"{100 * self.same_entries:.2f} %"
        )


# 1e-3 everywhere is 66 dB. Half precision moves a few features to the entry next to their nearest (docs/speed.md).
LIMITS = {"fp32": Agreement(1e-3, 66, 0.998), "fp16": Agreement(0.2, 40, 0.98)}


class Float32Norm(nn.Module):
    """A norm that computes in float32 whatever comes in, as torch's does by itself, and other runtimes' need not."""

    def __init__(self, norm: Norm) -> None:
        super().__init__()
        self.norm = norm.float()

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.float()).to(x.dtype)


def transposed(layer: Upsample) -> nn.ConvTranspose2d:
    """The same with its kernel made up: runtimes want weights that are there before the first face."""
    channels = layer.conv.in_channels
    made = nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1, device=layer.conv.weight.device)
    assert layer.conv.bias is not None and made.bias is not None
    with torch.no_grad():
        made.weight.copy_(layer.kernel())
        made.bias.copy_(layer.conv.bias)
    return made


def replace(net: nn.Module, kind: type[Any], make: Callable[[Any], nn.Module]) -> None:
    """Put what ``make`` makes of each layer of a kind in its place."""
    for parent in list(net.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, kind):
                setattr(parent, name, make(layer))


def check_packages() -> None:
    """See that all which an export and its check take is there: what is missing would be told only after minutes.

    Raises:
        RestoreFormerError: a package that cannot be imported, or an old torch.
    """
    # torch compares it as a version, not as text.
    if torch.__version__ < OLDEST_TORCH:
        raise RestoreFormerError(f"Expected torch {OLDEST_TORCH} or newer to export, got {torch.__version__}.")
    for name in ("onnx", "onnxscript", "onnxruntime"):
        import_extra(name, "onnx")


def export(net: VQAutoencoder, precision: str = "fp32", opset: int = OPSETS[0]) -> Any:
    """A network as an ``onnx.ModelProto`` with one input, :data:`INPUT`, and one output, :data:`OUTPUT`.

    Args:
        net: a network in float32 on the CPU; left as it is.
        precision: ``fp32``, or ``fp16`` for the parts that
            :func:`~restoreformer.archs.precision.set_precision` halves. What goes in and comes out is float32.
        opset: version of ONNX's operators.

    Raises:
        RestoreFormerError: a missing package, another precision, an opset that torch does not export to, or a
            network that is too large for one file.
    """
    if precision not in LIMITS:
        raise RestoreFormerError(f"Expected precision among {', '.join(LIMITS)}, got {precision}.")
    check_packages()
    net = copy.deepcopy(net).eval()
    # In this order the kernels are added up in float32 and rounded once.
    replace(net, Upsample, transposed)
    set_precision(net, precision)
    replace(net, Norm, Float32Norm)
    size = sum(t.nbytes for t in net.state_dict().values())
    if size >= LARGEST:
        raise RestoreFormerError(f"Expected weights of less than {LARGEST / 1e9:.1f} GB, got {size / 1e9:.1f} GB.")
    faces = torch.zeros(TRACED, 3, net.resolution, net.resolution)
    # Not under no_grad, where layers write in place: torch 2.6 does not export that.
    net.requires_grad_(False)
    with torch.enable_grad():
        program = torch.onnx.export(
            net,
            (faces,),
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=opset,
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("n")},),
            external_data=False,
            optimize=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    found = next(o.version for o in model.opset_import if not o.domain)
    if found != opset:
        raise RestoreFormerError(f"Expected an opset that this torch exports to, got {opset}: {OPSETS[0]} is.")
    # What torch notes of each operation are stacks of calls, with the paths of this machine.
    graph = model.graph
    for noted in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        noted.ClearField("metadata_props")
        noted.ClearField("doc_string")
    for key, value in onnx_metadata(net, precision).items():
        model.metadata_props.add(key=key, value=value)
    return model


def random_faces(count: int, size: int) -> Tensor:
    """What a network may take for degraded faces, smooth with some noise, ``(count, 3, size, size)`` in [-1, 1]; the
    same each time."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(count, 3, 8, 8, generator=generator)
    smooth = F.interpolate(coarse, (size, size), mode="bicubic") / 2
    return (smooth + 0.05 * torch.randn(smooth.shape, generator=generator)).clamp(-1, 1)


def looked_up(path: Path, batches: Sequence[Tensor]) -> list[Tensor | None]:
    """The entries that a file looks up for faces, ``(n * places)``, by the beginning of its graph; None for variants
    that do without the dictionary."""
    onnx, onnxruntime = (import_extra(name, "onnx") for name in ("onnx", "onnxruntime"))
    model = onnx.load(path)
    found = [node.output[0] for node in model.graph.node if node.op_type == "ArgMin"]
    if not found:
        return [None] * len(batches)
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info(found[0], onnx.TensorProto.INT64, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [torch.from_numpy(session.run(None, {INPUT: faces.numpy()})[0]).clone() for faces in batches]


@torch.inference_mode()
def agreement(net: VQAutoencoder, faces: Tensor, images: Tensor, entries: Tensor | None) -> Agreement:
    """Hold what a file made of faces, and the entries that it looked up, against its network in float32.

    Where rounding tips a place to the entry next to its nearest, the image changes by far more than rounding, which
    says nothing of the rest. So how often that is is one figure, and for the others torch decodes the file's entries.
    """
    latents, queries = net._encode(faces)
    own = net.quantize.nearest(latents)
    found = own if entries is None else entries.view(own.shape)
    error = images - net._decode(latents, net.quantize.lookup(found), queries)
    psnr = 10 * torch.log10(4 / error.double().square().mean().clamp_min(1e-20))
    return Agreement(error.abs().max().item(), psnr.item(), (found == own).double().mean().item())


def check(net: VQAutoencoder, path: Path) -> list[Agreement]:
    """Hold the file at ``path`` against its network, for each of :data:`BATCHES`.

    Raises:
        RestoreFormerError: it is further from it than its precision may be.
    """
    batches = random_faces(sum(BATCHES), net.resolution).split(BATCHES)
    # One after the other: a session keeps the memory that its largest batch took.
    entries = looked_up(path, batches)
    file = OnnxNetwork(path, torch.device("cpu"))
    images, limit = [file(faces) for faces in batches], LIMITS[file.precision]
    del file
    results = [agreement(net, *made) for made in zip(batches, images, entries, strict=True)]
    for count, result in zip(BATCHES, results, strict=True):
        if not result.within(limit):
            raise RestoreFormerError(
                f"Expected the file to be as near to torch in float32 as {limit}, got {result} for {count} face(s): "
                "nothing is written."
            )
    return results


def export_checked(net: VQAutoencoder, path: Path, precision: str = "fp32", opset: int = OPSETS[0]) -> list[Agreement]:
    """Write a network that restores to ``path`` as :func:`export` makes it, whole and checked or not at all.

    Raises:
        RestoreFormerError: as :func:`export` and :func:`check` do, or it cannot be written there.
    """
    content = export(net, precision, opset).SerializeToString()
    with whole_file(path) as part:
        part.write_bytes(content)
        del content
        return check(net, part)


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL, help=f"a pretrained name or a file (default {DEFAULT_MODEL})")
    parser.add_argument("-o", "--output", type=Path, required=True, help="file to write, .onnx")
    parser.add_argument("--precision", choices=LIMITS, default="fp32", help="fp16: two thirds of the size, for GPUs")
    parser.add_argument(
        "--opset",
        type=int,
        choices=OPSETS,
        default=OPSETS[0],
        help=f"version of ONNX's operators (default {OPSETS[0]}, which the most runtimes know)",
    )
    parser.add_argument("--weights-dir", type=Path, help="where pretrained files are looked for first")
    args = parser.parse_args()
    try:
        if args.output.suffix != ".onnx":
            raise RestoreFormerError(f"Expected an output that ends in .onnx, got {args.output}.")
        check_packages()
        net = build_from_checkpoint(read_checkpoint(local_file(args.model, args.weights_dir)))
        results = export_checked(net, args.output, args.precision, args.opset)
    except RestoreFormerError as error:
        sys.exit(f"error: {error}")
    print(f"{args.output}: {args.precision}, opset {args.opset}, {args.output.stat().st_size / 1e6:.1f} MB")
    for count, result in zip(BATCHES, results, strict=True):
        print(f"{count} face(s), against torch in float32: {result}")


if __name__ == "__main__":
    main()
