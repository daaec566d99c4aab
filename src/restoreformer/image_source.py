"""Named images in a folder or an LMDB, read one at a time by whichever process asks."""

import os
import re
from functools import lru_cache
from pathlib import Path

import lmdb
from basicsr.utils import FileClient

from restoreformer.errors import RestoreFormerError
from restoreformer.images import SUFFIXES, Image, decode

# A line of the list; a name may hold dots and spaces.
LINE = re.compile(r"(?P<name>.+)\.\w+ \((?P<shape>\d+,\d+,\d+)\) \d+")


def list_images(folder: Path) -> list[Path]:
    """The image files below ``folder``, nested or not, in linked folders too, sorted by path.

    Raises:
        RestoreFormerError: a folder that cannot be listed.
    """
    found, seen = [], set()
    try:
        for parent, folders, files in os.walk(folder, followlinks=True, onerror=_raise):
            # Links may lead back to where they are.
            if (place := os.path.realpath(parent)) in seen:
                folders.clear()
                continue
            seen.add(place)
            # macOS leaves a file of that beginning beside each on foreign disks.
            paths = (Path(parent) / f for f in files if not f.startswith("._"))
            found += [p for p in paths if p.suffix.lower() in SUFFIXES and p.is_file()]
    except OSError as error:
        raise RestoreFormerError(f"Expected folders of images in {folder}, could not list one: {error}") from error
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error


def read_listing(root: Path) -> dict[str, tuple[int, ...]]:
    """The records of an LMDB and their shapes, as its ``meta_info.txt`` lists them.

    Raises:
        RestoreFormerError: there is no list, or one that BasicSR did not write.
    """
    listing = root / "meta_info.txt"
    try:
        lines = listing.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RestoreFormerError(
            f"Expected the list of an LMDB at {listing}, could not read it ({error}): pack the images again."
        ) from error
    records = {}
    for line in lines:
        if match := LINE.fullmatch(line):
            records[match["name"]] = tuple(map(int, match["shape"].split(",")))
        elif line.strip():
            raise RestoreFormerError(f"Expected lines as NAME.png (h,w,c) level in {listing}, got {line!r}.")
    return records


class ImageSource:
    """Images by name: ``names`` lists them sorted, ``read`` decodes one.

    A root that ends in ``.lmdb`` is an LMDB as BasicSR writes it (names from ``meta_info.txt``); any
    other is a folder, where the name is the file's without its suffix. BasicSR's ``FileClient`` reads,
    without reading ahead; an LMDB is opened by the process that first reads of it.

    Args:
        root: the folder or LMDB.
        hint: what to do if there is none, ends the error's message.

    Raises:
        RestoreFormerError: nothing there, an LMDB that is damaged or without its list, no images, or two of one name.
    """

    def __init__(self, root: str | Path, hint: str = "") -> None:
        self.root = Path(root).expanduser()
        self._path = str(self.root.resolve())
        self.is_lmdb = self.root.suffix == ".lmdb"
        if not self.root.is_dir():
            kind = "an LMDB" if self.is_lmdb else "a folder of images"
            raise RestoreFormerError(f"Expected {kind} at {self.root}, found nothing. {hint}".strip())
        self.paths = self._list_lmdb() if self.is_lmdb else self._list_folder()
        if not self.paths:
            raise RestoreFormerError(f"Expected images in {self.root}, found none. {hint}".strip())
        self.names = sorted(self.paths)

    def _list_lmdb(self) -> dict[str, str]:
        keys = read_listing(self.root)
        self._check_whole()
        # Only to see that it can be opened: a process that reads nothing holds nothing open.
        lmdb_client.cache_clear()
        return {key: key for key in keys}

    def _check_whole(self) -> None:
        """A file that was cut off opens, and ends a process that reads beyond its end without a word."""
        env = self._client().client._client["default"]
        pages = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
        if (size := (self.root / "data.mdb").stat().st_size) < pages:
            raise RestoreFormerError(
                f"Expected {pages} bytes in {self.root / 'data.mdb'}, got {size}: it is cut off, copy it again."
            )

    def _list_folder(self) -> dict[str, str]:
        paths: dict[str, str] = {}
        for path in list_images(self.root):
            if path.stem in paths:
                raise RestoreFormerError(
                    f"Expected one image of each name in {self.root}, got {paths[path.stem]} and {path}: rename one."
                )
            paths[path.stem] = str(path)
        return paths

    def __len__(self) -> int:
        return len(self.names)

    def read(self, name: str) -> Image:
        """The image as BGR ``(h, w, 3)``, uint8.

        Raises:
            RestoreFormerError: the record is missing or not an image; names the record and its source.
        """
        return decode(self.read_bytes(name), f"under {name} in {self.root}")

    def read_bytes(self, name: str) -> bytes | None:
        """The stored file; None where an LMDB lists a record that it does not hold.

        Raises:
            RestoreFormerError: it cannot be read; names the record and its source.
        """
        try:
            return self._client().get(self.paths[name])
        except (OSError, lmdb.Error, UnicodeEncodeError) as error:
            raise RestoreFormerError(
                f"Expected an image under {name} in {self.root}, could not read it: {error}"
            ) from error

    def _client(self) -> FileClient:
        if not self.is_lmdb:
            return FileClient("disk")
        try:
            return lmdb_client(self._path)
        except lmdb.Error as error:
            raise RestoreFormerError(
                f"Expected an LMDB at {self.root}, could not open it ({error}): pack the images again."
            ) from error


@lru_cache
def lmdb_client(root: str) -> FileClient:
    """The one open LMDB of this path in this process: lmdb allows no second."""
    return FileClient("lmdb", db_paths=root)


# A forked worker may not use what its parent has open; it opens its own.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lmdb_client.cache_clear)
