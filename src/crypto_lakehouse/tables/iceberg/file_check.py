"""Checks one data file of a table: size, footer, schema, page checksums, rows and statistics.

A page checksum covers the bytes of one page. What it does not cover is compared with something
else: the size and the number of rows with the table's metadata, the schema with the table's, and
the statistics, by which readers skip rows, with the rows themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from attrs import field, frozen
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from crypto_lakehouse.core.errors import LakeError, StoreError
from crypto_lakehouse.core.messages import plural, some_of
from crypto_lakehouse.tables.iceberg.data_files import repeating_columns
from crypto_lakehouse.tables.iceberg.inner_names import iceberg_columns, path_of
from crypto_lakehouse.tables.iceberg.object_io import ObjectIO

__all__ = ["FileCheck", "check_file", "refuse_gone", "size_fault", "wrong_sizes"]

#: How many objects a store lists in one answer.
_PAGE = 1000

#: Enough of a page's header to see whether it has a checksum.
_HEADER_BYTES = 32

#: In Thrift's compact protocol: the next field is an int32.
_NEXT_INT = 0x15


@frozen
class FileCheck:
    """What is known of a data file.

    Attributes:
        fault: What is wrong with it; empty if it is whole.
        archives: How many rows it has of each archive, by key; empty if it has a fault, or has no
            column `archive`.
        has_checksums: Whether flipped bits in its values would be noticed.
    """

    fault: str = ""
    archives: Mapping[str, int] = field(factory=dict)
    has_checksums: bool = True


def size_fault(table: Table, file: DataFile) -> str:
    """Say whether a data file is gone, or has another size than it had; empty if neither.

    Raises:
        PermissionError: The system refuses access.
    """
    try:
        size = len(table.io.new_input(file.file_path))
    except FileNotFoundError:
        return "it is gone"
    except LakeError as error:
        return error.reason
    if size != file.file_size_in_bytes:
        has = plural(size, "byte", form=",")
        return f"it has {has} instead of {file.file_size_in_bytes:,}"
    return ""


def wrong_sizes(table: Table, files: Iterable[DataFile]) -> list[DataFile]:
    """Return the data files that are gone, or have another size than they had.

    Objects are listed, by a request for each thousand; those for which the listing has no object of
    this size are asked for one by one.

    Raises:
        PermissionError: The system refuses access.
        StoreError: The object store fails.
    """
    sizes: Mapping[str, int] = {}
    if isinstance(table.io, ObjectIO):
        sizes = table.io.objects.sizes(path_of(table.location(), table.io))
    return [
        file
        for file in files
        if not (sizes and sizes.get(path_of(file.file_path, table.io)) == file.file_size_in_bytes)
        and size_fault(table, file)
    ]


def refuse_gone(table: Table, files: Sequence[DataFile]) -> None:
    """Refuse to commit data files that are gone from an object store, or have another size.

    A sweep on another machine may have deleted them, or a rule of the store, as they are in no
    snapshot yet. A directory is not looked at: the lake's lock keeps others from it. The files are
    asked for one by one, or all objects of the table are listed if that takes fewer requests.

    Args:
        table: The table, before the commit.
        files: The data files that the commit adds.

    Raises:
        LakeError: Some are gone, or have another size; some are named.
        StoreError: The object store fails.
    """
    if not isinstance(table.io, ObjectIO):
        return
    snapshot = table.current_snapshot()
    summary = {} if snapshot is None or snapshot.summary is None else snapshot.summary
    there = int(summary.get("total-data-files") or 0) if summary else 0
    by_listing = len(files) > 1 + (there + len(files)) // _PAGE
    gone = wrong_sizes(table, files) if by_listing else [f for f in files if size_fault(table, f)]
    if gone:
        names = some_of([path_of(file.file_path, table.io) for file in gone], 4)
        reason = (
            f"nothing was committed to `{'.'.join(table.name())}`: "
            f"{plural(len(gone), 'new data file', form=',')} ({names}) gone from the store, or "
            "changed, before the commit: a rule of the store or another program, as `lake sweep` "
            "with a short `--older-than`, deletes files that are still needed; end that, and run "
            "the command again"
        )
        raise LakeError(table.location(), reason)


def check_file(table: Table, file: DataFile) -> FileCheck:
    """Read all of a data file, one row group at a time.

    Raises:
        PermissionError: The system refuses access.
        StoreError: The object store fails, which says nothing about the file.
    """
    try:
        if fault := size_fault(table, file):
            return FileCheck(fault)
        opened: Any = table.io.new_input(file.file_path).open()
        with opened as stream:
            return _read(table, file, stream)
    except (PermissionError, StoreError):
        raise
    except Exception as error:  # noqa: BLE001 - readers raise many kinds for damaged bytes
        reason = (str(error) or type(error).__name__).splitlines()[0][:300]
        return FileCheck(f"it cannot be read: {reason}")


def _read(table: Table, file: DataFile, stream: Any) -> FileCheck:
    metadata = pq.read_metadata(stream)
    schema: pa.Schema = metadata.schema.to_arrow_schema()
    if fault := _schema_fault(table, schema) or _count_fault(file, metadata.num_rows):
        return FileCheck(fault)
    # A value that repeats is decoded once, which saves a third of the time for a file of bars.
    repeating = repeating_columns(schema)
    parquet = pq.ParquetFile(
        stream, metadata=metadata, read_dictionary=repeating, page_checksum_verification=True
    )
    rows = 0
    archives: Counter[str] = Counter()
    for number in range(parquet.num_row_groups):
        group = parquet.read_row_group(number)
        rows += group.num_rows
        for name in repeating:
            group[name].validate(full=True)  # a number without a value is not noticed otherwise
        wrong = next(_untrue(metadata.row_group(number), group), None)
        if wrong is not None:
            return FileCheck(f"its statistics of `{wrong}` contradict its rows")
        if "archive" in group.column_names:
            for each in pc.value_counts(group["archive"]):
                archives[each["values"].as_py()] += each["counts"].as_py()
    if fault := _count_fault(file, rows):
        return FileCheck(fault)
    return FileCheck("", archives, _has_checksums(stream, metadata))


def _count_fault(file: DataFile, rows: int) -> str:
    if rows == file.record_count:
        return ""
    return f"it has {plural(rows, 'row', form=',')} instead of {file.record_count:,}"


def _schema_fault(table: Table, found: pa.Schema) -> str:
    """A column is known if any version of the table's schema has its number, name and type."""
    known = {
        (each.field_id, each.name, each.field_type)
        for schema in table.metadata.schemas
        for each in schema.fields
    }
    for each in iceberg_columns(found):
        if (each.field_id, each.name, each.field_type) not in known:
            return f"its column `{each.name}` is not one of the table"
    return ""


def _untrue(group: pq.RowGroupMetaData, rows: pa.Table) -> Iterator[str]:
    """The columns whose statistics would let a reader skip rows that it must not skip."""
    for place in range(group.num_columns):
        name = group.column(place).path_in_schema
        known: Any = group.column(place).statistics
        values = rows[name]
        if known is None:
            continue
        if known.has_null_count and known.null_count != values.null_count:
            yield name
        if known.has_min_max:
            if pa.types.is_dictionary(values.type):
                values = values.unique().cast(values.type.value_type)
            found = pc.min_max(values)
            low, high = (pa.scalar(each, values.type).as_py() for each in (known.min, known.max))
            least, most = found["min"].as_py(), found["max"].as_py()
            if least is not None and not (low <= least and most <= high):
                yield name


def _has_checksums(stream: Any, metadata: pq.FileMetaData) -> bool:
    """Whether the first page has a checksum: a writer gives one to all pages, or to none."""
    if not metadata.num_row_groups:
        return True
    column = metadata.row_group(0).column(0)
    places = (column.dictionary_page_offset, column.data_page_offset)
    stream.seek(min(place for place in places if place))
    return _has_checksum(stream.read(_HEADER_BYTES))


def _has_checksum(header: bytes) -> bool:
    """Whether a page's header has a checksum: three whole numbers come before it."""
    place = 0
    for _ in range(3):
        place += 1
        while header[place] & 0x80:
            place += 1
        place += 1
    return header[place] == _NEXT_INT
