"""Writes rows of the tables `lakehouse.*`, with page checksums as those of archives have them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

import pyarrow as pa
from attrs import frozen
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from crypto_lakehouse.core.errors import OvertakenError
from crypto_lakehouse.core.protocols import ignore
from crypto_lakehouse.tables.files.parquet_options import FileLayout
from crypto_lakehouse.tables.files.partition_writer import WriterFactory
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.data_files import (
    archives_in,
    partition_of,
    rows_without,
    schema_for_writing,
)
from crypto_lakehouse.tables.iceberg.live_files import archives_between, live_files
from crypto_lakehouse.tables.ingest.commits import TableChange, commit_change

__all__ = ["RECORD_LAYOUT", "RecordChange", "recorded_among", "write_records"]

#: How often a change is made again after other writers have changed the table.
_TRIES = 10

#: Records are texts. They are read by series, of which a row group should have few.
RECORD_LAYOUT = FileLayout(compression="zstd", row_group_rows=1 << 10)


@frozen(kw_only=True)
class RecordChange:
    """New records about the archives of one table, and the archives whose old ones go.

    Attributes:
        of_table: The table of the archives, by which records are partitioned; None if they are not.
        rows: The new records.
        replaced: Keys of archives whose records are removed.
        damaged: Data files that are removed although they cannot be read.
        commit: The name of the commit.
        tool_version: Recorded in the snapshot.
    """

    of_table: str | None
    rows: pa.Table
    replaced: AbstractSet[str] = frozenset()
    damaged: tuple[DataFile, ...] = ()
    commit: str
    tool_version: str


def recorded_among(table: Table, archives: Iterable[str]) -> frozenset[str]:
    """Those of some archives, by key, of which a table has records."""
    wanted = sorted(archives)
    found: set[str] = set()
    for file in live_files(table) if wanted else ():
        near = archives_between(table, file, wanted)
        found |= near and near & archives_in(table, file)
    return frozenset(found)


def write_records(catalog: LakeCatalog, table: Table, change: RecordChange) -> None:
    """Make a change to a table of records, in one commit.

    The files of a run that is killed before the commit are in no snapshot; `recovery` deletes them.

    Raises:
        OvertakenError: Other writers committed first in every attempt.
        LakeError: The catalog refused the commit.
    """
    for number in range(1, _TRIES + 1):
        files = _files(table, change)
        catalog.make_durable(files.added)
        try:
            commit_change(
                table, files, commit=change.commit, tool_version=change.tool_version,
                purpose=catalog.purpose,
            )  # fmt: skip
        except OvertakenError:
            if number == _TRIES:
                raise
            for file in files.added:
                table.io.delete(file.file_path)
            table = catalog.catalog.load_table(table.name())
        else:
            return


def _files(table: Table, change: RecordChange) -> TableChange:
    """Write the new records, and the other ones of the files that lose some."""
    writers = WriterFactory(
        table=table, layout=RECORD_LAYOUT, stem=uuid.uuid4().hex, announce=ignore
    )
    added: list[DataFile] = []
    there = live_files(table) if change.replaced else ()
    removed = [file for file in there if change.replaced & archives_in(table, file)]
    for place, file in enumerate(removed):
        kept = writers.open(partition_of(file), f"kept{place}")
        for rows in rows_without(table, file.file_path, frozenset(change.replaced)):
            kept.write(rows)
        added += kept.close()
    partition = () if change.of_table is None else (change.of_table,)
    new = writers.open(partition, "new")
    if change.rows.num_rows:
        new.write(change.rows.cast(schema_for_writing(table)))
    return TableChange((*added, *new.close()), (*removed, *change.damaged))
