"""The plain Parquet files of one table: which archives each has, and in which version.

A file's metadata names its archives. That of a month and its days is the month's file: their rows
are merged in it, and the days have no files of their own.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from attrs import field, frozen

from crypto_lakehouse.core.archive import Archive, Period, Series
from crypto_lakehouse.core.errors import ArchiveKeyError
from crypto_lakehouse.tables.iceberg.data_files import rows_in, written_schema
from crypto_lakehouse.tables.iceberg.local_io import check_inside, delete_below
from crypto_lakehouse.tables.ingest.overlaps import DAY_RANK, overlapping, rank
from crypto_lakehouse.tables.ingest.provenance import Standing
from crypto_lakehouse.tables.ingest.stored_rows import frame_of_rows
from crypto_lakehouse.tables.schema.schemas import TableSchema
from crypto_lakehouse.tables.schema.table_types import iceberg_schema

__all__ = ["FileRows", "MonthFiles", "ParquetFile", "ParquetFolder", "notes_of"]

_ARCHIVES = b"crypto-lakehouse.archives"
_EXACT = b"crypto-lakehouse.exact"

#: Of files of earlier versions, each of which has one archive.
_SHA256 = b"crypto-lakehouse.sha256"

_IDS = ("first_id", "last_id", "first_trade_id", "last_trade_id")

_PERIOD = re.compile(r"-([0-9]{4}-[0-9]{1,2}(?:-[0-9]{2})?)\.parquet")

_Month = tuple[int, int]


@frozen(eq=False)
class ParquetFile:
    """One file.

    Attributes:
        path: Its path.
        standings: How its archives stand in it, by key.
        exact: Whether its numbers are decimals.
        is_listed: Whether it names all archives that it was made of; files of earlier versions
            name one.
    """

    path: Path
    standings: Mapping[str, Standing]
    exact: bool
    is_listed: bool = True


@frozen(eq=False)
class MonthFiles:
    """The files of one series and month."""

    files: tuple[ParquetFile, ...] = ()

    @property
    def standings(self) -> Mapping[str, Standing]:
        """How the archives of the month stand, by key."""
        return {key: each for file in self.files for key, each in file.standings.items()}

    def must_be_written(self, keys: Container[str], *, exact: bool) -> bool:
        """Whether archives are to be written again although none of them has changed.

        They are if their numbers are of the other kind, and if several files may have the same
        rows, as an earlier version could leave them.

        Args:
            keys: The keys of the archives.
            exact: Whether numbers are to be decimals.
        """
        ranks = {min(rank(Archive.parse(key)) for key in file.standings) for file in self.files}
        others = (file for file in self.files if file.exact != exact)
        # A day and its segment have one file.
        several = len(ranks) > 1 and min(ranks) < DAY_RANK
        return several or any(key in keys for file in others for key in file.standings)


@frozen(eq=False)
class ParquetFolder:
    """The files of one table.

    Attributes:
        root: The folder of all tables.
        schema: The table.
    """

    root: Path
    schema: TableSchema
    _months: dict[Series, Mapping[_Month, list[Archive]]] = field(init=False, factory=dict)

    def path(self, archive: Archive) -> Path:
        """The path of an archive's file, which is that of its segment, too."""
        return self._below(self.root, archive)

    def whole_path(self, archive: Archive) -> Path:
        """The path of the file of an archive's month."""
        return self.path(_month_of(archive))

    def differences_path(self, archive: Archive) -> Path:
        """The path of the file with the differences between an archive and those of its time.

        Args:
            archive: A month, or a day that is merged with nothing but its segment.
        """
        return self._below(self.root / "lakehouse" / "differences", archive)

    def _below(self, root: Path, archive: Archive) -> Path:
        folder = root / self.schema.namespace / self.schema.table
        if archive.interval:
            folder /= f"interval={archive.interval}"
        name = f"{archive.name.removesuffix(archive.origin.suffix)}.parquet"
        return folder / f"symbol={archive.symbol}" / name

    def month(self, archive: Archive) -> MonthFiles:
        """The files of the series and month of an archive.

        Files that a killed run should have removed are: those of archives that the month's file
        has.

        Raises:
            LakeError: A symbolic link leads out of the folder.
        """
        if archive.series not in self._months:
            self._months[archive.series] = self._listed(archive)
        day = archive.period.first_day
        there = self._months[archive.series].get((day.year, day.month), [])
        found = {each: _read(self.path(each), each) for each in there}
        files = {each: file for each, file in found.items() if file is not None}
        whole = files.get(_month_of(archive))
        if whole is not None and whole.is_listed:
            for each, file in [*files.items()]:
                if file is not whole and file.standings.keys() <= whole.standings.keys():
                    delete_below(str(self.root), str(file.path))
                    del files[each]
        return MonthFiles(tuple(files.values()))

    def _listed(self, archive: Archive) -> Mapping[_Month, list[Archive]]:
        """The archives of a series after which files are named, by month."""
        found: dict[_Month, list[Archive]] = defaultdict(list)
        folder = self.path(archive).parent
        check_inside(str(folder), str(self.root))
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
            for entry in entries:
                period = _period(entry.name)
                if period is None or not entry.is_file(follow_symlinks=False):
                    continue
                named = Archive(archive.series, period)
                if self.path(named).name == entry.name:
                    found[period.first_day.year, period.first_day.month].append(named)
        return found


def _month_of(archive: Archive) -> Archive:
    return Archive(archive.series, Period.month(archive.period.first_day))


def _period(name: str) -> Period | None:
    match = _PERIOD.search(name)
    if match is None or match.end() != len(name):
        return None
    try:
        return Period.parse(match[1])
    except ArchiveKeyError:
        return None


def _read(path: Path, archive: Archive) -> ParquetFile | None:
    """Read which archives a file has; None if it is damaged, or is no file of this program."""
    try:
        with path.open("rb") as stream:
            known = pq.read_metadata(stream)
        notes = known.metadata or {}
        exact = notes[_EXACT] == b"true"
        if _ARCHIVES not in notes:
            one = Standing("ingested", notes[_SHA256].decode(), known.num_rows)
            return ParquetFile(path, {archive.key: one}, exact, is_listed=False)
        plain = json.loads(notes[_ARCHIVES])
        standings = {key: _standing(each) for key, each in plain.items()}
        may_be = {each.key for each in overlapping(_month_of(archive))}
        is_known = standings and standings.keys() <= may_be
        return ParquetFile(path, standings, exact) if is_known else None
    except (OSError, pa.ArrowException, AttributeError, LookupError, TypeError, ValueError):
        return None


def _standing(plain: Mapping[str, Any]) -> Standing:
    times = {name: plain[name] for name in ("first_at", "last_at")}
    known = {name: text and datetime.fromisoformat(text) for name, text in times.items()}
    return Standing(**{**plain, **known})


def notes_of(standings: Mapping[str, Standing], *, exact: bool) -> dict[str, str]:
    """The metadata of a file that has these archives."""
    plain = {
        key: {
            "state": each.state,
            "sha256": each.sha256,
            "rows": each.rows,
            "first_at": each.first_at and each.first_at.isoformat(),
            "last_at": each.last_at and each.last_at.isoformat(),
            "rows_read": each.rows_read,
            **{name: getattr(each, name) for name in _IDS},
            "verdict": each.verdict,
        }
        for key, each in standings.items()
    }
    return {_ARCHIVES.decode(): json.dumps(plain), _EXACT.decode(): str(exact).lower()}


@frozen(eq=False)
class FileRows:
    """Rows of archives in the files of one month, as `StoredRows`.

    Attributes:
        schema: The table.
        exact: Whether the rows are to have decimals, whatever the files have.
        month: The files.
    """

    schema: TableSchema
    exact: bool
    month: MonthFiles

    def rows(self, archives: Iterable[Archive]) -> Iterator[pl.DataFrame]:
        """The rows of some archives, with the column `archive`; no frame is empty."""
        keys = {archive.key for archive in archives}
        columns = [column.name for column in self.schema.stored]
        wanted = written_schema(iceberg_schema(self.schema, exact=self.exact))
        for file in self.month.files:
            there = frozenset(keys & file.standings.keys())
            if not there:
                continue
            has = written_schema(iceberg_schema(self.schema, exact=file.exact))
            with file.path.open("rb") as stream:
                for rows in rows_in(stream, has, there):
                    yield frame_of_rows(_converted(rows, wanted), columns)


def _converted(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Convert numbers to the other kind; by their shortest text, so that 0.1 stays 0.1."""
    for place, wanted in enumerate(schema):
        column = rows.column(place)
        if column.type != wanted.type:
            rows = rows.set_column(place, wanted, column.cast(pa.string()).cast(wanted.type))
    return rows
