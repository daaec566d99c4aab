import base64
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from restoreformer.errors import RestoreFormerError
from restoreformer.inference.comparison_page import LONGEST_SIDE, ComparisonPage, embedded_pair, shown_in


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.images, self.open, self.links = [], [], []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag not in ("meta", "img", "input", "br"):
            self.open.append(tag)
        if tag == "img":
            self.images.append((found["alt"], found["src"]))
        self.links += [v for k, v in attributes if k in ("href", "src") and not v.startswith("data:")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def decoded(address):
    data = base64.b64decode(address.removeprefix("data:image/webp;base64,"), validate=True)
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def test_a_page_holds_all_that_it_shows(tmp_path, astronaut):
    before, after = astronaut, cv2.resize(255 - astronaut, (2 * LONGEST_SIDE, LONGEST_SIDE))
    with ComparisonPage(tmp_path / "out" / "index.html", "Photos & faces") as page:
        page.add("<b>.jpg", embedded_pair(before, after))
        page.finish("1 of 2 restored", ["Expected <a> photo."])
    text = (tmp_path / "out" / "index.html").read_text()
    parsed = Page(text)
    assert parsed.links == [] and "http" not in text
    assert [name for name, _ in parsed.images] == ["after", "before"]
    shown = {name: decoded(address) for name, address in parsed.images}
    assert all(image.shape == (LONGEST_SIDE // 2, LONGEST_SIDE, 3) for image in shown.values())
    total = shown["before"].astype(int) + shown["after"]
    assert np.abs(total - 255).mean() < 4
    for part in ("<h1>Photos &amp; faces</h1>", "&lt;b&gt;.jpg", "Expected &lt;a&gt; photo.", "1 of 2 restored"):
        assert part in text
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["index.html"]


def test_a_page_goes_on_where_one_is(tmp_path, face):
    pair = embedded_pair(face, face)
    path = tmp_path / "index.html"
    assert shown_in(path) is None

    def write(name, keep, failure=None):
        with ComparisonPage(path, "Photos", keep) as page:
            page.add(name, pair, failure)
            page.finish(f"{name} done", [f"{name} unread"])
        Page(path.read_text())
        return shown_in(path)

    assert write("a <1>", set()) == {"a <1>": True}
    assert write("b", {"a <1>"}, "was cut off") == {"a <1>": True, "b": False}
    assert "a &lt;1&gt; unread" not in path.read_text() and "b unread" in path.read_text()
    assert "was cut off" in path.read_text()
    # A process that was killed left this, its last photo half written.
    path.rename(tmp_path / ".index.html.part")
    text = (tmp_path / ".index.html.part").read_text()
    (tmp_path / ".index.html.part").write_text(text[: text.rindex("</figure>") - 20])
    assert shown_in(path) == {"a <1>": True}
    assert write("c", {"a <1>"}) == {"a <1>": True, "c": True} and write("d", set()) == {"d": True}


def test_names_with_line_breaks_are_kept_apart(tmp_path, face):
    names = ["a.png", "b\nc.png", "d\re.png", "&#10;.png"]
    with ComparisonPage(tmp_path / "index.html", "Photos") as page:
        for name in names:
            page.add(name, embedded_pair(face, face))
        page.finish("4 of 4 restored", [])
    assert list(shown_in(tmp_path / "index.html")) == names
    with ComparisonPage(tmp_path / "index.html", "Photos", keep=set(names[1:])) as page:
        page.finish("0 of 0 restored", [])
    assert list(shown_in(tmp_path / "index.html")) == names[1:]


def test_what_was_done_before_an_interruption_is_shown(tmp_path, face):
    with pytest.raises(KeyboardInterrupt), ComparisonPage(tmp_path / "index.html", "Photos") as page:
        page.add("a", embedded_pair(face, face))
        raise KeyboardInterrupt
    assert len(Page((tmp_path / "index.html").read_text()).images) == 2


def test_a_page_that_cannot_be_written(tmp_path):
    (tmp_path / ".index.html.new").mkdir()
    with pytest.raises(RestoreFormerError, match=r"Expected to write .*index\.html, could not: Is a directory"):
        ComparisonPage(tmp_path / "index.html", "Photos")
    (tmp_path / ".index.html.new").rmdir()
    with (
        pytest.raises(RestoreFormerError, match=r"Expected to write .*index\.html, could not: No such file"),
        ComparisonPage(tmp_path / "index.html", "Photos"),
    ):
        (tmp_path / ".index.html.part").unlink()
