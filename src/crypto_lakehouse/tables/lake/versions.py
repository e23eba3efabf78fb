"""The versions of a table, as its metadata describes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from attrs import frozen
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from crypto_lakehouse.core.errors import QueryError
from crypto_lakehouse.tables.ingest.commits import COMMIT
from crypto_lakehouse.tables.lake.time_range import Instant, TimeRange

__all__ = ["LakeSnapshot", "described", "snapshot_at", "table_sizes", "totals_of"]


@frozen
class LakeSnapshot:
    """One version of a table.

    Attributes:
        at: When it was made.
        rows: Rows of the whole table in this snapshot.
        files: Data files of the whole table in this snapshot.
        added, removed: Rows that it added and removed.
        commit: The run's commit, as in `lakehouse.archives`; empty if another program made it.
    """

    snapshot_id: int
    at: datetime
    operation: str
    rows: int
    files: int
    added: int
    removed: int
    commit: str


def described(snapshot: Snapshot) -> LakeSnapshot:
    """Describe a snapshot."""
    summary = snapshot.summary.additional_properties if snapshot.summary else {}
    return LakeSnapshot(
        snapshot_id=snapshot.snapshot_id,
        at=datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC),
        operation=str(snapshot.summary.operation.value) if snapshot.summary else "",
        rows=int(summary.get("total-records", 0)),
        files=int(summary.get("total-data-files", 0)),
        added=int(summary.get("added-records", 0)),
        removed=int(summary.get("deleted-records", 0)),
        commit=summary.get(COMMIT, ""),
    )


def totals_of(snapshot: Snapshot | None) -> tuple[int, int]:
    """The numbers of data files and rows of a whole table in a snapshot; None has neither."""
    if snapshot is None or snapshot.summary is None:
        return 0, 0
    summary = snapshot.summary.additional_properties
    return int(summary.get("total-data-files", 0)), int(summary.get("total-records", 0))


def snapshot_at(table: Table, name: str, as_of: Instant | None) -> Snapshot | None:
    """The snapshot of a table as of a time, or the newest one; None if the table has none yet.

    Raises:
        QueryError: The table had none then.
    """
    if as_of is None:
        return table.current_snapshot()
    until = TimeRange.of(None, as_of).end
    assert until is not None  # noqa: S101 - an end was given
    found = table.snapshot_as_of_timestamp(int(until.timestamp() * 1000) - 1)
    if found is None:
        raise QueryError(name, f"the table had no snapshot before {until.isoformat()}")
    return found


def table_sizes(
    tables: Iterable[tuple[str, Sequence[DataFile]]],
) -> Iterator[tuple[str, int, int, str]]:
    """Name, rows, files and megabytes of each table, given its data files."""
    for name, files in tables:
        size = sum(file.file_size_in_bytes for file in files)
        yield name, sum(file.record_count for file in files), len(files), f"{size / 1e6:,.1f}"
