"""Create a ledger; find out whether one is damaged, and replace it by what is sound of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from crypto_lakehouse.core.archive import Partition
from crypto_lakehouse.ledger.connection import LedgerConnection
from crypto_lakehouse.ledger.refusals import CHECKED_BYTES, is_damage
from crypto_lakehouse.ledger.schema import (
    FOLDERS,
    LOST_RUN,
    TABLES,
    connect,
    foreign_objects,
    set_aside,
    table_columns,
)
from crypto_lakehouse.ledger.soundness import (
    LARGEST_BYTES,
    an_archive_in,
    is_archive,
    is_fill,
    is_run,
    is_version,
)

__all__ = ["create", "damage_at", "rebuild"]

_DAY = "[12][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]"
_MONTH = "[12][0-9][0-9][0-9]-[01][0-9]"
_SECOND = f"{_DAY}T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]+00:00"

#: All but the rows that are sound at first sight, nearly all of them. A digest of the right length
#: that is no hexadecimal number is left to the readers, which ignore its row: to look at each
#: character would take longer than everything else.
_NOT_PLAIN = f"""
SELECT * FROM archives
WHERE folder = ? AND (
    verdict = 'verified' AND newer_verdict IS NULL
    AND typeof(size_bytes) = 'integer' AND size_bytes BETWEEN 0 AND {LARGEST_BYTES}
    AND typeof(mtime_ns) = 'integer'
    AND typeof(sha256) = 'text' AND length(sha256) = 64
    AND coalesce(published_sha256, sha256) = sha256
    AND typeof(etag) IN ('text', 'null') AND typeof(last_modified) IN ('text', 'null')
    AND typeof(sidecar_etag) IN ('text', 'null')
    AND typeof(accepted_at) IN ('text', 'null')
    AND coalesce(accepted_at, last_seen_at) GLOB '{_SECOND}'
    AND typeof(first_seen_at) = 'text' AND first_seen_at GLOB '{_SECOND}'
    AND typeof(last_seen_at) = 'text' AND last_seen_at GLOB '{_SECOND}'
    AND reason = '' AND name GLOB ?
) IS NOT TRUE
"""  # noqa: S608 - constants only

#: Stands for the runs whose rows are lost: they may have been asked for more than what is known.
_LOST_RUNS = """
INSERT OR REPLACE INTO runs (run_id, workflow, planned, started_at, finished_at, status)
VALUES (?, 'unknown', 0, ?, ?, 'unknown')
"""


def create(path: Path) -> None:
    """Create a ledger in one step, so that a reader finds none or a whole one; blocking.

    The caller must hold the lock of the output directory.

    Raises:
        sqlite3.Error, OSError: It cannot be written.
    """
    with _made(path) as made, closing(connect(made)):
        pass
    made.rename(path)


@contextmanager
def _made(path: Path) -> Iterator[Path]:
    """Give the name under which a ledger is written before it gets its own; remove a failed one."""
    made = path.with_name(f"{path.name}.new")
    _remove(made)
    try:
        yield made
    except BaseException:
        _remove(made)
        raise


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
    if found := foreign_objects(connection):
        return found
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
        sample = an_archive_in(folder)
        if sample is None:
            return f"a row is not an archive: folder {folder!r}"
        days = _DAY if sample.partition is Partition.DAILY else _MONTH
        for row in connection.fetch(_NOT_PLAIN, (folder, f"{sample.series.stem}{days}.zip")):
            if not is_archive(row):
                return f"the row of `{folder}{row[1]}` has values that no run writes"
    for table, is_sound, name in (
        ("versions", is_version, "an earlier version of `{0}{1}`"),
        ("runs", is_run, "the row of the run `{0}`"),
        ("fills", is_fill, "the row of the segment `{0}{1}`"),
    ):
        for row in connection.fetch(f"SELECT * FROM {table}"):  # noqa: S608 - constants only
            if not is_sound(row):
                return f"{name.format(*row)} has values that no run writes"
    return ""


def rebuild(path: Path) -> tuple[Path, int]:
    """Rename a damaged ledger, and put one in its place that has its sound rows; blocking.

    Archives whose row is lost are verified again by the next run. The history of replaced versions
    and what runs were asked for are in the ledger alone; of these, every readable row is kept.

    Returns:
        The new path of the damaged ledger, and how many rows were kept.

    Raises:
        LedgerError, sqlite3.Error, OSError: The new ledger cannot be written.
    """
    with _made(path) as made, closing(connect(made)) as new, new:
        kept = {table: _copy(path, new, table, is_sound) for table, is_sound in _SOUND.items()}
        if not _has_runs(path, kept["runs"]):
            now = datetime.now(UTC).isoformat()
            new.execute(_LOST_RUNS, (LOST_RUN, now, now))
    aside = set_aside(path)
    made.rename(path)
    return aside, sum(kept.values())


def _has_runs(path: Path, count: int) -> bool:
    """Whether a damaged ledger surely has no more than so many runs."""
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(path, factory=LedgerConnection)) as damaged,
    ):
        return _is_table(damaged, "runs") and bool(
            damaged.fetch("SELECT count(*) = ? FROM runs NOT INDEXED", (count,))[0][0]
        )
    return False


def _is_table(connection: LedgerConnection, name: str) -> bool:
    query = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?"
    return bool(connection.fetch(query, (name,))[0][0])


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
        if not _is_table(damaged, table):
            return  # a view may have rows without end
        for row in damaged.execute(f"SELECT * FROM {table}"):  # noqa: S608 - a constant
            if len(row) == width:
                yield row


_SOUND: dict[str, Callable[[Sequence[Any]], bool]] = {
    "archives": is_archive,
    "versions": is_version,
    "runs": is_run,
    "fills": is_fill,
}
