"""A write-ahead journal of the files and commits of a run.

A file that a killed run wrote and did not commit is visible to no reader. The journal names each
file before it is created, and the provenance of each commit before it is made, so the next run
can delete such files, or record the provenance if the commit was made.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from attrs import frozen

from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.core.finite_json import parse_finite
from crypto_lakehouse.stores.disk import fsync
from crypto_lakehouse.tables.iceberg.bounded_files import read_whole
from crypto_lakehouse.tables.iceberg.local_io import DISK

__all__ = ["Journal", "Leftover", "leftovers"]

_SUFFIX = ".journal"

_TABLE = re.compile(r"\w+\.\w+", re.ASCII)


class Journal:
    """The journal of one commit.

    As a context manager it is deleted on success, and left to the next run after an exception.

    Args:
        folder: The folder of journals; created if missing.
        commit: The commit's name.
        table: The table's full name.
    """

    def __init__(self, folder: Path, commit: str, table: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder = folder.resolve()
        self.commit = commit
        self._path = folder / f"{commit}{_SUFFIX}"
        self._file = self._path.open("x", encoding="utf-8")
        self._lock = threading.Lock()
        self._write({"commit": commit, "table": table})
        # The journal must survive a power loss that files survive.
        DISK.sync(str(folder.parent), [str(self._path)])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        if kind is None:
            self.forget()
        else:
            self.close()

    def announce(self, location: str) -> None:
        """Record a file that is about to be created."""
        self._write({"file": location})

    def intend(self, provenance: Iterable[Mapping[str, Any]]) -> None:
        """Record, durably, the provenance to write once the commit is made, which begins now."""
        self._write({"provenance": list(provenance)})
        fsync(self._file.fileno())

    def refused(self) -> None:
        """Record that the commit is refused, so that it is not under way any more."""
        self._write({"refused": True})

    def _write(self, entry: Mapping[str, Any]) -> None:
        line = json.dumps(entry, ensure_ascii=False) + "\n"
        with self._lock:
            self._file.write(line)
            self._file.flush()

    def close(self) -> None:
        """Leave the journal to the next run."""
        self._file.close()

    def forget(self) -> None:
        """Delete the journal: nothing is left to do."""
        self._file.close()
        self._path.unlink(missing_ok=True)


@frozen
class Leftover:
    """What a killed run left behind.

    Attributes:
        path: Its journal.
        commit: The commit's name; empty if nothing was written yet.
        table: The table's full name.
        files: Data files that may exist.
        provenance: What to record if the commit was made.
        may_arrive: Whether the commit was begun, and its outcome is not recorded.
    """

    path: Path
    commit: str
    table: str
    files: tuple[str, ...]
    provenance: tuple[Mapping[str, Any], ...]
    may_arrive: bool


def leftovers(folder: Path) -> Iterator[Leftover]:
    """Read the journals of killed runs; the caller must hold the lake's lock.

    One that cannot be one of a run, as it is a pipe or far too large, has no table. A directory of
    such a name is left out.
    """
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        if path.is_symlink() or not path.is_dir():
            try:
                data = read_whole(str(path))
            except LakeError:
                data = b""
            yield _read(path, data.decode(errors="replace"))


def _read(path: Path, text: str) -> Leftover:
    head: Mapping[str, Any] = {}
    files: list[str] = []
    provenance: list[Mapping[str, Any]] = []
    may_arrive = False
    for line in text.splitlines():
        try:
            entry = parse_finite(line)
        except ValueError:
            break  # the run was killed while it wrote this line, and had not acted on it
        match entry:
            case {"file": str(location)}:
                files.append(location)
            case {"provenance": list(rows)}:
                provenance, may_arrive = rows, True
            case {"refused": True}:
                may_arrive = False
            case {"commit": str(commit), "table": str(table)} if commit == path.stem:
                head = entry if _TABLE.fullmatch(table) else {}
    name, table = head.get("commit", ""), head.get("table", "")
    return Leftover(path, name, table, tuple(files), tuple(provenance), may_arrive)
