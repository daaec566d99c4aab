"""Whatever lies in a folder, and much of it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest

from restoreformer.inference.photos import read_photo

pytestmark = pytest.mark.slow


@pytest.fixture
def command(tmp_path, model):
    script = [sys.executable, "-W", "ignore", "inference/inference_restoreformer.py", "--model", model]
    return list(map(str, [*script, "--detector", "centerface", "-i", tmp_path / "photos", "-o", tmp_path / "out"]))


def save(path, image, turned=1):
    """With Pillow, which writes the tag that turns it."""
    exif = PIL.Image.Exif()
    exif[0x0112] = turned
    rgb = image if image.ndim == 2 else image[:, :, [2, 1, 0, 3][: image.shape[2]]]
    PIL.Image.fromarray(np.ascontiguousarray(rgb)).save(path, exif=exif)


def test_two_hundred_files_of_every_kind(tmp_path, command, astronaut):
    """What can be restored is, and anything else has its line."""
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    rng = np.random.default_rng(0)
    portrait = astronaut[:300, 60:400]
    alpha = rng.integers(0, 256, (300, 340, 1), dtype=np.uint8)
    kinds = {
        "colour.jpg": lambda p: save(p, portrait),
        "colour.png": lambda p: save(p, portrait),
        "colour.webp": lambda p: save(p, portrait),
        "colour.tif": lambda p: save(p, portrait),
        "colour.bmp": lambda p: cv2.imwrite(str(p), portrait),
        # OpenCV reads GIF from 4.11 on.
        "still.gif" if cv2.haveImageWriter("still.gif") else "still.ppm": lambda p: save(p, portrait),
        "turned.jpg": lambda p: save(p, np.ascontiguousarray(np.rot90(portrait)), 6),
        "alpha turned.png": lambda p: save(p, np.rot90(np.concatenate([portrait, alpha], 2)), 6),
        "grey.jpg": lambda p: save(p, portrait[:, :, 1]),
        "alpha.png": lambda p: save(p, np.concatenate([portrait, alpha], 2)),
        "alpha.tif": lambda p: save(p, np.concatenate([portrait, alpha], 2)),
        "deep.png": lambda p: cv2.imwrite(str(p), portrait.astype(np.uint16) * np.uint16(257)),
        "deep.tif": lambda p: cv2.imwrite(str(p), portrait.astype(np.uint16) * np.uint16(257)),
        "small.png": lambda p: save(p, cv2.resize(portrait, (110, 96), interpolation=cv2.INTER_AREA)),
        "close.jpg": lambda p: save(p, astronaut[40:190, 150:300]),
        "two faces.jpg": lambda p: save(p, np.hstack([portrait, portrait[:, ::-1]])),
    }
    good = {}
    for i in range(144):
        name = list(kinds)[i % len(kinds)]
        kinds[name](photos / f"{i:03d} {name}")
        good[f"{i:03d} {name}"] = 2 if name.startswith("two") else 1
    # 100 megapixels, with the face of 2,000.
    huge = np.full((10000, 10000, 3), 90, np.uint8)
    huge[3000:5400, 3000:5720] = cv2.resize(portrait, (2720, 2400), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(photos / "huge.png"), huge, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    good["huge.png"] = 1
    whole = cv2.imencode(".jpg", astronaut)[1].tobytes()
    cut_off = {f"cut {i}.jpg" for i in range(15)}
    for i, name in enumerate(sorted(cut_off)):
        (photos / name).write_bytes(whole[: len(whole) * (60 + 2 * i) // 100])
    bad = {f"text {i}{s}": b"some text" * i for i, s in enumerate([".jpg", ".png", ".webp", ".tif"] * 6)}
    bad |= {f"head {i}.jpg": whole[: 2 + 40 * i] for i in range(6)}
    for name, content in bad.items():
        (photos / name).write_bytes(content)
    none = {"1x1.png": (1, 1), "1x1.jpg": (1, 1), "line.png": (1, 3000), "sky.jpg": (200, 300), "wall.png": (64, 64)}
    for name, shape in none.items():
        save(photos / name, np.full((*shape, 3), 120, np.uint8))
    (photos / "x.png").mkdir()
    frames = [PIL.Image.fromarray(portrait[:, ::step]) for step in (1, -1)]
    frames[0].save(photos / "animated.gif", save_all=True, append_images=frames[1:])
    (photos / "floats.tiff").write_bytes(cv2.imencode(".tiff", portrait.astype(np.float32))[1].tobytes())
    (photos / "notes.txt").write_text("not asked")
    (photos / "gone.jpg").symlink_to("nowhere")
    failing = {*bad, *none, *cut_off, "x.png", "animated.gif", "floats.tiff", "gone.jpg"}
    assert len(list(photos.iterdir())) >= 200

    done = subprocess.run([*command, "-s", "1", "--batch_size", "8"], capture_output=True, text=True)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert {name for name in failing if sum(f"{photos / name}" in line for line in errors) == 1} == failing
    assert len(errors) == len(failing)
    total, faces = len(good) + len(failing), sum(good.values()) + len(cut_off)
    assert f"{len(good)} of {total} restored, {faces} faces in " in done.stderr
    written = {p.name for p in (out / "restored_imgs").iterdir()}
    expected = {n.replace(".gif", ".png") for n in {*good, *none, *cut_off}}
    assert {n.rsplit(".", 1)[0].replace("_", ".").split(".")[0] for n in expected} == {
        n.rsplit(".", 1)[0].replace("_", ".").split(".")[0] for n in written
    }
    assert len(written) == len(expected)
    for name in good:
        if not name.endswith(".gif"):
            before, after = read_photo(photos / name), read_photo(out / "restored_imgs" / name)
            assert before.shape == after.shape and before.dtype == after.dtype and (before != after).any(), name
    page = (out / "index.html").read_text()
    assert page.count("<figure ") == len(good) + len(cut_off) + len(none)
    assert page.count('class="failed"') == len(failing)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read as Linux tells it")
def test_a_thousand_photos_take_no_more_memory_than_a_hundred(tmp_path, command, astronaut):
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(1000):
        cv2.imwrite(str(photos / f"{i:04d}.jpg"), np.roll(astronaut[:300, 60:400], i % 40, 1))
    process = subprocess.Popen([*command, "-s", "2", "--batch_size", "4"], stderr=subprocess.DEVNULL)
    memory = {}
    restored = tmp_path / "out" / "restored_imgs"
    while process.poll() is None:
        count = len(list(restored.iterdir())) if restored.is_dir() else 0
        pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
        memory[count] = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
        time.sleep(0.1)
    assert process.returncode == 0
    early = max(m for count, m in memory.items() if count <= 150)
    late = max(m for count, m in memory.items() if count >= 500)
    sys.stderr.write(f"memory: {early:.0f} MiB up to 150 photos, {late:.0f} MiB from 500 on\n")
    assert late < early + 30
