"""Rows of one archive that wait until others are read: in memory if few, else in a file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from attrs import define, field, frozen

__all__ = ["RowSpool", "merged"]

#: Rows beyond this size are written to a temporary file.
_HELD_BYTES = 32 << 20


@frozen(eq=False)
class _Part:
    low: Any
    high: Any
    frame: pl.DataFrame | None
    begin: int


@define(eq=False)
class RowSpool:
    """Holds frames in the order in which they come, and finds those of a range.

    Attributes:
        folder: Where the temporary file is made; it has no name, so a killed run leaves none.
        column: The column by which rows are found; it has no NULL.
    """

    folder: Path
    column: str
    rows: int = field(init=False, default=0)
    _parts: list[_Part] = field(init=False, factory=list)
    _held: int = field(init=False, default=0)
    _file: Any = field(init=False, default=None)
    _empty: pl.DataFrame | None = field(init=False, default=None)

    def add(self, frame: pl.DataFrame) -> None:
        """Append rows."""
        if self._empty is None:
            self._empty = frame.clear()
        if frame.is_empty():
            return
        self.rows += frame.height
        low, high = frame[self.column].min(), frame[self.column].max()
        size = int(frame.estimated_size())
        if self._held + size <= _HELD_BYTES:
            self._held += size
            self._parts.append(_Part(low, high, frame, 0))
        else:
            self._parts.append(_Part(low, high, None, self._write(frame)))

    def between(self, low: Any, high: Any) -> pl.DataFrame | None:
        """The rows of a range, its ends included; None if nothing was ever added."""
        inside = pl.col(self.column).is_between(low, high)
        found = [
            frame if low <= part.low and part.high <= high else frame.filter(inside)
            for part in self._parts
            if part.low <= high and low <= part.high
            for frame in (self._frame(part),)
        ]
        return pl.concat(found) if found else self._empty

    def frames(self) -> Iterator[pl.DataFrame]:
        """All rows, in the order in which they came."""
        for part in self._parts:
            yield self._frame(part)

    def close(self) -> None:
        """Free the memory and the file."""
        self._parts.clear()
        if self._file is not None:
            self._file.close()

    def _write(self, frame: pl.DataFrame) -> int:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 - `close` closes it
        begin: int = self._file.seek(0, 2)
        table = frame.to_arrow()
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_stream(self._file, table.schema, options=options) as writer:
            writer.write_table(table)
        return begin

    def _frame(self, part: _Part) -> pl.DataFrame:
        if part.frame is not None:
            return part.frame
        self._file.seek(part.begin)
        found = pl.from_arrow(pa.ipc.open_stream(self._file).read_all())
        assert isinstance(found, pl.DataFrame)  # noqa: S101 - of a table
        return found


def merged(streams: Iterable[Iterator[pl.DataFrame]], key: list[str]) -> Iterator[pl.DataFrame]:
    """Merge frames that are sorted by a key; each row is yielded once even if they are not.

    Rows of one key keep the order of the streams. Frames must not be empty. Rows whose first column
    of the key is the same are in one frame, unless a single stream is left.
    """
    first = key[0]
    heads = [(head, stream) for stream in streams if (head := next(stream, None)) is not None]
    while len(heads) > 1:
        bound: Any = min(head[first].max() for head, _ in heads)  # type: ignore[type-var]
        ready: list[pl.DataFrame] = []
        left: list[tuple[pl.DataFrame, Iterator[pl.DataFrame]]] = []
        for head, stream in heads:
            rest = _taken(head, stream, first, bound, ready)
            if rest is not None:
                left.append((rest, stream))
        heads = left
        yield pl.concat(ready, how="diagonal").sort(key, maintain_order=True)
    for head, stream in heads:
        yield head
        yield from stream


def _taken(
    head: pl.DataFrame | None,
    stream: Iterator[pl.DataFrame],
    column: str,
    bound: Any,
    ready: list[pl.DataFrame],
) -> pl.DataFrame | None:
    """Take the rows up to a bound from a stream; return its first rows after them, if any."""
    while head is not None and head[column].max() <= bound:
        ready.append(head)
        head = next(stream, None)
    if head is None:
        return None
    inside = head[column] <= bound
    ready.append(head.filter(inside))
    return head.filter(~inside)
