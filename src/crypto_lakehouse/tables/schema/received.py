"""The columns of recorded rows: those that streams have, and the time when each was received.

The tables that have archives get the column `received_at` with their first recorded rows; what
streams lack of their other columns is NULL in these rows.
"""

from __future__ import annotations

import functools

from attrs import evolve

from crypto_lakehouse.core.data_types import DataType
from crypto_lakehouse.tables.schema.schemas import Column, TableSchema

__all__ = [
    "RECEIVED_AT",
    "RECEIVED_DOC",
    "excerpt_columns",
    "key_has_day",
    "lacking_columns",
    "recorded_schema",
]

#: The column with the time when a row's message was received.
RECEIVED_AT = "received_at"

_MEANING = "when the message was received, by the clock of the recording machine"

#: The description of the column in tables.
RECEIVED_DOC = f"{_MEANING} [UTC]"

_RECEIVED = Column(
    published=RECEIVED_AT, name=RECEIVED_AT, kind="time", unit="UTC", meaning=_MEANING,
    source="docs/record.md#rows-of-messages",
)  # fmt: skip


def key_has_day(schema: TableSchema) -> bool:
    """Whether all receptions of a row, by its key, have one time, and so one UTC day.

    Messages without a time have that of their arrival, and two requests for a book that has not
    changed have times of their own.
    """
    return schema.time != RECEIVED_AT and schema.data_type is not DataType.DEPTH_SNAPSHOTS


def lacking_columns(schema: TableSchema) -> tuple[str, ...]:
    """The columns of a table that streams do not have."""
    return tuple(column.name for column in schema.stored if not column.streamed)


def excerpt_columns(schema: TableSchema) -> tuple[Column, ...]:
    """The columns of an excerpt's text, in their order.

    They are those that the table stores, and `received_at`. One that messages lack may be NULL.
    """
    stored = [
        column if column.streamed else evolve(column, nullable=True) for column in schema.stored
    ]
    return (*stored,) if schema.recorded else (*stored, _RECEIVED)


@functools.cache
def recorded_schema(schema: TableSchema) -> TableSchema:
    """The schema of the text of excerpts."""
    return evolve(schema, columns=excerpt_columns(schema))
