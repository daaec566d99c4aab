"""What a set of faces is compared with: the features of a folder or an LMDB, or statistics that were kept.

python metrics/reference.py --input datasets/FFHQ_512.lmdb --output ffhq_512.npz
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import restoreformer  # noqa: F401  # isort: skip  (first: it makes basicsr importable)

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from restoreformer.device import choose_device
from restoreformer.errors import RestoreFormerError
from restoreformer.frozen.pooled_features import FEATURE_NETWORKS, PooledFeatures, dimension
from restoreformer.image_source import ImageSource
from restoreformer.images import Image, squared, to_batch
from restoreformer.metrics.collector import BATCH_SIZE
from restoreformer.metrics.frechet import Gaussian, Moments
from restoreformer.numbers_only import load_numbers
from restoreformer.parallel import beside
from restoreformer.pretrained import local_file
from restoreformer.program import option_parser
from restoreformer.whole_file import whole_file


class Reference(NamedTuple):
    """A reference set.

    Attributes:
        gaussian: of its features.
        images: how many there were; None where the file does not say.
        path: where it came from.
    """

    gaussian: Gaussian
    images: int | None
    path: Path


@torch.inference_mode()
def features_of(network: nn.Module, images: list[Image], device: torch.device) -> NDArray[np.float32]:
    """Features ``(n, d)`` of BGR uint8 images ``(h, w, 3)`` of one size."""
    return network(to_batch(images, device)).float().cpu().numpy()


def read_reference(path: str | Path, network: nn.Module, device: torch.device, size: int | None = None) -> Reference:
    """The reference set at ``path``.

    Args:
        path: a folder or LMDB of images; a file of this script's or of pytorch-fid's (``.npz``: ``mu``, ``sigma``); or
            one of BasicSR's (``.pth``: ``mean``, ``cov``), such as ``inception_FFHQ_512-f7b384ab.pth``. A file that is
            not there is looked for where pretrained files are.
        network: a :class:`PooledFeatures`, for images.
        device: where it computes.
        size: side to which the images are brought first, as the faces that they are compared with have; for images.

    Raises:
        RestoreFormerError: nothing there, images of several sizes, not such a file, or one of another network.
    """
    if size is not None and size < 1:
        raise RestoreFormerError(f"Expected a size of 1 pixel or more, got {size}.")
    path = local_file(path)
    if path.is_dir():
        source = ImageSource(path)
        moments = moments_of(read_all(source, size), network, device)
        return Reference(moments.gaussian(), moments.count, path)
    if not path.is_file():
        raise RestoreFormerError(f"Expected a folder, an LMDB or a file of statistics at {path}, found nothing.")
    gaussian, images = _read_statistics(path)
    if (count := dimension(network, device)) != len(gaussian.mean):
        raise RestoreFormerError(
            f"Expected statistics of {count} features in {path}, got {len(gaussian.mean)}: they are another network's, "
            "make them with metrics/reference.py."
        )
    return Reference(gaussian, images, path)


def _read_statistics(path: Path) -> tuple[Gaussian, int | None]:
    """The distribution that a file holds, and of how many images, if it says."""
    is_npz = path.suffix == ".npz"
    mean, covariance = names = ("mu", "sigma") if is_npz else ("mean", "cov")
    entries = _read_npz(path) if is_npz else load_numbers(path, "statistics")
    try:
        gaussian = Gaussian(np.asarray(entries[mean], np.float64), np.asarray(entries[covariance], np.float64))
        images = int(entries["images"]) if "images" in entries else None
    except (LookupError, ValueError, TypeError) as error:
        raise RestoreFormerError(
            f"Expected arrays {' and '.join(names)} in {path}, got others: make it with metrics/reference.py."
        ) from error
    shape = gaussian.mean.shape
    if len(shape) != 1 or gaussian.covariance.shape != (*shape, *shape):
        raise RestoreFormerError(
            f"Expected a mean (d,) and a covariance (d, d) in {path}, got {shape} and {gaussian.covariance.shape}."
        )
    if not (np.isfinite(gaussian.mean).all() and np.isfinite(gaussian.covariance).all()):
        raise RestoreFormerError(f"Expected finite numbers in {path}, got others: make it again.")
    if not np.allclose(gaussian.covariance, gaussian.covariance.T) or (np.diag(gaussian.covariance) < 0).any():
        raise RestoreFormerError(f"Expected a covariance in {path}, got a matrix that is none: make it again.")
    return gaussian, images


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except Exception as error:
        # Whatever numpy and zipfile stumble over: of a damaged archive that may be anything.
        raise RestoreFormerError(f"Expected statistics in {path}, could not read it: {error}") from error


def read_all(source: ImageSource, size: int | None) -> Iterator[Image]:
    """The images of a source, brought to a size, read beside the work on them."""

    def read(name: str) -> Image:
        image = source.read(name)
        return image if size is None else squared(image, size, f"under {name} in {source.root}")

    return beside(read, source.names, 2 * BATCH_SIZE)


def moments_of(images: Iterable[Image], network: nn.Module, device: torch.device) -> Moments:
    """Moments of the features of images of one size; no more than a batch of them is held.

    Raises:
        RestoreFormerError: images of several sizes, or none.
    """
    moments: Moments | None = None
    for batch in batches(images):
        if len({image.shape for image in batch}) > 1:
            raise RestoreFormerError(
                f"Expected images of one size, got {' and '.join(sorted({str(i.shape) for i in batch}))}."
            )
        features = features_of(network, batch, device)
        if moments is None:
            moments = Moments.of(features)
        else:
            moments.add(features)
    if moments is None:
        raise RestoreFormerError("Expected images, got none.")
    return moments


def batches(images: Iterable[Image]) -> Iterator[list[Image]]:
    """Images in lists of :data:`BATCH_SIZE`, the last one perhaps shorter."""
    batch: list[Image] = []
    for image in images:
        batch.append(image)
        if len(batch) == BATCH_SIZE:
            yield batch
            batch = []
    if batch:
        yield batch


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--input", required=True, help="folder or LMDB of images of one size")
    parser.add_argument("--output", type=Path, required=True, help="file to write, .npz, which pytorch-fid reads too")
    parser.add_argument("--size", type=int, help="side to which larger square images are averaged down first")
    parser.add_argument("--network", choices=FEATURE_NETWORKS, default="inception")
    parser.add_argument("--weights", help="file of the network (default: the official Inception)")
    parser.add_argument("--device", help="cuda, mps or cpu (default: the best there is)")
    args = parser.parse_args()
    try:
        if args.output.suffix != ".npz":
            raise RestoreFormerError(f"Expected an output that ends in .npz, got {args.output}.")
        device = choose_device(args.device)
        network = PooledFeatures(args.network, args.weights).to(device)
        source = ImageSource(args.input)
        images = tqdm(read_all(source, args.size), desc="features", unit="image", total=len(source))
        moments = moments_of(images, network, device)
        gaussian = moments.gaussian()
        with whole_file(args.output) as part, part.open("wb") as file:
            np.savez(file, mu=gaussian.mean, sigma=gaussian.covariance, images=moments.count)
    except RestoreFormerError as error:
        sys.exit(f"error: {error}")
    sys.stdout.write(f"{args.output}: {moments.count} images of {args.input}, {args.network}\n")


if __name__ == "__main__":
    main()
