"""The rows of archives as a table has them, for archives whose zips are not there any more."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

import polars as pl
import pyarrow as pa
from attrs import define, field, frozen
from pyiceberg.table import Table

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.tables.iceberg.data_files import rows_of
from crypto_lakehouse.tables.iceberg.live_files import files_holding
from crypto_lakehouse.tables.ingest.provenance import Standing

__all__ = [
    "ARCHIVE",
    "StoredDay",
    "StoredRows",
    "TableRows",
    "UnclearRows",
    "frame_of_rows",
]

#: The column of a frame that names the archive of a row.
ARCHIVE = "archive"


class StoredRows(Protocol):
    """Reads the rows that archives have in a table, or in files."""

    def rows(self, archives: Iterable[Archive]) -> Iterator[pl.DataFrame]:
        """The rows of some archives, with the column `archive`; no frame is empty."""
        ...


class UnclearRows(ValueError):
    """The table does not say which rows an archive has."""


@frozen(eq=False)
class StoredDay:
    """The rows of a daily archive whose zip is gone, and whose months have changed.

    Rows on which a month agrees with the day are in the table under the month's name. Of the
    month's rows between the first and the last time of the day, the day had all or some; the
    number of its rows tells whether it had all.

    Attributes:
        archive: The day.
        standing: How it stands in the table.
        changed: The archives of its month that have changed; the table has their older versions.
        months: All archives of its month that the table has.
        time: The column of times.
    """

    archive: Archive
    standing: Standing
    changed: list[Archive]
    months: list[Archive]
    time: str

    def rows(self, stored: StoredRows) -> Iterator[pl.DataFrame]:
        """Yield the rows, with the column `archive`; no frame is empty.

        Raises:
            UnclearRows: The months have more rows in that time than the day had.
        """
        yield from stored.rows([self.archive])
        if not self.changed or self.standing.first_at is None:
            return
        count = sum(rows.height for rows in self._inside(stored, self.months))
        had = self.standing.rows_read
        if had is not None and self.standing.rows + count > had:
            raise UnclearRows(
                f"its zip is gone, and the table does not say which of {count:,} rows of its month "
                "it had; collect it again"
            )
        for rows in self._inside(stored, self.changed):
            yield rows.with_columns(pl.lit(self.archive.key).alias(ARCHIVE))

    def _inside(self, stored: StoredRows, months: list[Archive]) -> Iterator[pl.DataFrame]:
        inside = pl.col(self.time).is_between(self.standing.first_at, self.standing.last_at)
        for rows in stored.rows(months):
            found = rows.filter(inside)
            if not found.is_empty():
                yield found


@define(eq=False)
class TableRows:
    """Rows of archives in one state of a table; threads may share it.

    Attributes:
        table: The table.
        archives: The archives whose rows may be asked for; their files are looked up once.
        columns: The columns to read, besides `archive`.
        without: The locations of files that cannot be read.
    """

    table: Table
    archives: tuple[Archive, ...]
    columns: tuple[str, ...]
    without: frozenset[str] = frozenset()
    _files: Mapping[str, list[str]] | None = field(init=False, default=None)
    _lock: threading.Lock = field(init=False, factory=threading.Lock)

    def rows(self, archives: Iterable[Archive]) -> Iterator[pl.DataFrame]:
        """The rows of some archives, with the column `archive`; no frame is empty."""
        wanted: dict[str, set[str]] = defaultdict(set)
        for archive in archives:
            for location in self._locations().get(archive.key, ()):
                wanted[location].add(archive.key)
        for location, keys in wanted.items():
            for rows in rows_of(self.table, location, frozenset(keys)):
                yield frame_of_rows(rows, self.columns)

    def _locations(self) -> Mapping[str, list[str]]:
        with self._lock:
            if self._files is None:
                found: dict[str, list[str]] = defaultdict(list)
                for file, keys in files_holding(self.table, self.archives, self.without):
                    for key in keys:
                        found[key].append(file.file_path)
                self._files = found
            return self._files


def frame_of_rows(rows: pa.Table, columns: Iterable[str]) -> pl.DataFrame:
    """Rows of a table as the reader makes them, and the keys of their archives."""
    place = rows.schema.get_field_index(ARCHIVE)
    rows = rows.set_column(place, ARCHIVE, rows[ARCHIVE].cast(pa.string()))
    found = pl.from_arrow(rows.select([*columns, ARCHIVE]))
    assert isinstance(found, pl.DataFrame)  # noqa: S101 - of a table
    return found
