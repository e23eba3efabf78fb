"""The columns of an excerpt: those of its table, as recorded messages have them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile

import polars as pl
from attrs import frozen

from crypto_lakehouse.core.archive import DataType
from crypto_lakehouse.tables.schema.received import RECEIVED_AT, excerpt_columns
from crypto_lakehouse.tables.schema.schemas import Column, TableSchema

__all__ = ["LINE", "LiveColumns"]

#: The number of a row's message in its segment, as long as the rows are not in order.
LINE = "_line"

_WHOLE = frozenset({"id", "count", "time"})

#: Types whose messages have several rows with one id.
_BOOKS = frozenset({DataType.DEPTH_UPDATES, DataType.DEPTH_SNAPSHOTS})


@frozen
class LiveColumns:
    """How the rows of a table are kept and compared while its segment is split.

    Attributes:
        schema: The table.
        columns: Those of `excerpt_columns`.
        event: What identifies a message among those of its series.
        content: What copies of an event have in common: not when they were sent or received.
    """

    schema: TableSchema
    columns: tuple[Column, ...]
    event: tuple[str, ...]
    content: tuple[str, ...]

    @classmethod
    def of(cls, schema: TableSchema) -> LiveColumns:
        """Those of a table."""
        columns = excerpt_columns(schema)
        if schema.data_type in _BOOKS:
            event, content = schema.key[:1], (*schema.key[1:], "quantity")
        else:
            event = schema.key
            left_out = {*event, RECEIVED_AT, "event_time"}
            content = tuple(each.name for each in columns if each.name not in left_out)
        return cls(schema, columns, event, content)

    @property
    def has_books(self) -> bool:
        """Whether a message has several rows."""
        return self.event != self.schema.key

    @property
    def place(self) -> tuple[str, ...]:
        """The columns of `event` up to the first decimal, which are in order as they are kept."""
        numbers = {each.name for each in self.columns if each.kind == "number"}
        return tuple(takewhile(lambda name: name not in numbers, self.event))

    @property
    def names(self) -> list[str]:
        """The names of the columns, in their order."""
        return [column.name for column in self.columns]

    @property
    def types(self) -> dict[str, pl.DataType | type[pl.DataType]]:
        """How columns are kept: decimals as the texts that came, times in microseconds."""
        kinds = {each.name: each.kind for each in self.columns}
        return {name: _type_of(kind) for name, kind in kinds.items()}

    def order(self, first: Iterable[str] = ()) -> list[pl.Expr]:
        """What rows are sorted by: other columns, then the key, then the order of messages."""
        numbers = {each.name for each in self.columns if each.kind == "number"}
        key = [
            pl.col(name).cast(pl.Float64) if name in numbers else pl.col(name)
            for name in self.schema.key
        ]
        return [*(pl.col(name) for name in first), *key, pl.col(LINE)]


def _type_of(kind: str) -> pl.DataType | type[pl.DataType]:
    if kind in _WHOLE:
        return pl.Int64
    return pl.Boolean if kind == "flag" else pl.String
