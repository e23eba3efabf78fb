"""Find out whether a ledger is damaged, and replace a damaged one by what is sound of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from crypto_lakehouse.core.archive import Archive, Partition
from crypto_lakehouse.ledger.connection import LedgerConnection
from crypto_lakehouse.ledger.refusals import CHECKED_BYTES, is_damage
from crypto_lakehouse.ledger.schema import FOLDERS, TABLES, connect, set_aside, table_columns
from crypto_lakehouse.ledger.soundness import is_archive, is_run, is_version, parse_archive

__all__ = ["damage_at", "rebuild"]

#: All but the rows that are sound at first sight, nearly all of them.
_NOT_PLAIN = """
SELECT * FROM archives
WHERE folder = ? AND (
    verdict = 'verified' AND newer_verdict IS NULL
    AND typeof(size_bytes) = 'integer' AND typeof(mtime_ns) = 'integer'
    AND typeof(sha256) = 'text' AND typeof(published_sha256) IN ('text', 'null')
    AND typeof(etag) IN ('text', 'null') AND typeof(last_modified) IN ('text', 'null')
    AND typeof(sidecar_etag) IN ('text', 'null') AND typeof(accepted_at) IN ('text', 'null')
    AND typeof(first_seen_at) = 'text' AND typeof(last_seen_at) = 'text'
    AND reason = '' AND name GLOB ?
) IS NOT TRUE
"""

#: Stands for the runs whose rows are lost: they may have been asked for more than what is known.
_LOST_RUNS = """
INSERT OR REPLACE INTO runs (run_id, workflow, planned, started_at, finished_at, status)
VALUES ('lost', 'unknown', 0, ?, ?, 'unknown')
"""

_DAY = "[12][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]"
_MONTH = "[12][0-9][0-9][0-9]-[01][0-9]"


def damage_at(path: Path) -> str:
    """Say what is damaged in a ledger, which is created if it is absent; blocking.

    Of a ledger above `CHECKED_BYTES` only the tables' columns are checked.

    Returns:
        The damage; empty if there is none.

    Raises:
        LedgerError: The ledger was written by a later version.
        sqlite3.Error: It cannot be opened for another reason.
    """
    try:
        with closing(connect(path)) as connection:
            return _damage_of(connection, path.stat().st_size)
    except sqlite3.Error as error:
        if path.is_file() and (is_damage(error) or _has_odd_header(path)):
            return str(error)
        raise


def _has_odd_header(path: Path) -> bool:
    """Whether SQLite takes a file for that of a later SQLite, which it opens for reading only.

    Source: sqlite.org/fileformat2.html#file_format_version_numbers
    """
    try:
        with path.open("rb") as file:
            header = file.read(20)
    except OSError:
        return False
    return header.startswith(b"SQLite format 3") and not set(header[18:20]) <= {1, 2}


def _damage_of(connection: LedgerConnection, size_bytes: int) -> str:
    for table in TABLES:
        if table_columns(connection, table) != _expected()[table]:
            return f"the table `{table}` has other columns"
    if size_bytes > CHECKED_BYTES:
        return ""
    ((found,),) = connection.fetch("PRAGMA integrity_check(1)")
    if found != "ok":
        return str(found)
    return _unsound_row(connection)


@cache
def _expected() -> dict[str, list[Any]]:
    with closing(connect(Path(":memory:"))) as new:
        return {table: table_columns(new, table) for table in TABLES}


def _unsound_row(connection: LedgerConnection) -> str:
    for (folder,) in connection.fetch(FOLDERS):
        sample = _an_archive(folder)
        if sample is None:
            return f"a row is not an archive: folder {folder!r}"
        days = _DAY if sample.partition is Partition.DAILY else _MONTH
        for row in connection.fetch(_NOT_PLAIN, (folder, f"{sample.series.stem}{days}.zip")):
            if not is_archive(row):
                return f"the row of `{folder}{row[1]}` has values that no run writes"
    for row in connection.fetch("SELECT * FROM versions"):
        if not is_version(row):
            return f"an earlier version of `{row[0]}{row[1]}` has values that no run writes"
    for row in connection.fetch("SELECT * FROM runs"):
        if not is_run(row):
            return f"the row of the run `{row[0]}` has values that no run writes"
    return ""


def _an_archive(folder: object) -> Archive | None:
    """Return an archive that a folder could contain; None if it is not a folder of archives."""
    if not isinstance(folder, str) or folder.count("/") < 5:
        return None
    parts = folder.split("/")
    depth = 3 if parts[1] == "futures" else 2
    partition, data_type, symbol, *interval = parts[depth:-1]
    period = "2020-01" if partition == Partition.MONTHLY else "2020-01-01"
    return parse_archive(folder, f"{symbol}-{(interval or [data_type])[0]}-{period}.zip")


def rebuild(path: Path) -> tuple[Path, int]:
    """Rename a damaged ledger, and put one in its place that has its sound rows; blocking.

    Archives whose row is lost are verified again by the next run. The history of replaced versions
    and what runs were asked for are in the ledger alone; of these, every readable row is kept.

    Returns:
        The new path of the damaged ledger, and how many rows were kept.

    Raises:
        LedgerError, sqlite3.Error, OSError: The new ledger cannot be written.
    """
    made = path.with_name(f"{path.name}.new")
    _remove(made)
    try:
        with closing(connect(made)) as new, new:
            kept = {table: _copy(path, new, table, is_sound) for table, is_sound in _SOUND.items()}
            if not _has_runs(path, kept["runs"]):
                new.execute(_LOST_RUNS, [datetime.now(UTC).isoformat()] * 2)
    except BaseException:
        _remove(made)
        raise
    aside = set_aside(path)
    made.rename(path)
    return aside, sum(kept.values())


def _has_runs(path: Path, count: int) -> bool:
    """Whether a damaged ledger surely has no more than so many runs."""
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(path, factory=LedgerConnection)) as damaged,
    ):
        return bool(damaged.fetch("SELECT count(*) = ? FROM runs NOT INDEXED", (count,))[0][0])
    return False


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _copy(
    path: Path, new: LedgerConnection, table: str, is_sound: Callable[[Sequence[Any]], bool]
) -> int:
    kept = 0
    for row in _readable(path, table, len(table_columns(new, table))):
        if is_sound(row):
            marks = ", ".join("?" * len(row))
            done = new.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)  # noqa: S608
            kept += done.rowcount
    return kept


def _readable(path: Path, table: str, width: int) -> Iterator[Sequence[Any]]:
    """Yield the rows of a table up to the first that cannot be read."""
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(path, factory=LedgerConnection)) as damaged,
    ):
        damaged.replace_undecodable()
        for row in damaged.execute(f"SELECT * FROM {table}"):  # noqa: S608 - a constant
            if len(row) == width:
                yield row


_SOUND: dict[str, Callable[[Sequence[Any]], bool]] = {
    "archives": is_archive,
    "versions": is_version,
    "runs": is_run,
}
