"""Files and options that are not what they should be: an error in words, or what can be made of them; never another
exception."""

import copy
import io
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import lmdb
import numpy as np
import pytest
import torch
import yaml
from PIL import Image as PillowImage

import restoreformer.plugin  # noqa: F401
from restoreformer.archs.checkpoint import read_checkpoint, save_checkpoint
from restoreformer.archs.hq_dictionary_arch import HQDictionary
from restoreformer.datasets.bad_records import BadRecords
from restoreformer.datasets.components import read_boxes
from restoreformer.errors import RestoreFormerError
from restoreformer.image_source import ImageSource
from restoreformer.images import decode
from restoreformer.images import read as read_image
from restoreformer.inference.photos import read_photo
from restoreformer.metrics.reference import _read_statistics
from restoreformer.options import check_options

ROOT = Path(__file__).parents[1]
SHIPPED = sorted((ROOT / "options").rglob("*.yml"))


def mutated(data: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """A file with bytes changed, left out, doubled, or put in, the first ones more often, or cut short."""
    chance = np.random.default_rng(seed)
    for _ in range(count):
        content = bytearray(data)
        for _ in range(chance.integers(1, 4)):
            # Headers are where a byte counts.
            end = len(content) if chance.random() < 0.5 else min(len(content), 128)
            at, length = int(chance.integers(0, max(end, 1))), int(chance.integers(1, 17))
            noise = chance.integers(0, 256, length, dtype=np.uint8).tobytes()
            match chance.integers(0, 6):
                case 0:
                    content[at : at + length] = noise
                case 1:
                    del content[at : at + length]
                case 2:
                    content[at:at] = noise
                case 3:
                    content[at:at] = content[at : at + length]
                case 4:
                    del content[at:]
                case _:
                    content[at : at + 1] = bytes([chance.choice([0, 0xFF, 0x7F, 0x80])])
        yield with_checksums(bytes(content))


def with_checksums(data: bytes) -> bytes:
    """A PNG whose chunks' checksums are right as far as they can be followed: else all is refused at the gate."""
    at = 8
    while data.startswith(b"\x89PNG") and at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            break
        data = data[:end] + zlib.crc32(data[at + 4 : end]).to_bytes(4, "big") + data[end + 4 :]
        at = end + 4
    return data


def encoded(face, suffix):
    small = cv2.resize(face, (48, 48))
    if suffix in (".bmp", ".tif"):
        return cv2.imencode(suffix, small)[1].tobytes()
    # As a camera has it, with EXIF data; with alpha where that can be. WebP keeps none that hides nothing.
    exif = PillowImage.Exif()
    exif[0x0112], exif[0x010F] = 6, "camera"
    pixels = cv2.cvtColor(small, cv2.COLOR_BGR2RGBA)
    pixels[:, :24, 3] = 128
    if suffix == ".jpg":
        pixels = pixels[:, :, :3]
    kind = {".jpg": "jpeg", ".png": "png", ".webp": "webp"}[suffix]
    stream = io.BytesIO()
    PillowImage.fromarray(pixels).save(stream, kind, exif=exif)
    return stream.getvalue()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".tif"])
def test_images(suffix, face, tmp_path):
    """5,000 of the five kinds, each read both as a face and as a photo."""
    outcomes = {"decoded": 0, "refused": 0}
    path = tmp_path / f"photo{suffix}"
    for data in mutated(encoded(face, suffix), 1000):
        path.write_bytes(data)
        for read in (read_image, read_photo):
            try:
                image = read(path)
            except RestoreFormerError as error:
                assert str(path) in str(error)
                outcomes["refused"] += 1
            else:
                assert image.dtype in (np.uint8, np.uint16) and image.size > 0
                outcomes["decoded"] += 1
    assert min(outcomes.values()) > 5, "mutations of one kind alone show little"


def test_records_of_an_lmdb(faces_lmdb, tmp_path):
    records = tmp_path / "faces.lmdb"
    shutil.copytree(faces_lmdb, records)
    read = refused = 0
    with lmdb.open(str(records), map_size=2**24) as environment:
        with environment.begin() as transaction:
            whole = transaction.get(b"00001")
        for data in mutated(whole, 300):
            with environment.begin(write=True) as transaction:
                transaction.put(b"00001", data)
            try:
                with environment.begin() as transaction:
                    decode(transaction.get(b"00001"), "under 00001")
                read += 1
            except RestoreFormerError as error:
                assert "under 00001" in str(error)
                refused += 1
    assert read > 0 and refused > 100
    # The last one as the dataset meets it.
    source, bad = ImageSource(records), BadRecords(4, 0.5)
    for i, name in enumerate(source.names):
        try:
            source.read(name)
        except RestoreFormerError as error:
            assert name == "00001"
            bad.add(i, error)
    assert len(bad) <= 1


def test_lists_of_an_lmdb(faces_lmdb, tmp_path):
    listing = (faces_lmdb / "meta_info.txt").read_bytes()
    for i, data in enumerate(mutated(listing, 300)):
        folder = tmp_path / f"{i}.lmdb"
        folder.mkdir()
        (folder / "meta_info.txt").write_bytes(data)
        try:
            ImageSource(folder)
        except RestoreFormerError as error:
            assert str(folder) in str(error)


@pytest.mark.parametrize("kind", ["boxes", "network", "state", "statistics"])
def test_files_of_tensors(kind, boxes_file, small_net, tmp_path):
    path = tmp_path / ("whole.npz" if kind == "statistics" else "whole.pth")
    read: Any = {"boxes": read_boxes, "statistics": _read_statistics}.get(kind, read_checkpoint)
    if kind == "boxes":
        shutil.copy(boxes_file, path)
    elif kind == "statistics":
        np.savez_compressed(path, mu=np.zeros(3), sigma=np.eye(3))
    elif kind == "network":
        net = HQDictionary(**{**small_net, "ch": 32, "n_embed": 16})
        save_checkpoint(path, net)
        content = torch.load(path, weights_only=True)
        # A tenth of its tensors: what can be hit is then more often what matters.
        content["params"] = dict(list(content["params"].items())[:4])
        torch.save(content, path)
    else:
        torch.save({"epoch": 1, "iter": 2, "optimizers": [{"state": {0: torch.ones(3)}}], "schedulers": [{}]}, path)
    whole, refused = path.read_bytes(), 0
    for i, data in enumerate(mutated(whole, 300)):
        target = tmp_path / f"mutated{path.suffix}"
        target.write_bytes(data)
        try:
            read(target)
        except RestoreFormerError as error:
            assert str(target) in str(error), i
            refused += 1
    assert refused > 100


MUTATIONS: dict[str, Any] = {
    "text": "abc",
    "empty text": "",
    "list": [1, 2],
    "block": {"x": 1},
    "flag": True,
    "negative": -7,
    "huge": 1e30,
    "nan": float("nan"),
    "empty": None,
    "zero": 0,
    "fraction": 0.37,
}
# Of whatever value they take the place of, these are never right. Others may be: a fraction of a weight.
NEVER = {"huge", "nan", "negative", "block", "empty text"}
# Blocks whose keys are names of one's own; those of several datasets begin with val_ and test_.
FREE = {("val", "metrics"), ("datasets",)}


def keys(block: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in block.items() if isinstance(block, dict) else ():
        yield (*at, key)
        yield from keys(value, (*at, key))


def block_of(opt: Any, key: tuple[str, ...]) -> Any:
    for name in key[:-1]:
        opt = opt[name]
    return opt


def told(opt: Any) -> str | None:
    try:
        check_options(opt)
    except RestoreFormerError as error:
        return str(error)
    return None


def check_every_key(path: Path, every: int, seen: set[Any]) -> int:
    """Each ``every``-th mutation of a shipped file, but for those of a key that another file of the same model has with
    the same value, which are in ``seen``; how many were made."""
    opt = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert told(copy.deepcopy(opt)) is None
    made = 0
    for i, (key, mutation) in enumerate((k, m) for k in keys(opt) for m in ("removed", "misspelt", *MUTATIONS)):
        value = block_of(opt, key)[key[-1]]
        case = (opt["model_type"], key, mutation, "a block" if isinstance(value, dict) else repr(value))
        if i % every or case in seen:
            continue
        seen.add(case)
        changed = copy.deepcopy(opt)
        block, name = block_of(changed, key), key[-1]
        before = block[name]
        if mutation == "removed":
            del block[name]
        elif mutation == "misspelt":
            block[f"{name}x"] = block.pop(name)
        elif isinstance(before, type(MUTATIONS[mutation])) and mutation in ("text", "list", "flag", "block"):
            continue
        else:
            block[name] = MUTATIONS[mutation]
        made += 1
        message, where = told(changed), f"{path.name}: {': '.join(key)}: {mutation}"
        if message is None:
            wrong_kind = mutation in ("text", "list", "flag") and before is not None
            assert mutation not in NEVER and not wrong_kind, f"{where} passes"
            assert mutation != "misspelt" or key[:-1] in FREE, f"{where} passes"
        elif mutation == "removed":
            # What it leaves behind may be wrong without it.
            assert any(str(name) in message for name in key), f"{where}: {message}"
        else:
            assert str(name) in message, f"{where}: {message}"
    return made


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_some_keys_of_option_files(path):
    assert check_every_key(path, 61, set()) > 5


@pytest.mark.slow
def test_every_key_of_option_files():
    seen: set[Any] = set()
    assert sum(check_every_key(path, 1, seen) for path in SHIPPED) > 5000
