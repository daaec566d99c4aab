import gc
import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

from restoreformer.archs.restoreformer_arch import RestoreFormer
from restoreformer.errors import RestoreFormerError
from restoreformer.inference import app
from restoreformer.inference.app import LARGEST_UPLOAD, check_address
from restoreformer.inference.face_restorer import FaceRestorer


@pytest.fixture
def program(tmp_path, model):
    """The address of the page, and its process; files are made below ``tmp_path / "served"``."""
    pytest.importorskip("gradio", reason="needs gradio")
    (tmp_path / "served").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    options = ["--model", model, "--detector", "centerface", "--device", "cpu", "--port", port]
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "inference/app.py", *map(str, options)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A proxy that is none: the page must be served, and looked for, without.
        env={**os.environ, "TMPDIR": str(tmp_path / "served"), "http_proxy": "http://127.0.0.1:9"},
    )
    try:
        told = process.stderr.readline()
        assert told == f"open http://127.0.0.1:{port}/\n", told + process.communicate(timeout=60)[1]
        yield told.split()[1], process
    finally:
        process.kill()
        process.communicate()


def screenshot(locator):
    """The square picture in the middle of a wider element, as 512x512."""
    wide = cv2.imdecode(np.frombuffer(locator.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    height, width = wide.shape[:2]
    square = wide[:, (width - height) // 2 :][:, :height]
    return cv2.resize(square, (512, 512), interpolation=cv2.INTER_AREA).astype(int)


@pytest.mark.slow
def test_a_photo_is_restored_in_a_browser(tmp_path, browser, program, model, astronaut):
    url, process = program
    for name, data in (("astronaut.png", astronaut), ("broken.png", None)):
        (tmp_path / name).write_bytes(b"no picture" if data is None else cv2.imencode(".png", data)[1].tobytes())
    page = browser.new_page(viewport={"width": 1280, "height": 1200})
    page.set_default_timeout(30_000)
    asked, failed = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: failed.append(error))
    page.goto(url)
    line, restore = page.get_by_role("textbox"), page.get_by_role("button", name="Restore")
    line.wait_for()
    assert restore.is_disabled()

    def upload(name, told):
        page.locator("input[type=file]").set_input_files(tmp_path / name)
        page.wait_for_function("told => document.querySelector('textarea').value.startsWith(told)", arg=told)

    upload("broken.png", "Expected an image in broken.png, got 10 bytes that OpenCV does not read as one.")
    assert restore.is_disabled()
    page.get_by_role("button", name="Clear").click()
    upload("astronaut.png", "astronaut.png: 512x512 pixels.")
    page.get_by_role("radio", name="1", exact=True).check()
    page.get_by_label("number input for Strength").fill("0.5")
    page.get_by_label("number input for Strength").blur()
    restore.click()
    page.wait_for_function("document.querySelector('textarea').value.startsWith('1 face restored: 512x512 pixels')")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download", exact=True).click()
    assert download.value.suggested_filename == "astronaut_restored.png"
    result = cv2.imread(str(download.value.path()), cv2.IMREAD_UNCHANGED)
    expected = FaceRestorer(model, "centerface", "cpu").restore(astronaut, strength=0.5).image
    assert result.shape == astronaut.shape and np.abs(result.astype(int) - expected).max() <= 1
    changed = (result != astronaut).any(2)
    assert changed[100:150, 200:250].mean() > 0.9 and not changed[300:].any() and not changed[:, :100].any()

    # Left of the handle is before, right of it after.
    handle, picture = page.get_by_test_id("slider"), page.get_by_test_id("imageslider-image").last
    seen = []
    for at in (0.95, 0.05):
        frame, box = picture.bounding_box(), handle.bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.move(frame["x"] + at * frame["width"], box["y"] + box["height"] / 2, steps=5)
        page.mouse.up()
        seen.append(screenshot(picture))
    apart = [[np.abs(image - photo)[100:150, 200:250].mean() for photo in (astronaut, result)] for image in seen]
    assert 2 * apart[0][0] < apart[0][1] and 2 * apart[1][1] < apart[1][0], apart

    assert page.get_by_alt_text("face 1 after").count() == 1
    assert {urlsplit(address).netloc for address in asked if not address.startswith(("data:", "blob:"))} == {
        urlsplit(url).netloc
    }
    assert failed == []
    assert list((tmp_path / "served").glob("restoreformer_*"))
    process.terminate()
    assert process.wait(30) == 0, process.stderr.read()
    assert not list((tmp_path / "served").glob("restoreformer_*"))


@pytest.mark.slow
def test_uploads_are_limited(tmp_path, program):
    url, _ = program

    def upload(size):
        head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
        request = urllib.request.Request(f"{url}gradio_api/upload", head + bytes(size) + b"\r\n--x--\r\n")
        request.add_header("Content-Type", "multipart/form-data; boundary=x")
        with urllib.request.urlopen(request) as answer:
            return answer.status

    assert upload(1000) == 200
    with pytest.raises(urllib.error.HTTPError, match="413"):
        upload(LARGEST_UPLOAD + 1)
    # Nothing of it stays.
    assert sum(p.stat().st_size for p in (tmp_path / "served").rglob("*") if p.is_file()) < LARGEST_UPLOAD / 100


@pytest.fixture
def main(monkeypatch, model):
    """The program with several models, which ends where it would serve the page."""

    def networks():
        gc.collect()
        return sum(isinstance(o, RestoreFormer) for o in gc.get_objects())

    def serve(*_):
        raise RestoreFormerError(f"served with {networks() - before} of the networks in memory")

    before = networks()
    monkeypatch.setattr(app, "serve", serve)
    for module, name in ((app, "build_page"), (app, "keep_freed_memory"), (app.signal, "signal")):
        monkeypatch.setattr(module, name, lambda *_: None)

    def run(*models):
        named = [part for name in (model, *models) for part in ("--model", str(name))]
        monkeypatch.setattr(sys, "argv", ["x", *named, "--detector", "centerface", "--device", "cpu"])
        app.main()

    return run


def test_each_model_that_is_named_is_read_before_there_is_a_page(tmp_path, main, model):
    good, broken = tmp_path / "good.pth", tmp_path / "broken.pth"
    shutil.copyfile(model, good)
    broken.write_bytes(b"no network")
    with pytest.raises(SystemExit, match="error: served with 1 of"):
        main(good)
    for wrong in (tmp_path / "none.pth", broken):
        with pytest.raises(SystemExit, match=f"error: Expected a .*file.* at {wrong}"):
            main(good, wrong)


def test_where_no_page_can_be_served():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(
            RestoreFormerError, match=f"Expected a free port of this machine, got 127.0.0.1:{port}: choose another"
        ):
            check_address("127.0.0.1", port)
    check_address("127.0.0.1", port)
    # An address that is kept for documentation, so that no machine has it.
    with pytest.raises(RestoreFormerError, match="got 192.0.2.1: choose another"):
        check_address("192.0.2.1", None)
    with pytest.raises(RestoreFormerError, match="got 127.0.0.1:99999: choose another"):
        check_address("127.0.0.1", 99999)
    with pytest.raises(RestoreFormerError, match="Expected an address of this machine as --host, got an empty one"):
        check_address("", None)
