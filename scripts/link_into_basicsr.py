"""Link this project into a source checkout of BasicSR, whose own train.py and test.py then know it.

python scripts/link_into_basicsr.py CHECKOUT
python scripts/link_into_basicsr.py CHECKOUT --remove

Writes two modules that BasicSR's scans find, copies of the option files, an entry in docs/ModelZoo.md where there is
one, and a record of all that. --remove takes it back byte for byte. What was changed since is left and told, by both,
and the exit status is 1.
"""

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from restoreformer.errors import RestoreFormerError
from restoreformer.program import option_parser
from restoreformer.whole_file import whole_file

ROOT = Path(__file__).resolve().parents[1]
RECORD = ".restoreformer_link.json"
ZOO = "docs/ModelZoo.md"
BEGIN, END = "<!-- RestoreFormer: begin -->", "<!-- RestoreFormer: end -->"
ENTRY = re.compile(rf"\n{BEGIN}.*?{END}\r?\n".encode(), re.DOTALL)
MARKER = re.compile(f"{BEGIN}|{END}".encode())
NEEDED = ("setup.py", "basicsr/train.py", "basicsr/test.py", "basicsr/archs/__init__.py", "basicsr/models/__init__.py")

# BasicSR imports archs first and scans models last. So the first module brings what importing the rest needs on today's
# torchvision, and may import no more than networks, as BasicSR is not there yet; for the second everything is. But in a
# program that begins with a module of ours, that one is half imported by then: it imports the plugin itself if need be.
MODULES = {
    "basicsr/archs/restoreformer_arch.py": '''"""Written by restoreformer-basicsr's scripts/link_into_basicsr.py."""

import sys

BASICSR_CAME_FIRST = "restoreformer" not in sys.modules

try:
    import restoreformer.archs.registered_arch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "restoreformer":
        raise
    raise SystemExit(
        "error: Expected the package restoreformer, which this checkout of BasicSR is linked to, found none: in its "
        "repository run pip install --no-build-isolation -e . or scripts/link_into_basicsr.py CHECKOUT --remove"
    ) from None
''',
    "basicsr/models/restoreformer_model.py": '''"""Written by restoreformer-basicsr's scripts/link_into_basicsr.py."""

from basicsr.archs.restoreformer_arch import BASICSR_CAME_FIRST

if BASICSR_CAME_FIRST:
    import restoreformer.plugin  # noqa: F401
''',
}


class Link(NamedTuple):
    """What was written into a checkout.

    Attributes:
        pieces: SHA-256 of each piece by its path: a file, or the entry of ``docs/ModelZoo.md``.
        folders: those that were made for them, outer ones first.
    """

    pieces: dict[str, str]
    folders: list[str]


def link(checkout: Path) -> list[str]:
    """Write everything into ``checkout``, in place of what an earlier link wrote.

    Returns:
        The paths of pieces that were changed since the earlier link, and are left as they are.

    Raises:
        RestoreFormerError: not a source checkout of BasicSR, things of others where ours would be, or it cannot be
            written.
    """
    if missing := [name for name in NEEDED if not (checkout / name).is_file()]:
        raise RestoreFormerError(
            f"Expected a source checkout of BasicSR at {checkout}, found no {', '.join(missing)}: name the folder that "
            "holds setup.py and basicsr/, from git or from the sdist."
        )
    earlier = _read_link(checkout) or Link({}, [])
    wanted = _pieces(checkout)
    # After a record was lost, what is as it would be written is taken for what was written.
    new_here = {path: content for path, content in wanted.items() if path not in earlier.pieces}
    if foreign := [path for path, content in new_here.items() if _found(checkout, path) not in (None, content)]:
        raise RestoreFormerError(
            f"Expected neither things of others nor symbolic links in {checkout} at {', '.join(foreign)}: "
            f"{_way_out(foreign)}, then link again."
        )
    with _half_done(checkout):
        changed = _take_back(checkout, earlier)
        new = {path: content for path, content in wanted.items() if path not in changed}
        folders = [f for f in earlier.folders if (checkout / f).is_dir()]
        for path in new:
            above = [p.as_posix() for p in reversed(Path(path).parents) if not (checkout / p).is_dir()]
            folders += [f for f in above if f not in folders]
        written = {path: earlier.pieces[path] for path in changed} | {path: _sha256(c) for path, c in new.items()}
        # Before the rest, so that an interrupted link can be taken back too.
        record = json.dumps(Link(written, folders)._asdict(), indent=1, sort_keys=True)
        with whole_file(checkout / RECORD) as part:
            part.write_text(f"{record}\n", encoding="utf-8")
        for path, content in new.items():
            if _found(checkout, path) is None:
                _write(checkout, path, content)
    return changed


def remove(checkout: Path) -> list[str]:
    """Take back what :func:`link` wrote.

    Returns:
        The paths of pieces that were changed since, and are left as they are.

    Raises:
        RestoreFormerError: nothing was linked here, or something cannot be taken back.
    """
    earlier = _read_link(checkout)
    if earlier is None:
        raise RestoreFormerError(f"Expected a linked checkout at {checkout}, found no {RECORD}: nothing is removed.")
    with _half_done(checkout):
        changed = _take_back(checkout, earlier)
        (checkout / RECORD).unlink()
    return changed


def _way_out(paths: Iterable[str]) -> str:
    """What makes room for pieces of ours where others are."""
    ways = ["move files and links away"] if any(path != ZOO for path in paths) else []
    ways += [f"take {BEGIN} to {END}, or what is left of it, out of {ZOO}"] if ZOO in paths else []
    return " and ".join(ways)


@contextmanager
def _half_done(checkout: Path) -> Iterator[None]:
    """Add to what fails meanwhile how to go on, which the record allows."""
    try:
        yield
    except (OSError, RestoreFormerError) as error:
        if not (checkout / RECORD).is_file():
            raise
        raise RestoreFormerError(
            f"{str(error).removesuffix('.')}: this is half done. Mend that and do it again, or take back what was "
            "written with --remove."
        ) from error


def _take_back(checkout: Path, earlier: Link) -> list[str]:
    changed = []
    for path, digest in earlier.pieces.items():
        content = _found(checkout, path)
        if content is not None and _sha256(content) != digest:
            changed.append(path)
        elif content is not None:
            _erase(checkout, path, content)
    for name in reversed(earlier.folders):
        folder = checkout / name
        if _is_in(checkout, name) and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    return changed


def _pieces(checkout: Path) -> dict[str, bytes]:
    """What is to be written, by its path in the checkout."""
    files = MODULES | _option_files()
    pieces = {path: text.encode() for path, text in files.items()}
    if _is_in(checkout, ZOO) and (checkout / ZOO).is_file():
        entry = ENTRY.search((ROOT / "docs" / "model_zoo.md").read_bytes())
        assert entry is not None, "the page has the markers"
        pieces[ZOO] = entry[0]
    return pieces


def _option_files() -> dict[str, str]:
    """All but the demo's; what they say of paths and commands is made right for the checkout."""
    targets = {}
    for source in sorted((ROOT / "options").rglob("*.yml")):
        path = source.relative_to(ROOT / "options")
        kind = "test" if path.name.startswith("test_") else "train"
        if path.parts[0] != "demo":
            targets[f"options/{path.as_posix()}"] = f"options/{kind}/RestoreFormer/{path.as_posix()}"
    files = {}
    for path, target in targets.items():
        text = (ROOT / path).read_text(encoding="utf-8")
        text = re.sub(r"options/[\w/]+\.yml", lambda found: targets[found[0]], text)
        text = re.sub(r"python datasets/(\w+)\.py", r"python -m restoreformer.datasets.\1", text)
        files[target] = (
            "# Copied from restoreformer-basicsr, which has the docs and scripts that are named here.\n" + text
        )
    return files


def _found(checkout: Path, path: str) -> bytes | None:
    """The piece at ``path``, whoever wrote it; empty for what can be none of ours, None where there is nothing."""
    file = checkout / path
    if not _is_in(checkout, path):
        return b""
    if not file.is_file():
        return b"" if file.exists() else None
    content = file.read_bytes()
    return _entry(content) if path == ZOO else content


def _entry(page: bytes) -> bytes | None:
    """Our entry of a page; where a marker is missing or there are more of them, all from the first one on."""
    markers = [found.start() for found in MARKER.finditer(page)]
    entry = ENTRY.search(page)
    if entry is not None and len(markers) == 2:
        return entry[0]
    return page[markers[0] :] if markers else None


def _is_in(checkout: Path, path: str) -> bool:
    """Whether what is at ``path``, or would be, lies in the checkout itself and is not reached by a symbolic link."""
    return (checkout / path).resolve() == checkout.resolve() / path


def _write(checkout: Path, path: str, content: bytes) -> None:
    file = checkout / path
    with whole_file(file) as part:
        if path == ZOO:
            shutil.copyfile(file, part)
            shutil.copymode(file, part)
        with part.open("ab") as end:
            end.write(content)


def _erase(checkout: Path, path: str, content: bytes) -> None:
    file = checkout / path
    if path == ZOO:
        with whole_file(file) as part:
            part.write_bytes(file.read_bytes().replace(content, b"", 1))
            shutil.copymode(file, part)
        return
    file.unlink()
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
        compiled.unlink()


def _read_link(checkout: Path) -> Link | None:
    path = checkout / RECORD
    if not path.is_file():
        return None
    try:
        return _as_link(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise RestoreFormerError(
            f"Expected the record of a link at {path}, could not read it ({error}): delete it and link again, which "
            "knows what is still as it was written."
        ) from error


def _as_link(record: Any) -> Link:
    if not isinstance(record, dict) or record.keys() != set(Link._fields):
        raise ValueError(f"it does not hold {' and '.join(Link._fields)}")
    found = Link(**record)
    if not isinstance(found.pieces, dict) or not isinstance(found.folders, list):
        raise ValueError("pieces are not by their paths, or folders are no list")
    if not all(isinstance(text, str) for text in (*found.pieces.values(), *found.folders)):
        raise ValueError("a digest or a folder is not text")
    for path in map(Path, (*found.pieces, *found.folders)):
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{path} may lead out of the checkout")
    return found


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("checkout", type=Path, help="the folder that holds BasicSR's setup.py and basicsr/")
    parser.add_argument("--remove", action="store_true", help="take back what was written")
    args = parser.parse_args()
    try:
        changed = remove(args.checkout) if args.remove else link(args.checkout)
    except (RestoreFormerError, OSError) as error:
        sys.exit(f"error: {error}")
    for path in changed:
        sys.stderr.write(f"left as it is, changed since it was linked: {path}\n")
    if not args.remove:
        if changed:
            sys.stderr.write(f"for the new ones {_way_out(changed)}, then link again\n")
        sys.stdout.write(
            f"Linked. From {args.checkout}:\n"
            "PYTHONPATH=./ python basicsr/train.py -opt options/train/RestoreFormer/train_dictionary.yml\n"
        )
    sys.exit(1 if changed else 0)


if __name__ == "__main__":
    main()
