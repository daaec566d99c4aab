"""One HTML file to look through results: each photo before and after, under a slider."""

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2

from restoreformer.errors import RestoreFormerError
from restoreformer.images import Image, make_folder, resize

# Longest side in pixels, and JPEG quality, of the pictures in the page: to look at, not to keep.
LONGEST_SIDE = 1000
QUALITY = 85

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
_PAIR = """<figure>
<figcaption>{title}</figcaption>
<div class="pair"><img class="after" alt="after" src="{after}"><img class="before" alt="before" src="{before}">
<input type="range" min="0" max="100" step="0.1" value="50" aria-label="before and after of {title}"></div>
</figure>
"""
_END = "<!-- end -->\n"
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
    return Pair(*map(_embedded, sized_pair(before, after, LONGEST_SIDE)))


def sized_pair(before: Image, after: Image, longest: int) -> tuple[Image, Image]:
    """Two pictures ``(h, w, 3)`` at the second one's size, or smaller where its longest side is above ``longest``."""
    height, width = after.shape[:2]
    scale = min(1.0, longest / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return resize(before, *size), resize(after, *size)


def _embedded(image: Image) -> str:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


class ComparisonPage:
    """A page that is written as it grows, so that it may hold any number of photos.

    Nothing in it points elsewhere: it can be sent as it is. Used as a context; it appears under its name at the end.

    Args:
        path: of the HTML file.
        title: heading of the page.
        keep: go on with the photos of the page that is there, also one that a killed process left unfinished.

    Raises:
        RestoreFormerError: it cannot be read or written there.
    """

    def __init__(self, path: Path, title: str, keep: bool = False) -> None:
        make_folder(path.parent)
        self.path = path
        self._part = path.with_name(f".{path.name}.part")
        self._summary = ""
        try:
            head = self._figures() if keep else ""
            self._file = self._part.open("w", encoding="utf-8")
            self._file.write(head or _HEAD.format(title=html.escape(title)))
        except OSError as error:
            raise RestoreFormerError(f"Expected to write {path}, could not: {error.strerror}.") from error

    def _figures(self) -> str:
        """What is there up to its last whole photo."""
        there = next((p for p in (self._part, self.path) if p.is_file()), None)
        if there is None:
            return ""
        last = "</figure>\n"
        text = there.read_text(encoding="utf-8", errors="replace").partition(_END)[0]
        return text[: text.rfind(last) + len(last)] if last in text else ""

    def add(self, title: str, pair: Pair) -> None:
        """A photo or a face, before and after."""
        self._file.write(_PAIR.format(title=html.escape(title), **pair._asdict()))

    def finish(self, summary: str, failures: Sequence[str] = ()) -> None:
        """What stands at the end: a line, and one for each photo that there is nothing to show of."""
        lines = [f'<p class="failed">{html.escape(line)}</p>\n' for line in failures]
        self._summary = "".join(lines) + f"<p>{html.escape(summary)}</p>\n"

    def __enter__(self) -> "ComparisonPage":
        return self

    def __exit__(self, *exception: Any) -> None:
        with self._file:
            self._file.write(_END + self._summary + _SCRIPT)
        self._part.replace(self.path)
