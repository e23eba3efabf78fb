"""Keeps sorted rows apart by group in one temporary file, and gives them back in order."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import polars as pl
from attrs import define, field, frozen

__all__ = ["GroupSpool"]

#: What rows are kept apart by: the number of their series, and their day.
_Group: TypeAlias = tuple[int, int]


@frozen
class _Block:
    """Sorted rows of one group: where they are in the file, or themselves.

    Attributes:
        first, last: Where its first and last rows are in the order.
    """

    first: tuple[Any, ...]
    last: tuple[Any, ...]
    offset: int
    size_bytes: int
    frame: pl.DataFrame | None = None


@define
class GroupSpool:
    """Sorted rows of many groups.

    One file holds all of them, however many groups there are: it has no name, and is gone when it
    is closed, or when the process is killed.

    Args:
        folder: Where the file is.
        place: The columns by which the rows of a group are sorted first: all rows of an event have
            the same values.
    """

    folder: Path
    place: tuple[str, ...]
    _file: Any = field(init=False, default=None)
    _blocks: dict[_Group, list[_Block]] = field(init=False, factory=dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, group: _Group, frame: pl.DataFrame, *, is_last: bool) -> None:
        """Keep sorted rows of a group.

        Args:
            group: Which one.
            frame: At least one row.
            is_last: Whether no more rows come of any group: then they need not leave memory.

        Raises:
            OSError: The file cannot be written.
        """
        places = frame.select(self.place)
        first, last = places.row(0), places.row(-1)
        if is_last:
            block = _Block(first, last, 0, 0, frame)
        else:
            block = _Block(first, last, *self._write(frame))
        self._blocks.setdefault(group, []).append(block)

    def _write(self, frame: pl.DataFrame) -> tuple[int, int]:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 - see __exit__
        buffer = io.BytesIO()
        frame.write_ipc(buffer, compression="lz4")
        offset = self._file.seek(0, io.SEEK_END)
        return offset, self._file.write(buffer.getbuffer())

    def groups(self) -> list[_Group]:
        """The groups, in the order in which they came."""
        return list(self._blocks)

    def parts(self, group: _Group, order: list[pl.Expr]) -> Iterator[pl.DataFrame]:
        """Yield the rows of a group, sorted over all parts: no event is in two of them.

        Rows come nearly in order, so that a part is mostly one that was added. Memory is bounded by
        the rows whose events overlap.

        Args:
            group: Which one.
            order: The order of the rows.
        """
        blocks = sorted(self._blocks.pop(group), key=lambda each: each.first)
        held: list[_Block] = []
        for block in blocks:
            if held and block.first > max(each.last for each in held):
                yield self._joined(held, order)
                held = []
            held.append(block)
        yield self._joined(held, order)

    def _joined(self, blocks: list[_Block], order: list[pl.Expr]) -> pl.DataFrame:
        frames = [self._read(block) for block in blocks]
        return frames[0] if len(frames) == 1 else pl.concat(frames).sort(order)

    def _read(self, block: _Block) -> pl.DataFrame:
        if block.frame is not None:
            return block.frame
        self._file.seek(block.offset)
        return pl.read_ipc(io.BytesIO(self._file.read(block.size_bytes)))
