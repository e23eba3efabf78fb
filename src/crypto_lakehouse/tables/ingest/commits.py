"""One commit: data files come, and rows of archives that they replace go, at the same instant."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Self

from attrs import frozen
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table, TableProperties

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import LakeError, OvertakenError
from crypto_lakehouse.tables.files.parquet_options import FileLayout
from crypto_lakehouse.tables.files.partition_writer import PartitionWriter
from crypto_lakehouse.tables.iceberg.data_files import partition_of, rows_without
from crypto_lakehouse.tables.iceberg.inner_names import overwrite
from crypto_lakehouse.tables.iceberg.live_files import files_holding

__all__ = ["COMMIT", "TableChange", "commit_change", "has_commit", "plan_removal"]

#: The snapshot property that names the commit.
COMMIT = "crypto-lakehouse.commit"

_TOOL = "crypto-lakehouse.version"

#: How often a commit is tried where other writers are faster.
_TRIES = 20
_RETRIES = {
    TableProperties.COMMIT_NUM_RETRIES: str(_TRIES - 1),
    TableProperties.COMMIT_MIN_RETRY_WAIT_MS: "50",
    TableProperties.COMMIT_MAX_RETRY_WAIT_MS: "5000",
}


@frozen
class TableChange:
    """Files that come and files that go."""

    added: tuple[DataFile, ...] = ()
    removed: tuple[DataFile, ...] = ()


def plan_removal(
    table: Table,
    archives: Iterable[Archive],
    *,
    stem: str,
    announce: Callable[[str], None],
    layout: FileLayout,
) -> TableChange:
    """Find the files with rows of some archives, and write them anew without those rows.

    Files that have no other rows just go. Rows are read and written a row group at a time.
    """
    added: list[DataFile] = []
    found = [*files_holding(table, archives)]
    for number, (file, unwanted) in enumerate(found):
        writer = PartitionWriter(
            table, partition_of(file), f"{stem}-kept{number}", announce, layout
        )
        try:
            for rows in rows_without(table, file.file_path, unwanted):
                writer.write(rows)
            added += writer.close()
        except BaseException:
            writer.abandon()
            raise
    return TableChange(tuple(added), tuple(file for file, _ in found))


def commit_change(
    table: Table,
    change: TableChange,
    *,
    commit: str,
    tool_version: str,
    agrees: Callable[[Table], None] = lambda _table: None,
) -> None:
    """Make a change visible, all of it at once.

    Where another writer was faster, the change goes on top of what that one made of the table, as
    long as both go together.

    Args:
        table: The table as the change was made for.
        change: What comes and goes.
        commit: The commit's own name.
        tool_version: Noted in the snapshot.
        agrees: Looks at the table as another writer has left it; raises where the change does not
            go together with that.

    Raises:
        OvertakenError: A file that goes is gone already.
        LakeError: The catalog has refused it all the time.
    """
    name = ".".join(table.name())

    def look(now: Table) -> None:
        if not has_commit(now, commit):  # else it was made, and only the answer was lost
            agrees(now)

    try:
        with _Watched.of(table, look).transaction() as transaction:
            properties = {COMMIT: commit, _TOOL: tool_version}
            update = transaction.update_snapshot(snapshot_properties=properties)
            with (
                overwrite(transaction, table.io, properties)
                if change.removed
                else update.merge_append()
            ) as producer:
                for file in change.added:
                    producer.append_data_file(file)
                for file in change.removed:
                    producer.delete_data_file(file)
    except ValidationException as error:
        reason = f"another run has changed `{name}` meanwhile; run it again"
        raise OvertakenError(table.location(), reason) from error
    except CommitFailedException as error:
        reason = (
            f"the catalog has refused to commit to `{name}` {_TRIES} times, at last: {error}; "
            "run it again"
        )
        raise LakeError(table.location(), reason) from error


class _Watched(Table):
    """A table that is looked at whenever pyiceberg puts a change on top of another writer's."""

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
        super().refresh()
        try:
            self.look(self)
        except OvertakenError as error:
            # This one lets pyiceberg clear away what it has written for the commit.
            raise ValidationException(str(error)) from error
        return self


def has_commit(table: Table, commit: str) -> bool:
    """Whether some snapshot of the table is that commit's."""
    return any(
        snapshot.summary is not None
        and snapshot.summary.additional_properties.get(COMMIT) == commit
        for snapshot in table.metadata.snapshots
    )
