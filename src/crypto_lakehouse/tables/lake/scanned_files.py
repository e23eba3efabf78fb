"""The data files of a scan: where they are, what they hold, and how Arrow reads them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from attrs import frozen
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.tables.iceberg.bounded_files import check_regular
from crypto_lakehouse.tables.iceberg.inner_names import file_system_of, microseconds_of, path_of
from crypto_lakehouse.tables.iceberg.local_io import LAKE_ROOT, check_read
from crypto_lakehouse.tables.schema.table_types import arrow_schema

__all__ = ["Pruning", "dataset_of", "has_pattern", "literal_glob", "local_path", "time_bounds"]

_MICROSECOND = timedelta(microseconds=1)

_GLOB = re.compile(r"[*?\[]")


@frozen
class Pruning:
    """How much of a table a scan reads.

    Attributes:
        files: Data files that are read.
        files_total: Data files of the table's snapshot.
        rows: Rows in the files that are read.
        rows_total: Rows of the snapshot.
        size_bytes: Bytes of the files that are read.
    """

    files: int
    files_total: int
    rows: int
    rows_total: int
    size_bytes: int

    def __str__(self) -> str:
        files = plural(self.files_total, "file", form=",")
        rows = plural(self.rows_total, "row", form=",")
        size = f"{self.size_bytes / 1e6:,.1f} MB"
        return f"{self.files:,} of {files}, {self.rows:,} of {rows}, {size}"


def time_bounds(table: Table, column: str) -> Any:
    """Return a function that gives the first and last time of a data file, unbounded if unknown."""
    number = table.schema().find_field(column).field_id
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    ever = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))

    def bounds(file: DataFile) -> tuple[datetime, datetime]:
        low, high = (file.lower_bounds or {}).get(number), (file.upper_bounds or {}).get(number)
        if low is None or high is None:
            return ever
        return (
            epoch + microseconds_of(low) * _MICROSECOND,
            epoch + microseconds_of(high) * _MICROSECOND,
        )

    return bounds


def local_path(table: Table, location: str) -> str:
    """The path of a table's local file; any other location is returned unchanged.

    Raises:
        LakeError: It is not a regular file, which could block its reader, or is not in the lake.
    """
    if not location.startswith(("file:", "/")):
        return location
    path = path_of(location, table.io)
    check_regular(path)
    root = table.io.properties.get(LAKE_ROOT)
    if root is not None:  # a shared catalog has no directory
        check_read(path, root)
    return path


def has_pattern(path: str) -> bool:
    r"""Whether there is a pattern that matches only this path, and that DuckDB reads so.

    In patterns it takes a backslash for the end of a folder, and nothing stands for one.

    Examples:
        >>> has_pattern("/data/a[1]"), has_pattern("/data/a\\b"), has_pattern("/data/a[1]\\b")
        (True, True, False)
    """
    return "://" not in path and ("\\" not in path or _GLOB.search(path) is None)


def literal_glob(path: str) -> str:
    """The pattern that matches only this path; DuckDB takes every path for a pattern.

    There is one if `has_pattern` says so.

    Examples:
        >>> literal_glob("/data/a[1]/b?.parquet")
        '/data/a[[]1]/b[?].parquet'
    """
    return _GLOB.sub(r"[\g<0>]", path)


def dataset_of(
    table: Table, locations: Sequence[str], schema: pa.Schema | None = None
) -> ds.Dataset:
    """An Arrow dataset of a table's data files.

    Args:
        table: The table.
        locations: The files.
        schema: The columns, NULL in files that lack them; by default those of the table.
    """
    schema = schema or arrow_schema(table.schema())
    if not locations:
        return ds.dataset(schema.empty_table())
    for location in locations:
        local_path(table, location)
    paths = [path_of(location, table.io) for location in locations]
    files = file_system_of(locations[0], table.io)
    return ds.dataset(paths, schema=schema, format="parquet", filesystem=files)
