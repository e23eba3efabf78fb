"""Gathers rows into row groups of equal size."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
from attrs import define, field

__all__ = ["RowGroups"]


@define(eq=False)
class RowGroups:
    """Holds rows until there are enough for a row group.

    Attributes:
        size: Rows of a group; the last one may have fewer.
        write: Called with the rows of each group.
    """

    size: int
    write: Callable[[pa.Table], None]
    _held: list[pa.Table] = field(init=False, factory=list)
    _rows: int = field(init=False, default=0)

    def add(self, rows: pa.Table) -> None:
        """Add rows, which follow the earlier ones."""
        self._held.append(rows)
        self._rows += rows.num_rows
        while self._rows >= self.size:
            self._write(self.size)

    def finish(self) -> None:
        """Write the rows that are left."""
        if self._rows:
            self._write(self._rows)

    def _write(self, count: int) -> None:
        joined = pa.concat_tables(self._held).unify_dictionaries()
        group, rest = joined.slice(0, count), joined.slice(count)
        self._held, self._rows = [rest] if rest.num_rows else [], rest.num_rows
        self.write(group)
