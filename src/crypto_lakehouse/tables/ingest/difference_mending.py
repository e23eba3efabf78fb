"""Goes on with what was found by comparing archives after data files of it are gone or cut.

What is in such a file of `lakehouse.differences` or `lakehouse.recorded_days` is lost, and follows
from the contents of archives alone. So one archive of each month, or of each day if there is no
month, that the file may have had is recorded again without a digest: an ingestion then reads it as
a new version, and compares all of them. Only after these records the file leaves the table: if a
run is killed between the two, the next one begins again.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import pyarrow as pa
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from crypto_lakehouse.core.archive import Archive, Origin, Period, Series
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.data_files import partition_of
from crypto_lakehouse.tables.iceberg.file_check import wrong_sizes
from crypto_lakehouse.tables.iceberg.filters import equals
from crypto_lakehouse.tables.iceberg.live_files import archives_between, live_files
from crypto_lakehouse.tables.ingest.commits import newest_sequence
from crypto_lakehouse.tables.ingest.journal import Journal
from crypto_lakehouse.tables.ingest.overlaps import DAY_RANK, rank
from crypto_lakehouse.tables.ingest.provenance import (
    ARCHIVES,
    PRESENT,
    newest_rows,
    record,
    recorded_again,
)
from crypto_lakehouse.tables.ingest.records import RecordChange, write_records
from crypto_lakehouse.tables.schema.table_types import arrow_schema

__all__ = ["mend_differences"]

_Row = Mapping[str, Any]


def mend_differences(
    catalog: LakeCatalog, records: str, tool_version: str, is_there: Callable[[str], bool]
) -> tuple[str, ...]:
    """Take the damaged files out of a table; the caller must hold the lake's lock.

    Args:
        catalog: The lake's tables.
        records: The table: `DIFFERENCES` or `RECORDED_DAYS`.
        tool_version: Recorded with each archive.
        is_there: Whether the zip of an archive, by its key, can be read again.

    Returns:
        The keys of archives by which months are compared again once their zips are there, sorted:
        no zip of the month is there now.

    Raises:
        LakeError: The tables cannot be read or written.
    """
    with catalog.errors():
        found = catalog.find(records) if catalog.name is None else None
        if found is None:
            return ()
        damaged: dict[str, list[DataFile]] = defaultdict(list)
        for file in wrong_sizes(found, live_files(found)):
            damaged[partition_of(file)[0]].append(file)
        waiting: list[str] = []
        for name, files in sorted(damaged.items()):
            chosen = [_one_of(rows, is_there) for rows in _compared(catalog, name, found, files)]
            commit = uuid.uuid4().hex
            _forget_digests(catalog, name, chosen, commit, tool_version)
            _remove(catalog, records, name, files, commit, tool_version)
            waiting += (row["archive"] for row in chosen if not is_there(row["archive"]))
    return tuple(sorted(waiting))


def _compared(
    catalog: LakeCatalog, name: str, differences: Table, files: Sequence[DataFile]
) -> Iterator[list[_Row]]:
    """The archives that are compared, of which damaged files may have had something, by records."""
    months: dict[tuple[Series, int, int], list[_Row]] = defaultdict(list)
    for key, row in newest_rows(catalog.find(ARCHIVES), equals("table", name)).items():
        archive = Archive.parse(key)
        day = archive.period.first_day
        if row["state"] in PRESENT:
            months[archive.series, day.year, day.month].append(row)
    for some in months.values():
        for rows in _together(some):
            archives = [Archive.parse(row["archive"]) for row in rows]
            keys = {each.key for each in archives}
            # The score of a day has the name of its archive, whether there is one or a month.
            keys |= {
                Archive(each.series, Period.day(each.period.first_day)).key for each in archives
            }
            is_near = (archives_between(differences, file, sorted(keys)) for file in files)
            if len({*map(rank, archives)}) > 1 and any(is_near):
                yield rows


def _together(rows: list[_Row]) -> Iterator[list[_Row]]:
    """Divide the archives of a month into those that are compared with each other."""
    if any(rank(Archive.parse(row["archive"])) < DAY_RANK for row in rows):
        yield rows
        return
    days: dict[date, list[_Row]] = defaultdict(list)
    for row in rows:
        days[Archive.parse(row["archive"]).period.first_day].append(row)
    yield from days.values()


def _one_of(rows: list[_Row], is_there: Callable[[str], bool]) -> _Row:
    """An archive whose zip is there, if possible with rows under its own name.

    Recordings are not read again for it.
    """

    def preference(row: _Row) -> tuple[bool, bool, bool]:
        key = row["archive"]
        return Origin.of(key) is not Origin.LIVE, is_there(key), row["state"] == "ingested"

    return max(rows, key=preference)


def _forget_digests(
    catalog: LakeCatalog, name: str, rows: Sequence[_Row], commit: str, tool_version: str
) -> None:
    data = catalog.find(name)
    again = [
        recorded_again(row, sha256="", commit=commit, tool_version=tool_version) for row in rows
    ]
    if again:
        with Journal(catalog.place.journals, commit, ARCHIVES):
            sequence = None if data is None else newest_sequence(data)
            record(catalog, again, table_sequence=sequence)


def _remove(
    catalog: LakeCatalog,
    records: str,
    name: str,
    files: Sequence[DataFile],
    commit: str,
    tool_version: str,
) -> None:
    table = catalog.catalog.load_table(records)
    change = RecordChange(
        of_table=name,
        rows=pa.Table.from_pylist([], schema=arrow_schema(table.schema())),
        damaged=tuple(files),
        commit=commit,
        tool_version=tool_version,
    )
    write_records(catalog, table, change)
