"""Checks that the columns of data files have the names that the table gives them.

Iceberg identifies a column by its number, and only describes it by its name: after another program
has renamed a column, or has replaced it by one of the same name, older data files have the former
name. This package and its engines find the columns of a file by name, and would take one column
for another. Such a table is refused.

A table whose columns have always had the same names and numbers needs no check. Of any other table,
the schema of each data file is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import Table

from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.tables.iceberg.damage import BUILD_AGAIN
from crypto_lakehouse.tables.schema.received import RECEIVED_AT

__all__ = ["check_file_names", "check_names", "columns_fault", "has_one_schema"]

_NUMBER = b"PARQUET:field_id"


def check_names(table: Table, files: Iterable[DataFile]) -> None:
    """Refuse data files that have other names for the table's columns.

    Args:
        table: The table.
        files: Data files; they are listed and opened only if columns may have changed their names.
            One that cannot be read is left to its reader.

    Raises:
        LakeError: A file has another name for a column, or another column with its name.
    """
    if not _may_differ(table):
        return
    for file in files:
        with suppress(OSError, pa.ArrowException, _Unreadable):
            check_file_names(table, file.file_path, _schema_of(table, file.file_path))


def check_file_names(table: Table, location: str, schema: pa.Schema) -> None:
    """Refuse a data file that has other names for the table's columns.

    Args:
        table: The table.
        location: The file's location.
        schema: The file's schema.

    Raises:
        LakeError: The file has another name for a column, or another column with its name.
    """
    known = [(each.field_id, each.name) for each in table.schema().fields]
    names, numbers = dict(known), {name: number for number, name in known}
    for number, name in _numbered(schema):
        if names.get(number, name) != name or numbers.get(name, number) != number:
            is_renamed = number in names
            now = f"is now `{names[number]}`" if is_renamed else f"is not the table's `{name}`"
            reason = (
                f"table `{'.'.join(table.name())}`: column {number}, `{name}` in the data file "
                f"`{location}`, {now}: another program has renamed or replaced columns, and the "
                "rows cannot be read reliably; give the columns their former names with that "
                f"program, or {BUILD_AGAIN}"
            )
            raise LakeError(table.location(), reason)


def columns_fault(table: Table, own: Schema) -> str:
    """Say how the columns of a table differ from those it is made with; empty if they do not.

    Args:
        table: The table.
        own: The schema that this package makes the table with.
    """
    has = {each.name: each.field_type for each in table.schema().fields}
    wanted = {each.name: each.field_type for each in own.fields}
    missing = [name for name in wanted if name not in has]
    added = [name for name in has if name not in wanted and name != RECEIVED_AT]
    other = [name for name in wanted if name in has and has[name] != wanted[name]]
    faults = [
        f"{what} {', '.join(f'`{name}`' for name in names)}"
        for what, names in (
            ("lacks", missing), ("also has", added), ("has another type of", other)
        )
        if names
    ]  # fmt: skip
    return " and ".join(faults)


def has_one_schema(table: Table) -> bool:
    """Whether the columns of the table have never changed, so that each data file has them all."""
    return [each.schema_id for each in table.metadata.schemas] == [0]


class _Unreadable(Exception):
    """A data file cannot be opened."""


def _schema_of(table: Table, location: str) -> pa.Schema:
    try:
        opened: Any = table.io.new_input(location).open()
    except LakeError as error:
        raise _Unreadable from error
    with opened as stream:
        return pq.read_schema(stream)


def _may_differ(table: Table) -> bool:
    """Whether a number had several names or a name several numbers, or old schemas were removed."""
    schemas = table.metadata.schemas
    if sorted(each.schema_id for each in schemas) != [*range(len(schemas))]:
        return True
    known = {(each.field_id, each.name) for schema in schemas for each in schema.fields}
    numbers, names = zip(*known, strict=True)
    return len(known) != len(set(numbers)) or len(known) != len(set(names))


def _numbered(schema: pa.Schema) -> Iterator[tuple[int, str]]:
    """The columns of a file that have a number; those of other programs may have none."""
    for each in schema:
        number = (each.metadata or {}).get(_NUMBER)
        if number is not None:
            yield int(number), each.name
