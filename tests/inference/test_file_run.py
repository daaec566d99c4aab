"""Files into folders, in this process: starting the program takes longer than what it does here."""

import os
import re
import sys
import threading
import time

import cv2
import numpy as np
import pytest

from restoreformer.errors import RestoreFormerError
from restoreformer.inference.face_restorer import FaceRestorer
from restoreformer.inference.file_run import FileRun
from restoreformer.inference.inference_restoreformer import main, make_run, parser, restore_files
from restoreformer.inference.photo_list import list_photos


@pytest.fixture
def photos(tmp_path, astronaut):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(3):
        cv2.imwrite(str(folder / f"{i}.png"), astronaut[: 300 + 10 * i, 50:400])
    return folder


def run(restorer, photos, output, **options):
    file_run = FileRun(restorer, output, **options)
    outcomes = list(file_run.restore(list_photos(photos)))
    return {o.file.path.name: o.failure for o in outcomes}, sum(o.faces for o in outcomes)


def results(output):
    return sorted(str(p.relative_to(output)) for p in output.rglob("*.*"))


def test_each_file_is_what_restoring_it_gives(tmp_path, model, photos):
    restorer = FaceRestorer(model, "centerface", "cpu", batch_size=2)
    sizes = []
    restorer.net.register_forward_pre_hook(lambda net, inputs: sizes.append(len(inputs[0])))
    options = {"upscale": 1.5, "strength": 0.5, "only_center_face": True}
    outcomes, faces = run(restorer, photos, tmp_path / "out", **options, suffix="new", extension=".tif")
    assert outcomes == {"0.png": None, "1.png": None, "2.png": None} and faces == 3 and sizes == [2, 1]
    # Named as GFPGAN's.
    assert results(tmp_path / "out")[::3] == [
        "cmp/0_00.png",
        "cropped_faces/0_00.png",
        "restored_faces/0_00_new.png",
        "restored_imgs/0_new.tif",
    ]
    for name in ("0", "1", "2"):
        expected = restorer.restore(photos / f"{name}.png", **options)
        written = cv2.imread(str(tmp_path / "out" / "restored_imgs" / f"{name}_new.tif"))
        assert np.abs(written.astype(int) - expected.image).max() <= 1
        faces = cv2.imread(str(tmp_path / "out" / "cmp" / f"{name}_00.png"))
        expected_pair = np.hstack([expected.faces[0].crop, expected.faces[0].restored])
        assert np.abs(faces.astype(int) - expected_pair).max() <= 1


def test_aligned_files_in_batches(tmp_path, model, face):
    """Bad ones are told, and the others fill the batches."""
    faces = tmp_path / "faces"
    faces.mkdir()
    for i in range(6):
        cv2.imwrite(str(faces / f"{i}.png"), np.roll(face, 9 * i, 1))
    (faces / "1.png").write_bytes(b"broken")
    cv2.imwrite(str(faces / "3.png"), face[:50])
    cv2.imwrite(str(faces / "5.png"), face[:, :, 1])
    restorer = FaceRestorer(model, None, "cpu", batch_size=2)
    sizes = []
    restorer.net.register_forward_pre_hook(lambda net, inputs: sizes.append(len(inputs[0])))
    outcomes, count = run(restorer, faces, tmp_path / "out", aligned=True)
    assert sizes == [2, 2] and count == 4
    assert "got 6 bytes that OpenCV does not read" in outcomes.pop("1.png")
    told = f"{faces / '3.png'}: Expected a square aligned face, got 160x50: restore it as a photo."
    assert outcomes.pop("3.png") == told
    assert set(outcomes.values()) == {None}
    out = tmp_path / "out" / "restored_faces"
    assert sorted(p.name for p in out.iterdir()) == ["0.png", "2.png", "4.png", "5.png"]
    (expected,) = restorer.restore_aligned([np.roll(face, 18, 1)])
    assert np.abs(cv2.imread(str(out / "2.png")).astype(int) - expected).max() <= 1
    assert np.ptp(cv2.imread(str(out / "5.png")).astype(int), 2).max() == 0


def test_what_cannot_be_written_fails_by_itself(tmp_path, model, photos):
    restorer = FaceRestorer(model, "centerface", "cpu")
    (tmp_path / "out" / "restored_imgs" / "1.png").mkdir(parents=True)
    outcomes, faces = run(restorer, photos, tmp_path / "out")
    assert faces == 2 and f"Expected to write {tmp_path / 'out' / 'restored_imgs'}" in outcomes.pop("1.png")
    assert set(outcomes.values()) == {None}
    # No part of a file is left.
    assert not [r for r in results(tmp_path / "out") if r.endswith(".part")]


def test_photos_are_read_and_written_while_the_network_works(tmp_path, model, photos, monkeypatch):
    """The second photo is read, and the first written, before the network is asked for the third."""
    restorer = FaceRestorer(model, "centerface", "cpu")
    events = []
    place, restore, finish = restorer.place, restorer.restore_aligned, restorer.finish

    def note(what, function):
        def noted(*arguments, **options):
            events.append((what, threading.current_thread() is threading.main_thread()))
            if what == "restore":
                time.sleep(0.3)
            return function(*arguments, **options)

        return noted

    monkeypatch.setattr(restorer, "place", note("read", place))
    monkeypatch.setattr(restorer, "restore_aligned", note("restore", restore))
    monkeypatch.setattr(restorer, "finish", note("write", finish))
    assert run(restorer, photos, tmp_path / "out")[1] == 3
    assert {what for what, in_main in events if in_main} == {"restore"}
    order = [what for what, _ in events]
    assert order.index("restore") > 0 and order[: order.index("restore") + 3].count("read") >= 2
    assert order.index("write") < len(order) - 1 - order[::-1].index("restore")


def figures(page):
    return re.findall("<figcaption>(.*)</figcaption>", page.read_text())


def test_going_on_leaves_out_what_is_there_and_whole(tmp_path, model, photos, astronaut, capsys):
    out = tmp_path / "out"
    arguments = ["-i", str(photos), "-o", str(out), "--model", str(model), "--detector", "centerface"]
    cv2.imwrite(str(photos / "3 sky.png"), np.full((90, 90, 3), 100, np.uint8))
    file_run = make_run(parser().parse_args(arguments))
    assert restore_files(file_run, list_photos(photos)[:2])

    def again():
        first = (out / "restored_imgs" / "0.png").stat().st_mtime_ns
        whole = restore_files(file_run, list_photos(photos), skip_existing=True)
        assert (out / "restored_imgs" / "0.png").stat().st_mtime_ns == first and not whole
        return capsys.readouterr().err

    # Of a photo that failed it is said again.
    (out / "restored_imgs" / "1.png").unlink()
    for restored, skipped in ((2, 1), (0, 3)):
        said = again()
        assert f"{restored} of {restored + 1} restored, {restored} faces, {skipped} skipped in" in said
        assert f"Expected a face in {photos / '3 sky.png'}" in said
        assert sorted(figures(out / "index.html")) == ["0.png", "1.png", "2.png", "3 sky.png"]
    # Killed between the photo and the page, a process has left the one without the other.
    page = (out / "index.html").read_text()
    start = page.index('<figure data-photo="2.png">')
    (out / ".index.html.part").write_text(page[: start + 500])
    assert "1 of 2 restored, 1 faces, 2 skipped" in again()
    assert sorted(figures(out / "index.html")) == ["0.png", "1.png", "2.png", "3 sky.png"]
    # Without a page the files tell.
    (out / "index.html").unlink()
    assert restore_files(file_run, list_photos(photos), skip_existing=True)
    assert "0 of 0 restored, 0 faces, 4 skipped" in capsys.readouterr().err


def test_an_interruption_leaves_what_is_done_and_says_how_to_go_on(tmp_path, model, photos, monkeypatch, capsys):
    arguments = ["x", "-i", str(photos), "-o", str(tmp_path / "out"), "--model", str(model), "--detector", "centerface"]
    monkeypatch.setattr(sys, "argv", arguments)
    restore = FaceRestorer.restore_aligned
    calls = []

    def interrupted(self, faces, strength=1):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return restore(self, faces, strength)

    monkeypatch.setattr(FaceRestorer, "restore_aligned", interrupted)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 130
    assert capsys.readouterr().err.endswith("error: interrupted; --skip-existing goes on where this stopped\n")
    assert "</html>" in (tmp_path / "out" / "index.html").read_text()
    monkeypatch.setattr(FaceRestorer, "restore_aligned", restore)
    monkeypatch.setattr(sys, "argv", [*arguments, "--skip-existing"])
    main()
    assert figures(tmp_path / "out" / "index.html") == ["0.png", "1.png", "2.png"]


def test_names_that_this_system_cannot_print(tmp_path, model, astronaut):
    """From an archive with another encoding of names."""
    folder = tmp_path / "photos"
    folder.mkdir()
    name = os.fsdecode(b"caf\xe9.png")
    try:
        (folder / name).write_bytes(cv2.imencode(".png", astronaut[:300])[1].tobytes())
    except OSError:
        pytest.skip("this system has UTF-8 names only")
    file_run = FileRun(FaceRestorer(model, "centerface", "cpu"), tmp_path / "out")
    assert restore_files(file_run, list_photos(folder))
    assert figures(tmp_path / "out" / "index.html") == ["caf?.png"]


def test_options_are_whole_words(capsys):
    """GFPGAN's --weight is no --weights-dir."""
    with pytest.raises(SystemExit):
        parser().parse_args(["-i", "x", "--weight", "0.5"])
    assert "unrecognized arguments: --weight 0.5" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option, told",
    [
        ("--ext=gif", "Expected --ext auto or one of bmp, .*, got gif"),
        ("--upscale=0", "Expected upscale from 1 to 8, got 0"),
        ("--strength=-1", "Expected a strength from 0"),
        ("--confidence=2", "Expected a confidence above 0 and up to 1, got 2"),
        ("--bg_upsampler=none.pth", "Expected realesrgan or the file"),
        ("--suffix=a/b", "Expected a --suffix that can stand in a file's name, got a/b"),
    ],
)
def test_options_out_of_range(model, option, told):
    arguments = ["-i", "x", "--model", str(model), "--detector", "centerface", option]
    with pytest.raises(RestoreFormerError, match=told):
        make_run(parser().parse_args(arguments))
