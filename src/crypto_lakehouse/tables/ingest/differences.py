"""The table `lakehouse.differences`: values that two archives of the same rows give differently.

A row of it says which archive's value stands and what the other one has. Only the newest comparison
of two archives is kept: the differences of an archive are replaced when it is compared again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Self

import polars as pl
import pyarrow as pa
from attrs import asdict, frozen
from pyiceberg.types import StringType, TimestamptzType

from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.ingest.comparison import Comparison, DifferentValue, RowComparer
from crypto_lakehouse.tables.ingest.records import RecordChange, recorded_among, write_records
from crypto_lakehouse.tables.ingest.stored_rows import ARCHIVE
from crypto_lakehouse.tables.schema.schemas import PartitionField
from crypto_lakehouse.tables.schema.table_types import arrow_schema, record_schema

__all__ = [
    "DIFFERENCES",
    "Difference",
    "differences_in",
    "differences_of",
    "no_differences",
    "record_differences",
]

DIFFERENCES = "lakehouse.differences"

_SCHEMA = record_schema(
    (
        ("table", StringType(), True, "the table that has the row"),
        ("archive", StringType(), True, "object key of the archive whose value stands"),
        ("other_archive", StringType(), True, "object key of the archive that differs"),
        ("key", StringType(), True, "the row's key, as a JSON object"),
        ("column", StringType(), True, "the column that differs"),
        ("value", StringType(), False, "the value that stands, as text; NULL if there is none"),
        ("other_value", StringType(), False, "the other archive's value"),
        ("commit", StringType(), True, "the commit that compared them"),
        ("recorded_at", TimestamptzType(), True, "when, by the clock of the machine"),
    )
)


@frozen
class Difference:
    """One value in which two archives differ.

    Attributes:
        archive: Key of the archive whose value stands.
        other_archive: Key of the other one.
        key: The row's key, as a JSON object.
        column: The column.
        value: The value that stands, as text; None if it is NULL.
        other_value: The other one, as text; None if it is NULL.
    """

    archive: str
    other_archive: str
    key: str
    column: str
    value: str | None
    other_value: str | None

    @classmethod
    def of(cls, archive: str, other: str, found: DifferentValue, *, stands: bool) -> Self:
        """Name the archives of a value; `stands` says whether the first of its values stands."""
        values = (found.value, found.other_value)
        value, other_value = values if stands else values[::-1]
        return cls(archive, other, found.key, found.column, value, other_value)


def differences_of(
    comparer: RowComparer, found: Comparison, others: pl.DataFrame, *, stands: bool
) -> Iterator[Difference]:
    """List the values in which rows of an archive differ from others, with their archives.

    Args:
        comparer: Has compared them.
        found: How they differ.
        others: The rows that they were compared with.
        stands: Whether the values of the archive stand.
    """
    if found.differing.is_empty():
        return
    mine = str(found.differing[ARCHIVE][0])
    for (name,), some in others.group_by([ARCHIVE], maintain_order=True):
        for value in comparer.different_values(found.differing, some):
            between = (mine, str(name)) if stands else (str(name), mine)
            yield Difference.of(*between, value, stands=stands)


def no_differences() -> pa.Table:
    """The table without rows, for a lake that has recorded none."""
    return arrow_schema(_SCHEMA).empty_table()


def record_differences(
    catalog: LakeCatalog,
    table: str,
    compared: Iterable[str],
    differences: Iterable[Difference],
    *,
    commit: str,
    tool_version: str,
) -> None:
    """Replace the differences of some archives.

    Args:
        catalog: The lake's tables.
        table: The table of the archives.
        compared: The keys of the archives that were compared.
        differences: What differs between them.
        commit: The name of the commit.
        tool_version: Recorded in the snapshot.
    """
    found = catalog.find(DIFFERENCES)
    rows = _rows(table, differences, commit)
    if found is None and not rows:
        return
    partition = (PartitionField("table", "identity"),)
    found = found or catalog.create(DIFFERENCES, _SCHEMA, partition, ("archive", "key"), {})
    change = RecordChange(
        of_table=table,
        rows=pa.Table.from_pylist(rows, schema=arrow_schema(found.schema())),
        replaced=recorded_among(found, compared),
        commit=commit,
        tool_version=tool_version,
    )
    if change.replaced or rows:
        write_records(catalog, found, change)


def differences_in(table: str, differences: Iterable[Difference], *, commit: str) -> pa.Table:
    """The rows of `lakehouse.differences` for some differences of one table's archives."""
    return pa.Table.from_pylist(_rows(table, differences, commit), schema=arrow_schema(_SCHEMA))


def _rows(table: str, differences: Iterable[Difference], commit: str) -> list[dict[str, object]]:
    now = datetime.now(UTC)
    rows = [
        {"table": table, "commit": commit, "recorded_at": now, **asdict(each)}
        for each in differences
    ]
    rows.sort(key=lambda row: (str(row["archive"]), str(row["key"])))
    return rows
