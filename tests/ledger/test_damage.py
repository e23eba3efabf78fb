"""Ledgers with flipped bits: what is sound of them is kept, and nothing else is believed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from tests.stores.conftest import ARCHIVE, FOLDER, NAME, OTHER, finished

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import LedgerError
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.ledger import refusals
from crypto_lakehouse.ledger.coverage_view import recorded_series
from crypto_lakehouse.ledger.history import changes_since, versions_of
from crypto_lakehouse.ledger.sqlite import SqliteLedger

REPLACED: dict[str, Any] = {
    "change": "replaced",
    "kept_as": f".lakehouse/replaced/{FOLDER}{NAME}/old.zip",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger of two archives, one of which was replaced."""
    path = tmp_path / "ledger.sqlite"
    opened, _ = SqliteLedger.open(path)
    with closing(opened):
        opened.write([finished(), finished(archive=OTHER)])
        opened.write([finished(sha256="c" * 64, published_sha256="c" * 64, **REPLACED)])
    return path


def change(path: Path, statement: str) -> None:
    """Change the file as a flipped bit does: whatever the table's declarations say."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(statement)


def every_reader(path: Path) -> Iterator[object]:
    """All that a command reads without the lock."""
    yield from recorded_series(path)
    yield from changes_since(path, date.min)
    yield from versions_of(path, ARCHIVE)
    yield from versions_of(path, OTHER)


#: What makes a row unsound: a statement, and how many rows are kept.
UNSOUND = {
    "an unknown verdict": ("UPDATE archives SET verdict = 'verifiee' WHERE name = '{name}'", 2),
    "an unknown newer verdict": (
        "UPDATE archives SET newer_verdict = 'x' WHERE name = '{name}'",
        2,
    ),
    "a size that is a text": ("UPDATE archives SET size_bytes = 'x7' WHERE name = '{name}'", 2),
    "a negative size": ("UPDATE archives SET size_bytes = -5 WHERE name = '{name}'", 2),
    "a size that no archive has": (
        "UPDATE archives SET size_bytes = 9223372036854775807 WHERE name = '{name}'",
        2,
    ),
    "a negative size of an earlier version": ("UPDATE versions SET size_bytes = -5", 2),
    "a path out of the output directory": ("UPDATE versions SET kept_as = '../../x.zip'", 2),
    "an absolute path": ("UPDATE versions SET kept_as = '/etc/passwd'", 2),
    "a path that a terminal obeys": (
        "UPDATE versions SET kept_as = kept_as || char(27) || ']0;x'",
        2,
    ),
    "a mark that is a text": ("UPDATE archives SET mtime_ns = 'x' WHERE name = '{name}'", 2),
    "an ETag that is no text": ("UPDATE archives SET etag = x'ff' WHERE name = '{name}'", 2),
    "a date that is no text": ("UPDATE archives SET last_seen_at = x'41' WHERE name = '{name}'", 2),
    "a reason that is no text": ("UPDATE archives SET reason = x'41' WHERE name = '{name}'", 2),
    "a digest that is no text": ("UPDATE archives SET sha256 = x'64' WHERE name = '{name}'", 2),
    "a digest of another length": ("UPDATE archives SET sha256 = 'ab' WHERE name = '{name}'", 2),
    "a published digest that is none": (
        "UPDATE archives SET published_sha256 = upper(sha256) WHERE name = '{name}'",
        2,
    ),
    "a date that is none": (
        "UPDATE archives SET first_seen_at = 'zz' || char(27) || '[2J' WHERE name = '{name}'",
        2,
    ),
    "a date that goes on": (
        "UPDATE archives SET last_seen_at = last_seen_at || char(10) WHERE name = '{name}'",
        2,
    ),
    "an accepted moment that is none": (
        "UPDATE archives SET accepted_at = 'x' WHERE name = '{name}'",
        2,
    ),
    "a digest of an earlier version that is none": ("UPDATE versions SET sha256 = 'x'", 2),
    "a change whose date is none": ("UPDATE versions SET changed_at = 'z'", 2),
    "a name that is not UTF-8": (
        "UPDATE archives SET name = CAST(x'ff' || substr(name, 2) AS TEXT) WHERE name = '{name}'",
        2,
    ),
    "a name of another series": (
        "UPDATE archives SET name = 'C' || substr(name, 2) WHERE name = '{name}'",
        2,
    ),
    "a name without a period": ("UPDATE archives SET name = 'x.zip' WHERE name = '{name}'", 2),
    "a folder that is not UTF-8": (
        "UPDATE archives SET folder = CAST(x'64ff' AS TEXT) WHERE name = '{name}'",
        2,
    ),
    "a folder that is no text": ("UPDATE archives SET folder = x'64' WHERE name = '{name}'", 2),
    "a listing of no folder": ("INSERT INTO listings VALUES ('x', '', '', 1, 1, '')", 3),
    "an unknown verdict on an earlier version": ("UPDATE versions SET verdict = 'x'", 2),
    "an unknown change": ("UPDATE versions SET change = 'x'", 2),
    "a change whose date is no text": ("UPDATE versions SET changed_at = x'41'", 2),
    "an earlier version of another day": (
        "UPDATE versions SET name = replace(name, '15.zip', '17.zip')",
        2,
    ),
    "the kept bytes of another day": (
        "UPDATE versions SET kept_as = replace(kept_as, '15.zip', '17.zip')",
        2,
    ),
    "a path that is not UTF-8": ("UPDATE versions SET kept_as = CAST(x'ff' AS TEXT)", 2),
}


@pytest.mark.parametrize("what", UNSOUND)
async def test_a_row_that_no_run_writes_is_dropped_and_the_others_are_kept(
    path: Path, what: str
) -> None:
    statement, kept = UNSOUND[what]
    change(path, statement.format(name=NAME))
    before = path.read_bytes()
    opened, note = SqliteLedger.open(path)
    with closing(opened):
        (aside,) = path.parent.glob("ledger.sqlite.damaged-*")
        assert (
            f"moved to `{aside.name}`, {kept} of its rows {'was' if kept == 1 else 'were'} kept"
            in note
        )
        assert aside.read_bytes() == before
        assert list(await opened.rows(OTHER.folder)) == [OTHER.name]
        opened.write([finished()])
    assert [*every_reader(path)]
    again, note = SqliteLedger.open(path)
    again.close()
    assert note == ""


@pytest.mark.parametrize("what", UNSOUND)
async def test_readers_ignore_such_a_row_or_say_that_the_ledger_is_damaged(
    path: Path, what: str
) -> None:
    change(path, UNSOUND[what][0].format(name=NAME))
    before = path.read_bytes()
    try:
        assert [*every_reader(path)]
    except LedgerError as error:
        assert "the next `collect` sets it aside and rebuilds it" in error.reason
    with closing(SqliteLedger.open_read_only(path)) as ledger:
        for folder in await ledger.folders():
            assert folder.startswith("data/")
        rows = await ledger.rows(FOLDER)
        assert NAME not in rows or rows[NAME].verdict is Verdict.VERIFIED
        assert all(isinstance(mark, int) for _, mark in ledger.verified_now(FOLDER).values())
        assert set(ledger.objects_now(FOLDER)) <= {NAME} | {*ledger.verified_now(FOLDER)}
        kept = await ledger.archives_of(Verdict)
        assert all(isinstance(archive, Archive) for archive in kept)
        assert OTHER in kept
    assert path.read_bytes() == before


#: What makes the file no ledger any more, though SQLite opens it.
MISSHAPEN = {
    "a dropped column": "ALTER TABLE archives DROP COLUMN newer_verdict",
    "a renamed column": "ALTER TABLE versions RENAME COLUMN verdict TO verdicu",
    "a dropped table": "DROP TABLE parts",
    "a renamed table": "ALTER TABLE archives RENAME TO archivet",
    "tables without a version": "PRAGMA user_version = 0",
    "tables of a later version": "PRAGMA user_version = 1",
    "a schema that cannot be parsed": (
        "UPDATE sqlite_schema SET sql = replace(sql, 'CREATE', 'CSEATE') WHERE name = 'runs'"
    ),
}


#: Endless, in the place of a table.
ENDLESS = """
CREATE VIEW {0} AS WITH RECURSIVE r (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r)
SELECT hidden.* FROM hidden, r
"""

#: What does something when a row is read or written.
FOREIGN = {
    "a trigger that refuses rows": (
        "CREATE TRIGGER t BEFORE INSERT ON archives BEGIN SELECT raise(ABORT, 'no'); END",
    ),
    "a trigger that deletes rows": (
        "CREATE TRIGGER t AFTER UPDATE ON archives BEGIN DELETE FROM archives; END",
    ),
    **{
        f"an endless view for {table}": (
            f"ALTER TABLE {table} RENAME TO hidden",
            ENDLESS.format(table),
        )
        for table in ("archives", "versions", "runs")
    },
    "one more view": ("CREATE VIEW more AS SELECT * FROM archives",),
}


@pytest.mark.parametrize("what", FOREIGN)
async def test_views_and_triggers_are_refused_and_set_aside(path: Path, what: str) -> None:
    for statement in FOREIGN[what]:
        change(path, statement)
    with pytest.raises(LedgerError, match=r"which no run makes; the next `collect` sets it aside"):
        [*every_reader(path)]
    with pytest.raises(LedgerError, match="which no run makes; the next `collect` sets it aside"):
        SqliteLedger.open_read_only(path)
    opened, note = SqliteLedger.open(path)
    with closing(opened):
        assert "which no run makes" in note
        opened.write([finished()])
        assert list(await opened.rows(FOLDER)) == [NAME]
    again, note = SqliteLedger.open(path)
    again.close()
    assert note == ""


async def test_a_size_that_a_source_lists_and_no_archive_has_is_not_stored(path: Path) -> None:
    opened, _ = SqliteLedger.open(path)
    with closing(opened):
        opened.write([finished(size_bytes=1 << 62)])
        assert (await opened.rows(FOLDER))[NAME].facts.size_bytes is None
    again, note = SqliteLedger.open(path)
    again.close()
    assert note == ""


@pytest.mark.parametrize(
    "statement",
    ["DROP TABLE archives", "ALTER TABLE archives DROP COLUMN newer_verdict"],
)
async def test_a_reader_of_other_tables_names_the_remedy(path: Path, statement: str) -> None:
    change(path, statement)
    with (
        closing(SqliteLedger.open_read_only(path)) as ledger,
        pytest.raises(LedgerError, match="the next `collect` sets it aside"),
    ):
        await ledger.rows(FOLDER)


@pytest.mark.parametrize("how", MISSHAPEN)
async def test_a_ledger_with_other_tables_is_set_aside(path: Path, how: str) -> None:
    change(path, MISSHAPEN[how])
    try:
        assert [*every_reader(path)]
    except LedgerError as error:
        assert "the next `collect` sets it aside" in error.reason or "`collect` up" in error.reason
    opened, note = SqliteLedger.open(path)
    with closing(opened):
        assert "is damaged" in note
        assert (await opened.rows(FOLDER)).keys() <= {NAME}
        opened.write([finished()])
        assert list(await opened.rows(FOLDER)) == [NAME]


def test_a_ledger_of_a_later_sqlite_by_a_flipped_bit_is_set_aside(path: Path) -> None:
    """SQLite opens such a file for reading only, and then says that it may not be written."""
    data = bytearray(path.read_bytes())
    data[18] = 6
    path.write_bytes(data)
    opened, note = SqliteLedger.open(path)
    opened.close()
    assert "is damaged" in note


def test_the_history_survives_the_loss_of_the_archives(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        ((page, size),) = connection.execute(
            "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_schema"
            " WHERE name = 'archives'"
        )
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * 64)
    opened, note = SqliteLedger.open(path)
    opened.close()
    assert "1 of its rows was kept" in note
    (version,) = versions_of(path, ARCHIVE)
    assert version.kept_as == REPLACED["kept_as"]


def test_a_large_ledger_is_not_read_whole_and_the_error_says_how_it_is_rebuilt(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(path, "UPDATE archives SET verdict = 'x'")
    moved = "the next `collect` rebuilds it from .* if you move it away"
    for module in ("refusals", "rebuild"):
        monkeypatch.setattr(f"{refusals.__package__}.{module}.CHECKED_BYTES", 100)
    opened, note = SqliteLedger.open(path)
    opened.close()
    assert note == ""
    with pytest.raises(LedgerError, match=moved):
        list(recorded_series(path))


def test_a_damaged_ledger_that_cannot_be_replaced_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b"no database" * 100)

    def refuse(_path: Path, _target: Path) -> Path:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(LedgerError, match="cannot be replaced: Permission denied; move it away"):
        SqliteLedger.open(path)
    assert path.read_bytes() == b"no database" * 100
