"""A page as a participant has it, in a browser, and what it does not say."""

import base64
import json
import re
from collections import Counter

import cv2
import numpy as np
import pytest

from restoreformer.errors import RestoreFormerError
from restoreformer.images import write
from restoreformer.metrics.face_sets import named_folder, read_face_sets
from restoreformer.metrics.study import draw_study, read_key
from restoreformer.metrics.user_study import main, parser, write_counts, write_page

METHODS = ("Our-Method", "GFP-GAN", "DFD-Net")
FACES = ("anna-a", "bert-b", "cora-c", "dora-d")


def grey(value, height=32, width=32):
    return np.full((height, width, 3), value, np.uint8)


@pytest.fixture
def folders(tmp_path):
    """A folder for each method, and one of inputs; each method's pictures have a grey of their own."""
    for value, name in enumerate((*METHODS, "lq")):
        for face in FACES:
            write(tmp_path / name / f"{face}.png", grey(60 * value + 20))
    return [f"{name}={tmp_path / name}" for name in METHODS]


def page_of(tmp_path, folders, *options):
    methods = [part for folder in folders for part in ("--method", folder)]
    out = tmp_path / "study" / "page.html"
    told = write_page(parser().parse_args(["page", *methods, "--out", str(out), *map(str, options)]))
    return out, told


def test_no_name_is_in_the_page_nor_leads_to_a_token(tmp_path, folders):
    out, told = page_of(tmp_path, folders, "--dataset", "LFW-Test", "--lq", tmp_path / "lq", "--samples", 2)
    page, key = out.read_text(), read_key(tmp_path / "study" / "page.key.json")
    for name in (*METHODS, *FACES, "LFW-Test", str(tmp_path)):
        assert name.lower() not in page.lower() and name not in "".join(key.pictures)
    assert "http" not in re.sub(r"http-equiv", "", page)
    shown = json.loads(re.search('id="pictures">(.*)</script>', page)[1])
    asked = json.loads(re.search('id="study">(.*)</script>', page)[1])
    assert re.search(
        r"page.html: 0.0 MB, 6 questions on 2 faces, 6 for each .* of at most 512 pixels, WebP .* 95", told
    )
    # Sorted by what is random: the order says nothing of methods.
    assert list(shown) == sorted(shown) == list(key.pictures) and len(shown) == 2 * 4
    assert asked["questions"] == sorted(asked["questions"]) and all(q[0] < q[1] for q in asked["questions"])
    pairs = Counter()
    for first, second, degraded in asked["questions"]:
        (one, face), (other, same), lq = (key.pictures[token] for token in (first, second, degraded))
        assert lq == (None, face) and same == face
        pairs[frozenset((one, other))] += 1
    assert set(pairs.values()) == {2} and len(pairs) == 3
    page_2, _ = page_of(tmp_path / "again", folders, "--lq", tmp_path / "lq", "--samples", 2)
    again = read_key(page_2.with_name("page.key.json"))
    assert not again.pictures.keys() & key.pictures.keys() and again.token != key.token
    assert {p.face for p in again.pictures.values()} == {p.face for p in key.pictures.values()}


def test_samples_and_pairs(folders):
    methods = read_face_sets(map(named_folder, folders))
    drawn = [{p.face for p in draw_study(methods, samples=2, seed=s).pictures.values()} for s in range(6)]
    assert set().union(*drawn) == set(FACES) and all(len(faces) == 2 for faces in drawn)
    study = draw_study(methods, first_only=True)
    assert len(study.questions) == 4 * 2 and all(q.degraded is None for q in study.questions)
    shown = [{study.pictures[token].method for token in q[:2]} for q in study.questions]
    assert all("Our-Method" in pair and len(pair) == 2 for pair in shown)


def test_studies_that_cannot_be_made(tmp_path, folders):
    page_of(tmp_path, folders)
    with pytest.raises(RestoreFormerError, match="Expected no study at .*page.html, there is one"):
        page_of(tmp_path, folders)
    for options, message in (
        (["--samples", 5], "Expected 1 to 4 samples, as there are faces, got 5"),
        (["--asked", 13], "Expected 1 to 12 questions for each participant, got 13"),
        (["--size", 0], "Expected pictures of 16 pixels or more, got --size 0"),
    ):
        with pytest.raises(RestoreFormerError, match=message):
            page_of(tmp_path / "b", folders, *options)
    with pytest.raises(RestoreFormerError, match="Expected two methods or more to compare, got 1"):
        page_of(tmp_path / "b", folders[:1])
    write(tmp_path / "GFP-GAN" / "bert-b.png", grey(80, 40, 32))
    with pytest.raises(RestoreFormerError, match="in the proportions of 32x32 in .*bert-b.png, got 32x40"):
        page_of(tmp_path / "b", folders)
    (tmp_path / "GFP-GAN" / "bert-b.png").unlink()
    with pytest.raises(RestoreFormerError, match=r"1 of Our-Method missing in GFP-GAN \(bert-b\)"):
        page_of(tmp_path / "b", folders)
    assert not (tmp_path / "b").exists()


def test_errors_take_one_line(tmp_path, folders, monkeypatch, capsys):
    words = ["user_study.py", "page", "--method", folders[0], "--out", str(tmp_path / "page.html"), "--method"]
    monkeypatch.setattr("sys.argv", [*words, "GFP-GAN"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "argument --method: Expected NAME=DIR, a method's name and" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", [*words, folders[0]])
    with pytest.raises(SystemExit, match="^error: Expected a name of its own for each folder, got Our-Method for"):
        main()


def test_a_page_too_large(tmp_path, folders, monkeypatch):
    monkeypatch.setattr("restoreformer.metrics.study_page.MOST_MEGABYTES", 0.0008)
    with pytest.raises(RestoreFormerError, match="got more after 3 of 4 faces: take --samples 2 or fewer"):
        page_of(tmp_path, folders)


def test_faces_are_shown_at_one_size(tmp_path, folders):
    for face in FACES[:3]:
        write(tmp_path / "GFP-GAN" / f"{face}.png", grey(80, 16, 16))
    out, told = page_of(tmp_path, folders, "--size", 24)
    assert "Our-Method: 4 pictures resized" in told and "GFP-GAN: 4 pictures resized" in told
    shown = json.loads(re.search('id="pictures">(.*)</script>', out.read_text())[1])
    for address in shown.values():
        data = base64.b64decode(address.split(",")[1])
        assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape == (24, 24, 3)


def test_a_study_from_the_page_to_the_table(tmp_path, folders, browser):
    """Our method is preferred throughout, the second to the third where it stands on the left."""
    out, _ = page_of(tmp_path, folders, "--lq", tmp_path / "lq", "--samples", 2)
    context = browser.new_context(viewport={"width": 1366, "height": 800})
    context.set_default_timeout(10_000)
    page = context.new_page()
    asked, failed = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: failed.append(error))
    page.goto(out.as_uri())

    # Of many draws each question stands anywhere, each picture of it on each side.
    draws = page.evaluate("Array.from({length: 1000}, draw)")
    first = draws[0][0][2]
    places = Counter(next(i for i, q in enumerate(d) if q[2] == first) for d in draws)
    assert all(sorted(map(sorted, d)) == sorted(map(sorted, draws[0])) for d in draws)
    left = Counter(question[0] for d in draws for question in d)
    # Each picture is in two questions: on the left in 1000 of 2000, give or take 22.
    assert len(left) == 6 and all(abs(count - 1000) < 120 for count in left.values())
    # In three of the six questions: the first of them at place 0 in 500 of 1000, give or take 16.
    assert abs(places[0] - 500) < 80

    def seen():
        """Which methods' greys are on the left, in the middle and on the right."""
        shot = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
        return [round((shot[300, x].mean() - 20) / 60) for x in (200, 683, 1166)]

    page.get_by_role("button", name="Begin").click()
    left_wins = 0
    for number in range(6):
        if number == 4:
            # Closed and opened again.
            before = page.locator("#left img").get_attribute("src")
            page.reload()
            page.wait_for_function("src => document.querySelector('#left img')?.src === src", arg=before)
        assert page.get_by_text(f"Question {number + 1} of 6").is_visible()
        left_one, degraded, right_one = seen()
        assert degraded == 3 and left_one != right_one and {left_one, right_one} <= {0, 1, 2}
        side = "right" if right_one == 0 else "left"
        left_wins += side == "left"
        if number == 3:
            # A choice taken back.
            page.keyboard.press("ArrowLeft")
            page.keyboard.press("Backspace")
        if number % 2:
            page.keyboard.press({"left": "ArrowLeft", "right": "ArrowRight"}[side])
        else:
            page.locator(f"#{side}").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the answers", exact=True).click()
    answers = tmp_path / "answers" / download.value.suggested_filename
    download.value.save_as(answers)
    assert failed == [] and {a for a in asked if not a.startswith(("data:", "blob:"))} == {out.as_uri()}

    key = out.with_name("page.key.json")
    words = ["table", "--key", key, "--answers", answers, "--out", tmp_path / "table"]
    told = write_counts(parser().parse_args(list(map(str, words))))
    table = json.loads((tmp_path / "table" / "user_study.json").read_text())
    figures = {(c["method"], c["other"]): (c["votes"], c["other_votes"]) for c in table["comparisons"]}
    assert figures[METHODS[0], METHODS[1]] == figures[METHODS[0], METHODS[2]] == (2, 0)
    assert sum(figures[METHODS[1], METHODS[2]]) == 2
    assert (table["left"], table["votes"]) == (left_wins, 6)
    assert told.startswith("| Methods | votes |\n| --- | --- |\n| GFP-GAN | 0.00%/100.00% [34.24, 100.00] |\n")


def test_a_browser_that_keeps_nothing(tmp_path, folders, browser):
    out, _ = page_of(tmp_path, folders, "--asked", 3)
    page = browser.new_page()
    page.add_init_script("Object.defineProperty(window, 'localStorage', {get() { throw new Error('none'); }})")
    page.goto(out.as_uri())
    assert page.get_by_text("This browser keeps nothing").is_visible()
    page.get_by_role("button", name="Begin").click()
    page.keyboard.press("ArrowRight")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the answers so far").click()
    content = json.loads(download.value.path().read_text())
    assert [a["chosen"] for a in content["answers"]] == ["right"] and content["asked"] == 3
