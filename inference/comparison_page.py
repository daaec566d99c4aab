"""One HTML file to look through results: each photo before and after, under a slider."""

import html
import re
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from restoreformer.errors import RestoreFormerError
from restoreformer.images import Image, data_url, resize
from restoreformer.whole_file import make_folder

# Longest side in pixels, and WebP quality, of the pictures in the page: to look at, not to keep. A page of a thousand
# photos has about 100 MB.
LONGEST_SIDE = 800
QUALITY = 80

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ margin: 2rem auto; max-width: 1040px; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif;
  color: #222; background: #fafafa; }}
figure {{ margin: 0 0 2.5rem; }}
figcaption {{ margin-bottom: .4rem; }}
.pair {{ position: relative; display: inline-block; --at: 50%; touch-action: pan-y; }}
.pair img {{ display: block; max-width: 100%; }}
.pair .before {{ position: absolute; inset: 0; clip-path: inset(0 calc(100% - var(--at)) 0 0); }}
.pair::after {{ content: ""; position: absolute; top: 0; bottom: 0; left: var(--at); width: 2px; margin-left: -1px;
  background: #fff; box-shadow: 0 0 3px #000; pointer-events: none; }}
.pair input {{ position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0; cursor: ew-resize; }}
.pair:focus-within {{ outline: 3px solid #06c; }}
.failed {{ color: #a00; }}
@media (prefers-color-scheme: dark) {{ body {{ color: #ddd; background: #1b1b1b; }} .failed {{ color: #f99; }} }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>Move over a picture: before is left of the line, after is right of it.</p>
"""
_PAIR = """<figure data-photo="{name}">
<figcaption>{name}</figcaption>
{failed}<div class="pair"><img class="after" alt="after" loading="lazy" decoding="async" src="{after}">
<img class="before" alt="before" loading="lazy" decoding="async" src="{before}">
<input type="range" min="0" max="100" step="0.1" value="50" aria-label="before and after of {name}"></div>
</figure>
"""
_FIGURE = re.compile('<figure data-photo="(.*)">\n')
_FAILED = '<p class="failed">{}</p>\n'
_SCRIPT = """<script>
for (const slider of document.querySelectorAll(".pair input"))
  slider.addEventListener("input", () => slider.parentElement.style.setProperty("--at", slider.value + "%"));
for (const pair of document.querySelectorAll(".pair"))
  pair.addEventListener("pointermove", event => {
    const box = pair.getBoundingClientRect(), slider = pair.querySelector("input");
    slider.value = 100 * (event.clientX - box.left) / box.width;
    slider.dispatchEvent(new Event("input"));
  });
</script>
</body>
</html>
"""


class Pair(NamedTuple):
    """A picture before and after, as addresses that hold the pictures themselves."""

    before: str
    after: str


def embedded_pair(before: Image, after: Image) -> Pair:
    """A picture ``(h, w, 3)`` and what became of it, both at the second one's size or what the page allows."""
    return Pair(*(data_url(image, QUALITY) for image in sized_pair(before, after, LONGEST_SIDE)))


def sized_pair(before: Image, after: Image, longest: int) -> tuple[Image, Image]:
    """Two pictures ``(h, w, 3)`` at the second one's size, or smaller where its longest side is above ``longest``."""
    height, width = after.shape[:2]
    scale = min(1.0, longest / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return resize(before, *size), resize(after, *size)


def shown_in(path: Path) -> dict[str, bool] | None:
    """The photos of a page, and whether all went well with each; None where there is no page.

    A page that a killed process left unfinished counts too.

    Raises:
        RestoreFormerError: it cannot be read.
    """
    there = _there(path)
    try:
        return None if there is None else {name: 'class="failed"' not in lines for name, lines in _figures(there)}
    except OSError as error:
        raise RestoreFormerError(f"Expected to read {there}, could not: {error.strerror}.") from error


def _there(path: Path) -> Path | None:
    return next((p for p in (_part(path), path) if p.is_file()), None)


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _on_one_line(name: str) -> str:
    """A name as the page holds it, from which :func:`_figures` has it again; names of files may have line breaks."""
    return html.escape(name).replace("\n", "&#10;").replace("\r", "&#13;")


def _figures(path: Path) -> Iterator[tuple[str, str]]:
    """Each whole photo of a page: its name, and what stands in the page. One by one: a page may be large."""
    name, lines = "", ""
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if found := _FIGURE.fullmatch(line):
                name, lines = html.unescape(found[1]), ""
            lines += line
            if line == "</figure>\n":
                yield name, lines


class ComparisonPage:
    """A page that is written as it grows, so that it may hold any number of photos.

    Nothing in it points elsewhere: it can be sent as it is. Used as a context; it appears under its name at the end,
    also where an exception ends it.

    Args:
        path: of the HTML file.
        title: heading of the page.
        keep: names of photos that stay, of those that :func:`shown_in` finds.

    Raises:
        RestoreFormerError: it cannot be written there, now or later.
    """

    def __init__(self, path: Path, title: str, keep: Set[str] = frozenset()) -> None:
        make_folder(path.parent)
        self.path = path
        self._summary = ""
        # Not whole_file, which begins anew: what hours have put into a page that was cut off is kept.
        earlier, new = _there(path), path.with_name(f".{path.name}.new")
        with self._writing():
            # A name may have been stored in another encoding than this system's.
            self._file = new.open("w", encoding="utf-8", errors="replace")
            self._file.write(_HEAD.format(title=html.escape(title)))
            if earlier is not None and keep:
                self._file.writelines(lines for name, lines in _figures(earlier) if name in keep)
            new.replace(_part(path))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RestoreFormerError(f"Expected to write {self.path}, could not: {error.strerror}.") from error

    def add(self, name: str, pair: Pair, failure: str | None = None) -> None:
        """A photo before and after, and what went wrong with it."""
        name, failed = _on_one_line(name), "" if failure is None else _FAILED.format(html.escape(failure))
        with self._writing():
            self._file.write(_PAIR.format(name=name, failed=failed, **pair._asdict()))

    def finish(self, summary: str, failures: Sequence[str] = ()) -> None:
        """What stands at the end: a line, and one for each photo that there is nothing to show of."""
        lines = [_FAILED.format(html.escape(line)) for line in failures]
        self._summary = "".join(lines) + f"<p>{html.escape(summary)}</p>\n"

    def __enter__(self) -> "ComparisonPage":
        return self

    def __exit__(self, *exception: Any) -> None:
        with self._writing():
            with self._file:
                self._file.write(self._summary + _SCRIPT)
            _part(self.path).replace(self.path)
