import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import lmdb
import numpy as np
import PIL.Image
import pytest
from basicsr.data.data_util import paths_from_lmdb
from basicsr.utils import FileClient, imfrombytes

from restoreformer.datasets import resumable_lmdb
from restoreformer.datasets.pack_lmdb import pack, report
from restoreformer.datasets.resumable_lmdb import ResumableLmdb
from restoreformer.datasets.stored_format import StoredFormat
from restoreformer.datasets.verify_lmdb import verify
from restoreformer.errors import RestoreFormerError
from restoreformer.image_source import ImageSource


def content(path):
    with lmdb.open(str(path), readonly=True, lock=False) as env, env.begin() as txn:
        records = dict(txn.cursor())
    return records, (path / "meta_info.txt").read_text()


def command(folder, output, *options):
    return [sys.executable, "datasets/pack_lmdb.py", "--input", folder, "--output", output, "--size", "64", *options]


@pytest.mark.parametrize("name, level", [("png", None), ("png", 9), ("webp", None), ("jpeg", 95)])
def test_basicsr_reads_it(name, level, faces_folder, tmp_path):
    path = str(tmp_path / "faces.lmdb")
    stored = StoredFormat(name, level)
    pack(faces_folder, path, 64, stored, workers=2)
    names = paths_from_lmdb(path)
    assert len(names) == 4
    client = FileClient("lmdb", db_paths=path)
    for name in names:
        image, original = imfrombytes(client.get(name)), cv2.imread(str(faces_folder / f"{name}.png"))
        assert cv2.PSNR(image, original) > 40 if stored.suffix == ".jpg" else (image == original).all()
    lines = Path(path, "meta_info.txt").read_text().splitlines()
    assert lines[0] == f"00000{stored.suffix} (64,64,3) {stored.level}"
    del client  # lmdb opens a path once in each process
    assert ImageSource(path).names == names


def test_formats_that_are_none():
    for name, level, message in (
        ("gif", None, "Expected a format among png, webp, jpeg, got gif"),
        ("png", 10, "Expected a level from 0 to 9 for png, got 10"),
        ("webp", 3, "Expected no level for webp, got 3"),
        ("jpeg", 0, "Expected a level from 1 to 100 for jpeg"),
    ):
        with pytest.raises(RestoreFormerError, match=message):
            StoredFormat(name, level)


def test_images_are_averaged_down(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    pack(tmp_path, tmp_path / "x.lmdb", 64)
    stored = imfrombytes(FileClient("lmdb", db_paths=str(tmp_path / "x.lmdb")).get("a"))
    mean = image.reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert np.abs(stored - mean).max() <= 0.5


def test_what_cannot_be_packed_is_told_and_the_rest_is_packed(tmp_path, face):
    images = tmp_path / "images"
    (images / "nested").mkdir(parents=True)
    cv2.imwrite(str(images / "nested" / "good.png"), face)
    cv2.imwrite(str(images / "small.png"), face[:32, :32])
    cv2.imwrite(str(images / "wide.png"), face[:64])
    (images / "broken.png").write_bytes(b"no image")
    (images / "half.png").write_bytes((images / "nested" / "good.png").read_bytes()[:9000])
    cv2.imwrite(str(images / "müller.png"), face)
    (images / "other").mkdir()
    cv2.imwrite(str(images / "other" / "good.png"), 255 - face)
    cv2.imwrite(str(images / "twin.bmp"), face)
    done = subprocess.run(command(images, tmp_path / "x.lmdb"), capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    for part in (
        f"an image in {images}/broken.png, got 8 bytes that are none",
        f"an image in {images}/half.png, got 9000 bytes that are none",
        f"a square image of at least 64x64 in {images}/small.png, got 32x32",
        f"a square image of at least 64x64 in {images}/wide.png, got 160x64",
        "ASCII characters, as BasicSR's LMDBs have, got 'müller'",
        "other/good.png has the name of nested/good.png",
        "twin.bmp is the same picture as nested/good.png",
        f"1 of 8 images in {tmp_path}/x.lmdb",
        "7 left out; each file's outcome is in",
    ):
        assert part in done.stderr
    assert (tmp_path / "x.lmdb" / "meta_info.txt").read_text() == "good.png (64,64,3) 1\n"
    journal = [json.loads(line) for line in (tmp_path / "x.lmdb" / "packing.jsonl").read_text().splitlines()]
    assert [o["file"] for o in journal[1:] if not o["left_out"]] == ["nested/good.png"] and len(journal) == 9


def test_odd_images_are_packed_with_a_note(tmp_path, face):
    rgb = PIL.Image.fromarray(face[:, :, ::-1])
    images = tmp_path / "images"
    images.mkdir()
    rgb.convert("L").save(images / "grey.png")
    rgb.convert("P").save(images / "palette.png")
    rgb.convert("CMYK").save(images / "cmyk.jpg")
    transparent = rgb.rotate(10)
    transparent.putalpha(128)
    transparent.save(images / "alpha.png")
    cv2.imwrite(str(images / "deep.png"), 255 * face.astype(np.uint16))
    turned = PIL.Image.Exif()
    turned[0x0112] = 6
    rgb.rotate(20).save(images / "turned.jpg", exif=turned, quality=100)
    rgb.rotate(30).save(images / "a.b.png")
    rgb.rotate(40).save(images / "plain.png")
    outcomes = pack(images, tmp_path / "x.lmdb", 160)
    assert {o.name: o.notes for o in outcomes} == {
        "grey": ["grey repeated for each colour"],
        "palette": ["palette converted to RGB"],
        "cmyk": ["CMYK converted to RGB"],
        "alpha": ["transparency dropped"],
        "deep": ["more than 8 bits a colour reduced to 8"],
        "turned": ["turned as EXIF says"],
        "a.b": ["a dot in its name, where BasicSR's own datasets cut it"],
        "plain": [],
    }
    source = ImageSource(tmp_path / "x.lmdb")
    grey, deep, alpha, cmyk = (source.read(n).astype(int) for n in ("grey", "deep", "alpha", "cmyk"))
    assert (grey[:, :, 0] == grey[:, :, 2]).all()
    assert np.abs(deep - face).max() <= 1
    assert (alpha == np.array(rgb.rotate(10))[:, :, ::-1]).all()
    assert np.abs(cmyk - face).mean() < 5
    # EXIF's 6: the first row of the file is the right edge of the picture.
    upright = np.rot90(np.array(rgb.rotate(20))[:, :, ::-1], -1).astype(int)
    assert np.abs(source.read("turned") - upright).mean() < 3
    assert "1 with a note: turned as EXIF says" in report(outcomes, tmp_path / "x.lmdb")


def test_nothing_is_overwritten_or_half_made(tmp_path, faces_folder):
    pack(faces_folder, tmp_path / "x.lmdb", 64)
    with pytest.raises(RestoreFormerError, match="Expected no file at"):
        pack(faces_folder, tmp_path / "x.lmdb", 64)
    with pytest.raises(RestoreFormerError, match=r"ends in \.lmdb"):
        pack(faces_folder, tmp_path / "x", 64)
    with pytest.raises(RestoreFormerError, match="none would do"):
        pack(faces_folder, tmp_path / "y.lmdb", 128)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.lmdb"]
    assert sorted(p.name for p in (tmp_path / "x.lmdb").iterdir()) == [
        "data.mdb",
        "lock.mdb",
        "meta_info.txt",
        "packing.jsonl",
    ]


def test_sizes_and_outputs_that_cannot_be(faces_folder, tmp_path):
    with pytest.raises(RestoreFormerError, match="Expected a size of at least 1 pixel, got 0"):
        pack(faces_folder, tmp_path / "x.lmdb", 0)
    (tmp_path / "file").touch()
    with pytest.raises(RestoreFormerError, match="Expected to write into .*file.*, could not"):
        pack(faces_folder, tmp_path / "file" / "x.lmdb", 64)
    with pytest.raises(RestoreFormerError, match="Expected 0 or more worker processes, got -1"):
        pack(faces_folder, tmp_path / "x.lmdb", 64, workers=-1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RestoreFormerError, match="Expected images in .*empty, found none"):
        pack(tmp_path / "empty", tmp_path / "y.lmdb", 64)


class StopError(Exception):
    """The process ends here."""


@pytest.mark.parametrize("when", ["before records", "before outcomes", "in an outcome", "before the name"])
@pytest.mark.parametrize("after", [0, 2])
def test_a_stop_at_each_step_loses_nothing(when, after, tmp_path, faces_folder, monkeypatch):
    pack(faces_folder, tmp_path / "whole.lmdb", 64)
    monkeypatch.setattr(resumable_lmdb, "COMMIT_S", -1.0)  # after each image
    commit, count = ResumableLmdb.commit, 0

    def stopping(self):
        nonlocal count
        count += 1
        if when == "before the name" or count <= after:
            return commit(self)
        if when == "before records":
            raise StopError
        real = self._journal
        self._journal = io.BytesIO()
        monkeypatch.setattr(self, "_sync", lambda: None)
        commit(self)
        if when == "in an outcome":
            real.write(self._journal.getvalue()[:-20])
        self._journal = real
        raise StopError

    def no_rename(self, target):
        raise StopError

    with monkeypatch.context() as patch:
        patch.setattr(ResumableLmdb, "commit", stopping)
        patch.setattr(Path, "rename", no_rename)
        with pytest.raises(StopError):
            pack(faces_folder, tmp_path / "x.lmdb", 64)
    assert not (tmp_path / "x.lmdb").exists()
    outcomes = pack(faces_folder, tmp_path / "x.lmdb", 64)
    assert [o.name for o in outcomes] == [f"{i:05d}" for i in range(4)]
    assert content(tmp_path / "x.lmdb") == content(tmp_path / "whole.lmdb")
    assert list(verify(tmp_path / "x.lmdb")) == []


def test_an_unfinished_one_goes_on_with_the_same_settings_and_files_alone(tmp_path, faces_folder, monkeypatch):
    output = tmp_path / "x.lmdb"
    with monkeypatch.context() as patch:
        patch.setattr(ResumableLmdb, "finish", lambda self, listing: self.commit() or 1 / 0)
        with pytest.raises(ZeroDivisionError):
            pack(faces_folder, output, 64)
    with pytest.raises(RestoreFormerError, match="begun with, {'size': 64}, got {'size': 32}: go on with the same"):
        pack(faces_folder, output, 32)
    (tmp_path / "other").mkdir()
    for name in ("00000.png", "00001.png", "00002.png", "00003.png"):
        (tmp_path / "other" / name).write_bytes((faces_folder / name).read_bytes() + b" " * (name == "00002.png"))
    with pytest.raises(RestoreFormerError, match="begun with, {'files': '[0-9a-f]{16}'}, got {'files'"):
        pack(tmp_path / "other", output, 64)
    monkeypatch.setattr(resumable_lmdb, "PATIENCE_S", 0.1)
    with (
        ResumableLmdb(output, settings_of(output), 2**20) as packed,
        pytest.raises(RestoreFormerError, match="another process does"),
    ):
        assert len(packed.outcomes) == 4
        pack(faces_folder, output, 64)
    pack(faces_folder, output, 64)


def settings_of(output):
    """What an unfinished LMDB was begun with."""
    return json.loads((output.with_name(f".{output.stem}.part.lmdb") / "packing.jsonl").read_text().splitlines()[0])


def test_what_was_begun_without_an_outcome_binds_nobody(tmp_path, faces_folder):
    output = tmp_path / "x.lmdb"
    with pytest.raises(RestoreFormerError, match="worker processes"):
        pack(faces_folder, output, 64, workers=-1)
    assert settings_of(output)["size"] == 64
    with lmdb.open(str(tmp_path / ".x.part.lmdb"), map_size=2**24) as env, env.begin(write=True) as txn:
        txn.put(b"stale", b"committed, and killed before its outcome was written")
    assert len(pack(faces_folder, output, 32)) == 4
    assert set(content(output)[0]) == {f"{i:05d}".encode() for i in range(4)}


def test_no_room_is_told_and_mended(tmp_path, faces_folder, monkeypatch):
    output, sync = tmp_path / "x.lmdb", ResumableLmdb._sync

    def full(self):
        if self._pending:
            raise OSError(28, "No space left on device")
        sync(self)

    with monkeypatch.context() as patch:
        patch.setattr(ResumableLmdb, "_sync", full)
        with pytest.raises(RestoreFormerError, match="No space left on device. Once that is mended, the same command"):
            pack(faces_folder, output, 64)
    pack(faces_folder, output, 64)


def test_linked_folders_are_packed_and_loops_are_not(tmp_path, faces_folder):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "linked").symlink_to(faces_folder)
    (tmp_path / "images" / "again").symlink_to(tmp_path / "images")
    assert [o.file for o in pack(tmp_path / "images", tmp_path / "x.lmdb", 64)] == [
        f"linked/{i:05d}.png" for i in range(4)
    ]


def test_a_tiff_on_its_side_is_left_out(tmp_path, face):
    turned = PIL.Image.Exif()
    turned[0x0112] = 6
    PIL.Image.fromarray(face).save(tmp_path / "t.tif", exif=turned)
    PIL.Image.fromarray(face).save(tmp_path / "upright.tif")
    upright, left_out = sorted(pack(tmp_path, tmp_path / "x.lmdb", 64), key=lambda o: len(o.left_out))
    assert left_out.left_out == "Expected t.tif upright, got a TIFF with a tag that turns it: turn it."
    assert upright.notes == []


def test_verify_finds_every_fault(tmp_path, faces_folder, forks):
    path = tmp_path / "x.lmdb"
    pack(faces_folder, path, 64)
    assert list(verify(path, workers=2)) == []
    with lmdb.open(str(path), map_size=2**24) as env, env.begin(write=True) as txn:
        txn.put(b"00000", StoredFormat().encode(np.zeros((64, 64, 3), np.uint8)))
        txn.put(b"00001", StoredFormat().encode(np.zeros((32, 32, 3), np.uint8)))
        txn.put(b"00002", b"none")
        txn.delete(b"00003")
        txn.put(b"more", b"x")
        txn.put(b"and more", b"x")
    total, changed, shape, none, missing = verify(path)
    assert "Expected 4 records, as meta_info.txt in" in total and total.endswith("got 5.")
    assert changed == "Expected the record under 00000 as it was packed, got other bytes."
    assert "Expected the shape (64, 64, 3) under 00001, as the list says, got (32, 32, 3)" in shape
    assert "under 00002" in none and "got 4 bytes that are none" in none
    assert "under 00003" in missing
    done = forks.run("datasets/pack_lmdb.py", "--output", path, "--verify")
    assert done.returncode == 1 and f"error: 5 faults in {path}" in done.stderr


def test_verify_of_a_damaged_journal_or_file(tmp_path, faces_folder):
    path = tmp_path / "x.lmdb"
    pack(faces_folder, path, 64)
    journal = path / "packing.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    with pytest.raises(RestoreFormerError, match="Expected a line of JSON for each file in"):
        list(verify(path))
    size = (path / "data.mdb").stat().st_size
    os.truncate(path / "data.mdb", size - 4096)
    with pytest.raises(RestoreFormerError, match=f"Expected {size} bytes in .*, got {size - 4096}: it is cut off"):
        list(verify(path))


def test_an_lmdb_of_basicsrs_tools_is_verified_without_digests(tmp_path, faces_folder):
    from basicsr.utils.lmdb_util import make_lmdb_from_imgs

    names = sorted(p.name for p in faces_folder.iterdir())
    make_lmdb_from_imgs(str(faces_folder), str(tmp_path / "b.lmdb"), names, [Path(n).stem for n in names])
    assert list(verify(tmp_path / "b.lmdb")) == []


@pytest.mark.slow
def test_twenty_kills_at_random_moments(tmp_path):
    """What is there after each goes on, and the last equals one that was never stopped."""
    images, rng = tmp_path / "images", np.random.default_rng(0)
    images.mkdir()
    for i in range(1500):
        small = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        cv2.imwrite(str(images / f"{i:05d}.png"), cv2.resize(small, (512, 512), interpolation=cv2.INTER_CUBIC))
    pack(images, tmp_path / "whole.lmdb", 64, workers=2)
    chance, environment, done = random.Random(0), {**os.environ, "PYTHONPATH": "src"}, []
    # Slowed down, lest it be done before it is killed twenty times.
    slow = (
        "import time, restoreformer.datasets.pack_lmdb as m; p = m._prepare\ndef f(j): time.sleep(.04); return p(j)\n"
    )
    slow += "f.__module__ = m.__name__; f.__qualname__ = '_prepare'; m._prepare = f; m.main()"
    run = [sys.executable, "-c", slow, *command(images, tmp_path / "x.lmdb", "--workers", "2")[2:]]
    for _ in range(20):
        process = subprocess.Popen(run, stderr=subprocess.DEVNULL, env=environment, start_new_session=True)
        time.sleep(chance.uniform(1.5, 5.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "x.lmdb").exists()
        journal = tmp_path / ".x.part.lmdb" / "packing.jsonl"
        done.append(len(journal.read_text().splitlines()) if journal.exists() else 0)
    assert done == sorted(done) and len(set(done)) > 5
    assert subprocess.run(command(images, tmp_path / "x.lmdb")).returncode == 0
    assert content(tmp_path / "x.lmdb") == content(tmp_path / "whole.lmdb")
