"""Goes on with `lakehouse.archives` after data files of it are gone or cut.

The records in such a file are lost, and what another file has of the same archives may be older.
So each archive that the file may have had is recorded again, without a digest: an ingestion then
reads its zip, as that of a new version. One commit takes the file out of the table and adds these
records.
"""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time
from typing import Any

from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.data_files import (
    partition_of,
    rows_by_archive,
    rows_without,
)
from crypto_lakehouse.tables.iceberg.file_check import wrong_sizes
from crypto_lakehouse.tables.iceberg.live_files import archives_between, live_files
from crypto_lakehouse.tables.ingest.commits import newest_sequence
from crypto_lakehouse.tables.ingest.journal import Journal
from crypto_lakehouse.tables.ingest.provenance import ARCHIVES, newest_of, record

__all__ = ["mend_records"]


def mend_records(catalog: LakeCatalog, tool_version: str) -> tuple[str, ...]:
    """Take the damaged files out of `lakehouse.archives`; the caller must hold the lake's lock.

    Nothing is done for a table of which data files are damaged, too: its rows cannot be counted.

    Returns:
        The keys of the archives that are recorded without a digest now, sorted.

    Raises:
        LakeError: The tables cannot be read or written.
    """
    keys: list[str] = []
    with catalog.errors():
        archives = catalog.find(ARCHIVES) if catalog.name is None else None
        if archives is None:
            return ()
        damaged: dict[str, list[DataFile]] = defaultdict(list)
        for file in wrong_sizes(archives, live_files(archives)):
            damaged[partition_of(file)[0]].append(file)
        for name, files in sorted(damaged.items()):
            data = catalog.find(name)
            if data is None or not wrong_sizes(data, live_files(data)):
                rows = [*_records(catalog, name, data, files, tool_version)]
                _replace(catalog, rows, data, files)
                keys += [row["archive"] for row in rows]
    return tuple(sorted(keys))


def _replace(
    catalog: LakeCatalog, rows: list[dict[str, Any]], data: Table | None, files: list[DataFile]
) -> None:
    with Journal(catalog.place.journals, rows[0]["commit"], ARCHIVES):
        sequence = None if data is None else newest_sequence(data)
        record(catalog, rows, table_sequence=sequence, damaged=tuple(files))


def _records(
    catalog: LakeCatalog, name: str, data: Table | None, files: list[DataFile], tool_version: str
) -> Iterator[dict[str, Any]]:
    """The new records of the archives that damaged files may have had."""
    archives = catalog.catalog.load_table(ARCHIVES)
    known = _known(archives, name, files)
    counts: Counter[str] = Counter()
    if data is not None:
        for file in live_files(data):
            counts.update(rows_by_archive(data, file))
    candidates = sorted({*known, *counts})
    uncertain = frozenset[str]().union(
        *(archives_between(archives, file, candidates) for file in files)
    )
    commit = uuid.uuid4().hex
    for key in sorted(uncertain):
        state = "ingested" if counts[key] else known[key]["state"]
        yield _without_digest(key, name, state, counts[key], commit, tool_version)


def _known(archives: Table, name: str, damaged: list[DataFile]) -> Mapping[str, dict[str, Any]]:
    """The newest records of a table's archives in the files that are whole."""
    gone = {file.file_path for file in damaged}
    rows = (
        row
        for file in live_files(archives)
        if file.file_path not in gone and partition_of(file) == (name,)
        for group in rows_without(archives, file.file_path)
        for row in group.to_pylist()
    )
    return newest_of(rows, archives.schema().column_names)


def _without_digest(
    key: str, table: str, state: str, rows: int, commit: str, tool_version: str
) -> dict[str, Any]:
    """A record of an archive of which only the rows in the table are known.

    Its times are those of its period, so that a merge takes no row of a month for none of its own.
    """
    period = Archive.parse(key).period
    sentence = "its record was in a data file that is damaged or gone"
    return {
        "archive": key, "table": table, "state": state, "sha256": "",
        "rows": rows, "rows_read": rows,
        "first_at": datetime.combine(period.first_day, time.min, UTC).isoformat(),
        "last_at": datetime.combine(period.last_day, time.max, UTC).isoformat(),
        "first_id": None, "last_id": None,
        "time_unit": "", "header": False, "columns": "", "verdict": "unknown",
        "findings": f'[{{"check": "record", "severity": "error", "sentence": "{sentence}"}}]',
        "tool_version": tool_version, "commit": commit,
        "recorded_at": datetime.now(UTC).isoformat(),
    }  # fmt: skip
