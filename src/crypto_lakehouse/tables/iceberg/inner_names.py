"""Names of pyiceberg that its documentation does not promise, all in this one file.

A new version of pyiceberg may change them. Then this file is the one to look at: no other module
imports from `pyiceberg.io.pyarrow`, `pyiceberg.conversions`, `pyiceberg.typedef` or
`pyiceberg.table.update`. Others are overridden: `Catalog._load_file_io` in `embedded_catalog` and
`stored_catalog`, `PyArrowFileIO._initialize_fs` in `object_io`, and `stored_catalog` calls
`Catalog._write_metadata`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from attrs import frozen
from pyarrow.fs import FileSystem
from pyiceberg.catalog import Catalog, MetastoreCatalog
from pyiceberg.conversions import from_bytes
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import (
    PyArrowFile,
    PyArrowFileIO,
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
    pyarrow_to_schema,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat, ManifestFile
from pyiceberg.table import Table, Transaction
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update import TableRequirement, TableUpdate
from pyiceberg.table.update.snapshot import _OverwriteFiles
from pyiceberg.typedef import Record
from pyiceberg.types import NestedField, TimestamptzType

from crypto_lakehouse.tables.iceberg.data_files import TableVersion

__all__ = [
    "PyArrowFile",
    "PyArrowFileIO",
    "TableRequirement",
    "TableUpdate",
    "add_metadata_locations",
    "described_file",
    "file_system_of",
    "from_bytes",
    "iceberg_columns",
    "metadata_locations",
    "microseconds_of",
    "overwrite",
    "path_of",
    "set_metadata_locations",
    "staged_table",
    "wait_for_commits",
]

_TIME = TimestamptzType()


def path_of(location: str, io: FileIO) -> str:
    """A location's path in its file system, as a table's file access finds it."""
    files = _files(io)
    path: str = files.parse_location(location, files.properties)[2]
    return path


def file_system_of(location: str, io: FileIO) -> FileSystem:
    """The file system of a location, with the settings of a table's files."""
    files = _files(io)
    scheme, netloc, _ = files.parse_location(location, files.properties)
    return files.fs_by_scheme(scheme, netloc)


def _files(io: FileIO) -> PyArrowFileIO:
    return io if isinstance(io, PyArrowFileIO) else PyArrowFileIO(io.properties)


def microseconds_of(bound: bytes) -> int:
    """A bound of a column of times, as a data file's metadata has it."""
    return int(from_bytes(_TIME, bound))


def described_file(
    table: Table, partition: tuple[Any, ...], location: str, size: int, metadata: pq.FileMetaData
) -> DataFile:
    """A finished file as a commit registers it, with the statistics of its columns."""
    plan = _plan(TableVersion.of(table))
    statistics = data_file_statistics_from_parquet_metadata(
        parquet_metadata=metadata,
        stats_columns=plan.statistics,
        parquet_column_mapping=plan.numbers,
    )
    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=location,
        file_format=FileFormat.PARQUET,
        partition=Record(*partition),
        file_size_in_bytes=size,
        sort_order_id=None,
        spec_id=table.metadata.default_spec_id,
        equality_ids=None,
        key_metadata=None,
        **statistics.to_serialized_dict(),
    )


def iceberg_columns(schema: pa.Schema) -> tuple[NestedField, ...]:
    """The columns of a data file, by the numbers that its own schema gives them.

    Raises:
        ValueError: A column has no number, or a type that Iceberg does not have.
    """
    return pyarrow_to_schema(schema).fields


def overwrite(transaction: Transaction, io: FileIO, properties: Mapping[str, str]) -> Overwrite:
    """Begin a snapshot in which data files come and others go.

    The same as `transaction.update_snapshot(properties).overwrite()`, which now and then refuses
    to remove a file that the table has.
    """
    return Overwrite(
        operation=Operation.OVERWRITE,
        transaction=transaction,
        io=io,
        snapshot_properties=dict(properties),
    )


class Overwrite(_OverwriteFiles):
    """An overwrite whose threads do not share the evaluator of manifests.

    pyiceberg 0.12 looks for the files that go in several threads, with one evaluator that keeps
    the manifest under evaluation as its own state. A thread may then judge its manifest by
    another one's partitions, miss a file in it and report "Missing required files to delete".
    """

    def _build_manifest_evaluator(self, spec_id: int) -> Callable[[ManifestFile], bool]:
        build = super()._build_manifest_evaluator

        def evaluate(manifest: ManifestFile) -> bool:
            return build(spec_id)(manifest)

        return evaluate


def staged_table(
    catalog: MetastoreCatalog,
    current: Table | None,
    name: tuple[str, ...],
    requirements: tuple[TableRequirement, ...],
    updates: tuple[TableUpdate, ...],
) -> Table:
    """A table as it is after updates, before any of its metadata is written."""
    return catalog._update_and_stage_table(current, name, requirements, updates)  # noqa: SLF001


def metadata_locations(
    catalog: Catalog, namespace: str, table: str
) -> tuple[str, str | None] | None:
    """The locations of a table's metadata and of the version before, in a SQL catalog."""
    from pyiceberg.catalog.sql import IcebergTables as Row
    from sqlalchemy import select

    query = select(Row.metadata_location, Row.previous_metadata_location)
    query = query.where(*_is_row(catalog, namespace, table))
    with _engine(catalog).begin() as connection:
        found = connection.execute(query).first()
    return None if found is None else (found[0], found[1])


def set_metadata_locations(
    catalog: Catalog,
    namespace: str,
    table: str,
    old: tuple[str, str | None],
    new: tuple[str, str | None],
) -> bool:
    """Change what `metadata_locations` returns; return whether it was still `old`."""
    from pyiceberg.catalog.sql import IcebergTables as Row
    from sqlalchemy import update

    change = update(Row).where(
        *_is_row(catalog, namespace, table),
        Row.metadata_location == old[0],
        Row.previous_metadata_location.is_not_distinct_from(old[1]),
    )
    change = change.values(metadata_location=new[0], previous_metadata_location=new[1])
    with _engine(catalog).begin() as connection:
        return int(connection.execute(change).rowcount) == 1


def wait_for_commits(catalog: Catalog, namespace: str, table: str, wait_s: int) -> None:
    """Wait until no transaction is under way that has changed a table's row in PostgreSQL.

    Raises:
        Exception: One is still under way after so many seconds.
    """
    from pyiceberg.catalog.sql import IcebergTables as Row
    from sqlalchemy import select, text

    query = select(Row.metadata_location).where(*_is_row(catalog, namespace, table))
    with _engine(catalog).begin() as connection:
        connection.execute(text(f"SET LOCAL lock_timeout = '{wait_s}s'"))
        connection.execute(query.with_for_update())


def add_metadata_locations(
    catalog: Catalog, namespace: str, table: str, locations: tuple[str, str | None]
) -> None:
    """Add a table to a SQL catalog, without reading its metadata."""
    from pyiceberg.catalog.sql import IcebergTables as Row
    from sqlalchemy import insert

    row = insert(Row).values(
        catalog_name=catalog.name,
        table_namespace=namespace,
        table_name=table,
        metadata_location=locations[0],
        previous_metadata_location=locations[1],
        iceberg_type="TABLE",
    )
    with _engine(catalog).begin() as connection:
        connection.execute(row)


def _engine(catalog: Catalog) -> Any:
    return catalog.engine  # type: ignore[attr-defined]


def _is_row(catalog: Catalog, namespace: str, table: str) -> tuple[Any, ...]:
    from pyiceberg.catalog.sql import IcebergTables as Row

    return (
        Row.catalog_name == catalog.name,
        Row.table_namespace == namespace,
        Row.table_name == table,
    )


@frozen
class _WritePlan:
    statistics: Any
    numbers: Any


@functools.lru_cache(maxsize=32)
def _plan(version: TableVersion) -> _WritePlan:
    """What every file needs, and takes as long to make as to write a small file."""
    schema = version.table.schema()
    return _WritePlan(
        compute_statistics_plan(schema, version.table.properties),
        parquet_path_to_id_mapping(schema),
    )
