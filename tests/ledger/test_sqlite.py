"""The ledger: what is written is read, wholly or not at all, and never in the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.ledger.conftest import query
from tests.stores.conftest import (
    ARCHIVE,
    FOLDER,
    NAME,
    NOON,
    OTHER,
    finished,
    run_finished,
    run_started,
)

from crypto_lakehouse.core.errors import LedgerError
from crypto_lakehouse.core.events import ArchiveFinished
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.ledger.schema import SCHEMA_VERSION
from crypto_lakehouse.ledger.sqlite import SqliteLedger


def test_when_an_archive_was_first_seen_is_kept(ledger: SqliteLedger, path: Path) -> None:
    ledger.write([finished(Verdict.MISSING, reason="not there")])
    query(path, "UPDATE archives SET first_seen_at = 'then', last_seen_at = 'then'")
    ledger.write([finished()])
    ((first, last, verdict, reason),) = query(
        path, "SELECT first_seen_at, last_seen_at, verdict, reason FROM archives"
    )
    assert first == "then"
    assert last != "then"
    assert (verdict, reason) == ("verified", "")


def test_times_are_utc(ledger: SqliteLedger, path: Path) -> None:
    ledger.write([finished()])
    ((first, last),) = query(path, "SELECT first_seen_at, last_seen_at FROM archives")
    assert first == last
    assert first.endswith("+00:00")


# Parts ---------------------------------------------------------------------------------------


# Runs ----------------------------------------------------------------------------------------


def test_a_run_is_kept_with_its_end(ledger: SqliteLedger, path: Path) -> None:
    ledger.write([run_started("one"), run_started("two")])
    ledger.write([run_finished("two", "interrupted"), run_finished("of nobody")])
    assert query(path, "SELECT * FROM runs ORDER BY run_id") == [
        ("one", "test", 3, NOON.isoformat(), *[None] * 5),
        ("two", "test", 3, NOON.isoformat(), NOON.isoformat(), "interrupted", *[None] * 3),
    ]


# All or nothing ------------------------------------------------------------------------------


async def test_a_batch_under_way_is_not_seen(ledger: SqliteLedger, path: Path) -> None:
    seen: list[Any] = []

    def events() -> Iterator[ArchiveFinished]:
        yield finished()
        seen.extend(query(path, "SELECT name FROM archives"))
        yield finished(archive=OTHER)

    ledger.write(events())
    assert seen == []
    assert len(query(path, "SELECT name FROM archives")) == 2


async def test_another_reader_sees_what_was_written(ledger: SqliteLedger, path: Path) -> None:
    with closing(SqliteLedger.open_read_only(path)) as other:
        assert await other.rows(FOLDER) == {}
        ledger.write([finished()])
        assert list(await other.rows(FOLDER)) == [NAME]


async def test_a_ledger_that_was_closed_is_read_again(path: Path) -> None:
    for archive in (ARCHIVE, OTHER):
        opened, note = SqliteLedger.open(path)
        assert note == ""
        with closing(opened):
            opened.write([finished(archive=archive)])
    opened, _ = SqliteLedger.open(path)
    with closing(opened):
        assert len(await opened.folders()) == 2


async def test_a_ledger_that_is_closed_says_so(ledger: SqliteLedger) -> None:
    ledger.close()
    with pytest.raises(LedgerError, match="cannot be read"):
        await ledger.rows(FOLDER)
    with pytest.raises(LedgerError, match="cannot be written"):
        ledger.write([finished()])


# Opening -------------------------------------------------------------------------------------


def test_a_ledger_of_a_later_version_is_refused_and_left(path: Path) -> None:
    SqliteLedger.open(path)[0].close()
    query(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(LedgerError, match=r"later version .* upgrade"):
        SqliteLedger.open(path)
    assert query(path, "PRAGMA user_version") == [(SCHEMA_VERSION + 1,)]
    assert query(path, "SELECT count(*) FROM archives") == [(0,)]


def test_a_ledger_that_cannot_be_opened_is_told(path: Path) -> None:
    path.mkdir()
    with pytest.raises(LedgerError, match="cannot be opened") as refused:
        SqliteLedger.open(path)
    assert refused.value.path == str(path)
    with pytest.raises(LedgerError, match="cannot be opened"):
        SqliteLedger.open(path.parent / "absent" / "ledger.sqlite")


# Reading without changing --------------------------------------------------------------------


async def test_a_ledger_opened_to_read_changes_nothing(ledger: SqliteLedger, path: Path) -> None:
    ledger.write([finished()])
    with closing(SqliteLedger.open_read_only(path)) as other:
        assert list(await other.rows(FOLDER)) == [NAME]
        with pytest.raises(LedgerError, match="readonly"):
            other.write([finished(archive=OTHER)])
    assert list(await ledger.rows(OTHER.folder)) == []


@pytest.mark.parametrize("name", ["ledger.sqlite", "led ger?mode=rwc#100%25.sqlite"])
async def test_a_ledger_that_is_absent_is_not_made_by_reading(tmp_path: Path, name: str) -> None:
    with pytest.raises(LedgerError, match="cannot be read"):
        SqliteLedger.open_read_only(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


async def test_a_path_with_the_marks_of_an_address_is_a_path(tmp_path: Path) -> None:
    path = tmp_path / "a b?mode=ro#100%25.sqlite"
    opened, _ = SqliteLedger.open(path)
    with closing(opened):
        opened.write([finished()])
        with closing(SqliteLedger.open_read_only(path)) as other:
            assert list(await other.rows(FOLDER)) == [NAME]
