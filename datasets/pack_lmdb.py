"""Pack a folder of aligned faces into an LMDB that BasicSR's own tools read.

python datasets/pack_lmdb.py --input FFHQ/images1024x1024 --output datasets/FFHQ_512.lmdb --size 512
"""

import argparse
import shutil
import sys
from pathlib import Path

import restoreformer  # noqa: F401  # isort: skip  (first: it makes basicsr importable)

import cv2
from basicsr.utils.lmdb_util import LmdbMaker
from tqdm import tqdm

from restoreformer.datasets.image_source import ImageSource
from restoreformer.errors import RestoreFormerError
from restoreformer.images import Image, make_folder, resize


def pack(folder: str | Path, output: str | Path, size: int, compress_level: int = 1) -> list[str]:
    """Resize every image of ``folder`` to ``size`` x ``size`` and write PNGs into ``output``.

    Records are named after the files without suffix. The LMDB appears under its name only when whole.

    Args:
        folder: images, nested or flat, square.
        output: the LMDB to make; its name ends in ``.lmdb``.
        size: side of the stored images; larger images are averaged down, smaller ones are refused.
        compress_level: PNG level 0 to 9; 1 is BasicSR's, quick to decode.

    Returns:
        One line for each image that was left out, with the reason.

    Raises:
        RestoreFormerError: no images, an output that exists or has another suffix, nothing packed.
    """
    output = Path(output)
    if size < 1:
        raise RestoreFormerError(f"Expected a size of at least 1 pixel, got {size}.")
    if output.suffix != ".lmdb":
        raise RestoreFormerError(f"Expected an output that ends in .lmdb, got {output}.")
    if output.exists():
        raise RestoreFormerError(f"Expected no file at {output}, there is one: remove it or choose another name.")
    source = ImageSource(folder)
    part = output.with_name(f".{output.stem}.part.lmdb")
    shutil.rmtree(part, ignore_errors=True)
    make_folder(part.parent)
    # PNG cannot exceed the raw pixels by more than its headers; LMDB adds less than a page a record.
    map_size = len(source) * (3 * size * size + 16384) + 2**24
    maker = LmdbMaker(str(part), map_size=map_size, compress_level=compress_level)
    left_out = []
    try:
        for name in tqdm(source.names, desc=f"packing {output.name}", unit="image"):
            try:
                image = _square(source.read(name), name, size)
                if not name.isascii():
                    raise RestoreFormerError(f"Expected a name in ASCII, as BasicSR's LMDBs have, got {name}.")
            except RestoreFormerError as error:
                left_out.append(str(error))
                continue
            _, data = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, compress_level])
            maker.put(data.tobytes(), name, image.shape)
    finally:
        maker.close()
    if len(left_out) == len(source):
        shutil.rmtree(part)
        raise RestoreFormerError(f"Expected images to pack in {folder}, none would do. {left_out[0]}")
    part.rename(output)
    return left_out


def _square(image: Image, name: str, size: int) -> Image:
    height, width = image.shape[:2]
    if height != width or height < size:
        raise RestoreFormerError(f"Expected {name} to be square and at least {size}x{size}, got {width}x{height}.")
    return resize(image, size, size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True, help="folder of images, nested or flat")
    parser.add_argument("--output", required=True, help="the LMDB to make, NAME.lmdb")
    parser.add_argument("--size", type=int, default=512, help="side of the stored images (default 512)")
    args = parser.parse_args()
    try:
        left_out = pack(args.input, args.output, args.size)
    except RestoreFormerError as error:
        sys.exit(f"error: {error}")
    for line in left_out:
        sys.stderr.write(f"left out: {line}\n")
    if left_out:
        sys.exit(f"error: {len(left_out)} images were left out; the others are in {args.output}")


if __name__ == "__main__":
    main()
