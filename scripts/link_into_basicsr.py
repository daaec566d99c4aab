"""Link this project into a source checkout of BasicSR, whose own train.py and test.py then know it.

python scripts/link_into_basicsr.py CHECKOUT
python scripts/link_into_basicsr.py CHECKOUT --remove

Writes two modules that BasicSR's scans find, copies of the option files, an entry in docs/ModelZoo.md where there is
one, and a record of all that. --remove takes it back byte for byte; what was changed since is left and told, and the
exit status is 1.
"""

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import NamedTuple

from restoreformer.errors import RestoreFormerError
from restoreformer.program import option_parser

ROOT = Path(__file__).resolve().parents[1]
RECORD = ".restoreformer_link.json"
ZOO = "docs/ModelZoo.md"
ENTRY = re.compile(rb"\n<!-- RestoreFormer: begin -->.*?<!-- RestoreFormer: end -->\r?\n", re.DOTALL)
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
        RestoreFormerError: not a source checkout of BasicSR, or files of others where ours would be.
    """
    if missing := [name for name in NEEDED if not (checkout / name).is_file()]:
        raise RestoreFormerError(
            f"Expected a source checkout of BasicSR at {checkout}, found no {', '.join(missing)}: name the folder that "
            "holds setup.py and basicsr/, from git or from the sdist."
        )
    earlier = _read_link(checkout) or Link({}, [])
    wanted = _pieces(checkout)
    if foreign := [path for path in wanted if path not in earlier.pieces and _found(checkout / path) is not None]:
        raise RestoreFormerError(
            f"Expected nothing of others in {checkout} at {', '.join(foreign)}: move it away, then link again."
        )
    changed = _take_back(checkout, earlier)
    new = {path: content for path, content in wanted.items() if path not in changed}
    folders = [f for f in earlier.folders if (checkout / f).is_dir()]
    for path in new:
        above = [p.as_posix() for p in reversed(Path(path).parents) if not (checkout / p).is_dir()]
        folders += [f for f in above if f not in folders]
    written = {path: earlier.pieces[path] for path in changed} | {path: _sha256(c) for path, c in new.items()}
    # Before the rest, so that an interrupted link can be taken back too.
    record = json.dumps(Link(written, folders)._asdict(), indent=1, sort_keys=True)
    (checkout / RECORD).write_text(f"{record}\n", encoding="utf-8")
    for path, content in new.items():
        _write(checkout / path, content)
    return changed


def remove(checkout: Path) -> list[str]:
    """Take back what :func:`link` wrote.

    Returns:
        The paths of pieces that were changed since, and are left as they are.

    Raises:
        RestoreFormerError: nothing was linked here.
    """
    earlier = _read_link(checkout)
    if earlier is None:
        raise RestoreFormerError(f"Expected a linked checkout at {checkout}, found no {RECORD}: nothing is removed.")
    changed = _take_back(checkout, earlier)
    (checkout / RECORD).unlink()
    return changed


def _take_back(checkout: Path, earlier: Link) -> list[str]:
    changed = []
    for path, digest in earlier.pieces.items():
        content = _found(checkout / path)
        if content is not None and _sha256(content) != digest:
            changed.append(path)
        elif content is not None:
            _erase(checkout / path, content)
    for folder in reversed(earlier.folders):
        if (checkout / folder).is_dir() and not any((checkout / folder).iterdir()):
            (checkout / folder).rmdir()
    return changed


def _pieces(checkout: Path) -> dict[str, bytes]:
    """What is to be written, by its path in the checkout."""
    files = MODULES | _option_files()
    pieces = {path: text.encode() for path, text in files.items()}
    if (checkout / ZOO).is_file():
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


def _found(path: Path) -> bytes | None:
    """The piece at ``path``, whoever wrote it, or None."""
    if not path.is_file():
        return None
    content = path.read_bytes()
    if path.name != Path(ZOO).name:
        return content
    entry = ENTRY.search(content)
    return entry and entry[0]


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab" if path.name == Path(ZOO).name else "wb") as file:
        file.write(content)


def _erase(path: Path, content: bytes) -> None:
    if path.name == Path(ZOO).name:
        path.write_bytes(path.read_bytes().replace(content, b"", 1))
        return
    path.unlink()
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()


def _read_link(checkout: Path) -> Link | None:
    path = checkout / RECORD
    if not path.is_file():
        return None
    try:
        return Link(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise RestoreFormerError(f"Expected the record of a link at {path}, could not read it: {error}") from error


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
    if args.remove:
        sys.exit(1 if changed else 0)
    sys.stdout.write(
        f"Linked. From {args.checkout}:\n"
        "PYTHONPATH=./ python basicsr/train.py -opt options/train/RestoreFormer/train_dictionary.yml\n"
    )


if __name__ == "__main__":
    main()
