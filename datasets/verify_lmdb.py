"""Read an LMDB back, every record of it."""

import json
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import lmdb
from tqdm import tqdm

from restoreformer.datasets.resumable_lmdb import JOURNAL
from restoreformer.errors import RestoreFormerError
from restoreformer.image_source import ImageSource, read_listing
from restoreformer.images import decode
from restoreformer.parallel import ordered_map


class _Expected(NamedTuple):
    name: str
    shape: tuple[int, ...]
    digest: str | None


def verify(path: Path, workers: int = 0) -> Iterator[str]:
    """A line for each fault: records that are missing, damaged, of another size, or in no list.

    Each record is decoded, and its digest compared where the LMDB has this project's journal, which
    those that other tools made have not.

    Raises:
        RestoreFormerError: no LMDB, one that cannot be opened or is cut off, or a damaged journal.
    """
    source = ImageSource(path)
    listing = read_listing(source.root)
    digests = _digests(source.root)
    with lmdb.open(str(source.root), readonly=True, lock=False, readahead=False) as env:
        entries = env.stat()["entries"]
    if entries != len(listing):
        yield f"Expected {len(listing)} records, as meta_info.txt in {path} lists, got {entries}."
    jobs = [_Expected(name, shape, digests.get(name)) for name, shape in listing.items()]
    results = ordered_map(_check, jobs, workers, _open, (source,))
    for fault in tqdm(results, desc=f"verifying {path.name}", unit="image", total=len(jobs)):
        if fault is not None:
            yield fault


def _digests(root: Path) -> dict[str, str]:
    journal = root / JOURNAL
    if not journal.is_file():
        return {}
    try:
        lines = [json.loads(line) for line in journal.read_text().splitlines()[1:]]
    except ValueError as error:
        raise RestoreFormerError(f"Expected a line of JSON for each file in {journal}, got {error}.") from error
    return {line["name"]: line["digest"] for line in lines if not line["left_out"]}


_source: ImageSource


def _open(source: ImageSource) -> None:
    global _source
    _source = source


def _check(expected: _Expected) -> str | None:
    try:
        data = _source.read_bytes(expected.name)
        image = decode(data, f"under {expected.name} in {_source.root}")
    except RestoreFormerError as error:
        return str(error)
    if image.shape != expected.shape:
        return f"Expected the shape {expected.shape} under {expected.name}, as the list says, got {image.shape}."
    assert data is not None, "it was decoded"
    if expected.digest is not None and blake2b(data, digest_size=16).hexdigest() != expected.digest:
        return f"Expected the record under {expected.name} as it was packed, got other bytes."
    return None
