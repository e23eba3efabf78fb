"""One commit: it adds data files and removes the rows of archives that they replace, atomically."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Self

from attrs import frozen
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table, TableProperties
from pyiceberg.table.snapshots import Snapshot

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import LakeError, OvertakenError
from crypto_lakehouse.tables.files.partition_writer import WriterFactory
from crypto_lakehouse.tables.iceberg.data_files import partition_of, rows_without
from crypto_lakehouse.tables.iceberg.inner_names import overwrite
from crypto_lakehouse.tables.iceberg.live_files import files_holding

__all__ = [
    "COMMIT",
    "PURPOSE",
    "TableChange",
    "commit_change",
    "has_commit",
    "newest_sequence",
    "plan_removal",
    "sequence_of",
]

#: The snapshot property that names the commit.
COMMIT = "crypto-lakehouse.commit"

#: The snapshot property that says what the commit was made for, if that is no command of a user.
PURPOSE = "crypto-lakehouse.purpose"

_TOOL = "crypto-lakehouse.version"

#: How often a commit is tried while other writers commit first.
_TRIES = 20
_RETRIES = {
    TableProperties.COMMIT_NUM_RETRIES: str(_TRIES - 1),
    TableProperties.COMMIT_MIN_RETRY_WAIT_MS: "50",
    TableProperties.COMMIT_MAX_RETRY_WAIT_MS: "5000",
}


@frozen
class TableChange:
    """The data files that a commit adds and removes."""

    added: tuple[DataFile, ...] = ()
    removed: tuple[DataFile, ...] = ()


def plan_removal(
    files: WriterFactory, archives: Iterable[Archive], damaged: tuple[DataFile, ...] = ()
) -> TableChange:
    """Find the files with rows of some archives, and rewrite them without those rows.

    Files without other rows are removed, and damaged files without being read. Rows are read and
    written one row group at a time.
    """
    added: list[DataFile] = []
    unread = frozenset(file.file_path for file in damaged)
    found = [*files_holding(files.table, archives, unread)]
    for number, (file, unwanted) in enumerate(found):
        writer = files.open(partition_of(file), f"kept{number}")
        try:
            for rows in rows_without(files.table, file.file_path, unwanted):
                writer.write(rows)
            added += writer.close()
        except BaseException:
            writer.abandon()
            raise
    return TableChange(tuple(added), (*(file for file, _ in found), *damaged))


def commit_change(
    table: Table,
    change: TableChange,
    *,
    commit: str,
    tool_version: str,
    purpose: str = "",
    agrees: Callable[[Table], None] = lambda _table: None,
) -> None:
    """Commit a change atomically.

    If another writer committed first, the change is applied to the new state of the table, unless
    the two conflict.

    Args:
        table: The table, in the state for which the change was planned.
        change: The files to add and to remove.
        commit: The commit's name.
        tool_version: Recorded in the snapshot.
        purpose: As `LakeCatalog.purpose`; recorded in the snapshot.
        agrees: Called with the table after another writer's commit; must raise `OvertakenError`
            if the change conflicts with it.

    Raises:
        OvertakenError: A file to remove has already been removed, the table was relocated, or
            `agrees` raised.
        LakeError: The catalog refused every attempt.
    """

    def look(now: Table) -> None:
        if not has_commit(now, commit):  # else the commit was made, and only the response was lost
            agrees(now)

    with _commit_errors(table), _Watched.of(table, look).transaction() as transaction:
        properties = {COMMIT: commit, _TOOL: tool_version}
        properties |= {PURPOSE: purpose} if purpose else {}
        update = transaction.update_snapshot(snapshot_properties=properties)
        removes = bool(change.removed)
        with (
            overwrite(transaction, table.io, properties) if removes else update.merge_append()
        ) as producer:
            for file in change.added:
                producer.append_data_file(file)
            for file in change.removed:
                producer.delete_data_file(file)


@contextmanager
def _commit_errors(table: Table) -> Iterator[None]:
    name = ".".join(table.name())
    try:
        yield
    except ValidationException as error:
        reason = f"another run changed `{name}` at the same time; run the command again"
        raise OvertakenError(table.location(), reason) from error
    except CommitFailedException as error:
        reason = (
            f"the catalog refused to commit to `{name}` {_TRIES} times, the last time with: "
            f"{error}; run the command again"
        )
        raise LakeError(table.location(), reason) from error


class _Watched(Table):
    """A table that calls `look` whenever pyiceberg rebases a change on another writer's commit."""

    look: Callable[[Table], None]

    @classmethod
    def of(cls, table: Table, look: Callable[[Table], None]) -> Self:
        properties = {**table.metadata.properties, **_RETRIES}
        metadata = table.metadata.model_copy(update={"properties": properties})
        place, io = table.metadata_location, table.io
        watched = cls(table.name(), metadata, place, io, table.catalog, table.config)
        watched.look = look
        return watched

    def refresh(self) -> Table:
        location = self.location()
        super().refresh()
        if self.location() != location:  # the data files are named as before
            raise ValidationException("the table was relocated meanwhile")
        try:
            self.look(self)
        except OvertakenError as error:
            # On this exception pyiceberg deletes what it has written for the commit.
            raise ValidationException(str(error)) from error
        return self


def has_commit(table: Table, commit: str) -> bool:
    """Whether a snapshot of the table was made by this commit."""
    return _snapshot_of(table, commit) is not None


def sequence_of(table: Table, commit: str) -> int | None:
    """The sequence number of this commit; None if no snapshot of the table was made by it."""
    snapshot = _snapshot_of(table, commit)
    return None if snapshot is None else snapshot.sequence_number


def newest_sequence(table: Table) -> int:
    """The sequence number of the table's last commit; 0 in Iceberg's format 1, which has none."""
    return int(getattr(table.metadata, "last_sequence_number", 0))


def _snapshot_of(table: Table, commit: str) -> Snapshot | None:
    for snapshot in table.metadata.snapshots:
        summary = snapshot.summary
        if summary is not None and summary.additional_properties.get(COMMIT) == commit:
            return snapshot
    return None
