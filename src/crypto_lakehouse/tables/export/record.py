"""The record of an export: which files it has written, of what, kept beside them.

A line is added before a file gets its name, so that after a kill each file of the folder is known:
it is as one of the lines of its path says. A file that is not is another program's, or was changed
since, and is never replaced.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, TextIO

from attrs import asdict, define, field, fields, frozen, resolve_types

from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.messages import shown
from crypto_lakehouse.stores.whole_file import whole_file

__all__ = ["RECORD", "ExportRecord", "ExportedFile"]

#: The name of the record in the folder of an export.
RECORD = ".crypto-lakehouse-export.jsonl"

_FORMAT = "crypto-lakehouse/export/1"


@frozen(kw_only=True)
class ExportedFile:
    """One file that was written.

    Attributes:
        unit: What its rows are, as `spot.klines/BTCUSDT/1h/2024`.
        table: The identifier of their table: one of another lake has another.
        path: Its path in the folder, with slashes.
        source: A digest of the rows' data files and of the selection.
        measured: What was measured of its rows, such as their decimal places.
        form: How it was written, as follows from what was measured of all files.
        sha256: The digest of its bytes.
        size_bytes: How many there are.
        mtime_ns: When it was written.
        rows: How many rows it has.
    """

    unit: str
    table: str
    path: str
    source: str
    measured: str
    form: str
    sha256: str
    size_bytes: int
    mtime_ns: int
    rows: int


resolve_types(ExportedFile)


@define(eq=False)
class ExportRecord:
    """The record of a folder, open for an export.

    Attributes:
        folder: The folder.
        target: What its files are for, as `freqtrade`.
        settled: The units whose newest line is known to describe their file.
    """

    folder: Path
    target: str
    settled: set[str] = field(factory=set)
    _by_unit: dict[str, list[ExportedFile]] = field(factory=dict)
    _by_path: dict[str, list[ExportedFile]] = field(factory=dict)
    _file: TextIO | None = field(default=None, repr=False)

    @classmethod
    @contextmanager
    def opened(cls, folder: Path, target: str) -> Iterator[ExportRecord]:
        """Read the record, and open it to be added to.

        At the end, the older lines of units that are settled are dropped.

        Raises:
            ConfigurationError: It is of another target, or is none.
            OSError: It cannot be read or written.
        """
        path = folder / RECORD
        record = cls(folder, target)
        for line in _read(path, target):
            record._hold(line)
        record._write()  # without a last line that a killed export has not completed
        with path.open("a", encoding="utf-8") as file:
            record._file = file
            yield record
        for unit in record.settled & {*record._by_unit}:
            record._by_unit[unit] = record._by_unit[unit][-1:]
        record._write()

    @property
    def units(self) -> tuple[str, ...]:
        """The units that have lines."""
        return tuple(self._by_unit)

    def newest(self, unit: str) -> ExportedFile | None:
        """The newest line of a unit."""
        lines = self._by_unit.get(unit)
        return lines[-1] if lines else None

    def paths(self, unit: str) -> list[str]:
        """The paths that the files of a unit have had."""
        return [*dict.fromkeys(line.path for line in self._by_unit.get(unit, ()))]

    def forget(self, unit: str) -> None:
        """Drop the lines of a unit, which has no file any more."""
        self._by_unit.pop(unit, None)

    def _hold(self, line: ExportedFile) -> None:
        self._by_unit.setdefault(line.unit, []).append(line)
        self._by_path.setdefault(line.path, []).append(line)

    def add(self, line: ExportedFile) -> None:
        """Add a line, before the file gets its name, and sync it.

        Raises:
            OSError: It cannot be written.
        """
        self._hold(line)
        assert self._file is not None  # noqa: S101 - it is open as long as files are written
        self._file.write(_text(line))
        self._file.flush()
        os.fsync(self._file.fileno())

    def standing(self, path: str) -> ExportedFile | None:
        """The line that describes the file at a path; None if there is no file.

        Raises:
            ConfigurationError: No line does, so that the file must not be replaced.
        """
        place = self.folder / path
        try:
            found = place.lstat()
        except FileNotFoundError:
            return None
        lines = self._by_path.get(path, [])[::-1]
        if stat.S_ISREG(found.st_mode):
            for line in lines:
                if (line.size_bytes, line.mtime_ns) == (found.st_size, found.st_mtime_ns):
                    return line
            same_size = [line for line in lines if line.size_bytes == found.st_size]
            digest = _digest(place) if same_size else ""
            for line in same_size:
                if line.sha256 == digest:
                    return line
        what = "was changed since an export wrote it" if lines else "was not written by an export"
        reason = f"{what}, and is not replaced; move it away, or name another folder"
        raise _unusable(place, reason)

    def _write(self) -> None:
        path = self.folder / RECORD
        if path.is_symlink():
            raise _unusable(path, "is a symbolic link; remove it, or name another folder")
        with whole_file(path) as file:
            file.write(f"{json.dumps({'format': _FORMAT, 'target': self.target})}\n".encode())
            for lines in self._by_unit.values():
                file.writelines(_text(line).encode() for line in lines)


def _text(line: ExportedFile) -> str:
    return f"{json.dumps(asdict(line))}\n"


def _read(path: Path, target: str) -> list[ExportedFile]:
    """Read the lines that are complete; none if there is no record.

    Raises:
        ConfigurationError: It is of another target, or is none.
        OSError: It cannot be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    header, *lines = data.decode(errors="replace").split("\n")
    try:
        head = json.loads(header)
        if head["format"] != _FORMAT:
            raise ValueError(head["format"])
        found = [_line(json.loads(line)) for line in lines[:-1]]  # the last one has no end
    except (KeyError, TypeError, ValueError) as error:
        raise _unusable(path, "is not the record of an export; name another folder") from error
    if head["target"] != target:
        reason = f"the folder has an export for `{shown(head['target'])}`; name another folder"
        raise _unusable(path, reason)
    return found


def _line(values: Mapping[str, Any]) -> ExportedFile:
    """Make a line of JSON values.

    Raises:
        TypeError, ValueError: They are not those of a line.
    """
    line = ExportedFile(**values)
    for each in fields(ExportedFile):
        if type(values[each.name]) is not each.type:
            raise ValueError(f"`{each.name}` is {type(values[each.name]).__name__}")
    path = PurePosixPath(line.path)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError(f"`{line.path}` is not a path in the folder")
    return line


def _unusable(path: Path, reason: str) -> ConfigurationError:
    return ConfigurationError([Problem(str(path), reason)])


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
