"""An LMDB that is written under another name until it is whole, and goes on where it was stopped."""

import contextlib
import json
import os
import shutil
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import lmdb
from filelock import FileLock, Timeout

from restoreformer.errors import RestoreFormerError
from restoreformer.whole_file import make_folder

JOURNAL = "packing.jsonl"
# A writer that was killed leaves workers, who end within moments, with its lock.
PATIENCE_S = 5.0
# What is lost at most when a writer is killed.
COMMIT_S = 1.0


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    Attributes:
        file: the file, relative to the folder that is packed.
        name: its record's name.
        left_out: why it has no record; empty if it has.
        notes: what was changed, beside the size.
        shape: ``[h, w, c]`` of the record.
        digest: BLAKE2b of the record, hexadecimal, 16 bytes.
    """

    file: str
    name: str
    left_out: str = ""
    notes: list[str] = field(default_factory=list)
    shape: list[int] = field(default_factory=list)
    digest: str = ""


class ResumableLmdb:
    """Records and a journal of outcomes beside them, in ``.NAME.part.lmdb`` until :meth:`finish` renames it.

    Records are committed before their outcomes are written, so that after a kill at any moment each
    outcome in the journal has its record; a record without outcome is written again.

    Args:
        output: the LMDB to make, ``NAME.lmdb``.
        settings: what it is made with; others than those of the unfinished one are refused.
        map_size: upper bound of the records' bytes.

    Raises:
        RestoreFormerError: another writer is at it, it was begun with other settings, or it cannot be written.
    """

    def __init__(self, output: Path, settings: dict[str, Any], map_size: int) -> None:
        self.output = output
        self.part = output.with_name(f".{output.stem}.part.lmdb")
        self._pending: list[tuple[Outcome, bytes | None]] = []
        self._committed = time.monotonic()
        make_folder(self.part)
        self._lock = FileLock(self.part / "packing.lock")
        try:
            self._lock.acquire(timeout=PATIENCE_S)
        except Timeout as error:
            raise RestoreFormerError(f"Expected nobody else to pack {output}, another process does.") from error
        except OSError as error:
            raise RestoreFormerError(f"Expected to write {self.part}, could not: {error}") from error
        try:
            self.outcomes = self._resume(settings)
            self._env = lmdb.open(str(self.part), map_size=map_size)
        except (OSError, lmdb.Error) as error:
            self._lock.release()
            raise RestoreFormerError(f"Expected to write {self.part}, could not: {error}") from error
        except RestoreFormerError:
            self._lock.release()
            raise

    def _resume(self, settings: dict[str, Any]) -> list[Outcome]:
        """The outcomes so far; a journal that was cut off is taken back to its last whole line."""
        path = self.part / JOURNAL
        path.touch()
        self._journal = path.open("r+b")
        entries, end = [], 0
        for line in self._journal.read().splitlines(keepends=True):
            try:
                entries.append(json.loads(line if line.endswith(b"\n") else b""))
            except ValueError:
                break
            end += len(line)
        if len(entries) < 2:
            # Nothing was packed: neither the settings nor records without outcome bind anybody.
            entries, end = [settings], 0
            for name in ("data.mdb", "lock.mdb"):
                (self.part / name).unlink(missing_ok=True)
        self._journal.seek(end)
        self._journal.truncate()
        if end == 0:
            self._journal.write(json.dumps(settings).encode() + b"\n")
            self._sync()
        head, *outcomes = entries
        if head != settings:
            self._journal.close()
            began, now = ({k: v for k, v in d.items() if head.get(k) != settings.get(k)} for d in (head, settings))
            raise RestoreFormerError(
                f"Expected what {self.part} was begun with, {began}, got {now}: go on with the same settings and "
                "files, or remove it to start anew."
            )
        return [Outcome(**outcome) for outcome in outcomes]

    def add(self, outcome: Outcome, record: bytes | None) -> None:
        """Add what became of a file, with its record if it has one."""
        self.outcomes.append(outcome)
        self._pending.append((outcome, record))
        if time.monotonic() - self._committed > COMMIT_S:
            self.commit()

    def commit(self) -> None:
        """Write what was added, records first.

        Raises:
            RestoreFormerError: there is no room, say.
        """
        try:
            with self._env.begin(write=True) as txn:
                for outcome, record in self._pending:
                    if record is not None:
                        txn.put(outcome.name.encode("ascii"), record)
            for outcome, _ in self._pending:
                self._journal.write(json.dumps(asdict(outcome)).encode() + b"\n")
            self._sync()
        except (OSError, lmdb.Error) as error:
            raise RestoreFormerError(
                f"Expected to write {self.part}, could not: {error}. Once that is mended, the same command goes on."
            ) from error
        self._pending.clear()
        self._committed = time.monotonic()

    def finish(self, listing: str) -> None:
        """Commit, add the list that BasicSR reads, and give the LMDB its name.

        Raises:
            RestoreFormerError: it does not hold as many records as were packed.
        """
        self.commit()
        entries, expected = self._env.stat()["entries"], sum(not o.left_out for o in self.outcomes)
        if entries != expected:
            raise RestoreFormerError(f"Expected {expected} records in {self.part}, got {entries}: remove it.")
        with (self.part / "meta_info.txt").open("w") as file:
            file.write(listing)
            file.flush()
            os.fsync(file.fileno())
        Path(self._lock.lock_file).unlink()
        self.part.rename(self.output)

    def discard(self) -> None:
        """Remove what there is: nothing of it is worth going on with."""
        self.close()
        shutil.rmtree(self.part)

    def close(self) -> None:
        """Let go of everything; what was not committed is lost."""
        # What could not be written, for want of room, is told by commit.
        with contextlib.suppress(OSError):
            self._journal.close()
        self._env.close()
        self._lock.release()

    def _sync(self) -> None:
        self._journal.flush()
        os.fsync(self._journal.fileno())

    def __enter__(self) -> "ResumableLmdb":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()
