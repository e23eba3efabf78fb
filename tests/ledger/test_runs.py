"""What runs were asked for and where they fetched is stored, and read back defensively."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from tests.stores.conftest import ARCHIVE, FOLDER, NAME, finished, run_finished, run_started

from crypto_lakehouse.core.errors import LedgerError
from crypto_lakehouse.ledger.coverage_view import recorded_series
from crypto_lakehouse.ledger.history import versions_of
from crypto_lakehouse.ledger.runs import RecordedRun, TimedRun, recorded_runs, timed_runs
from crypto_lakehouse.ledger.schema import SCHEMA_VERSION
from crypto_lakehouse.ledger.sqlite import SqliteLedger

SELECTION = {"symbols": ["币安人生USDT", "BTC*"], "date_range": {"start": "2024-01-01"}}
ASKED = evolve(
    run_started("asked"),
    selection=SELECTION,
    source_url="https://mirror.example/a",
    listing_url="https://mirror.example/list",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger of one archive and two runs, of which the first recorded nothing but its plan."""
    path = tmp_path / "ledger.sqlite"
    opened, _ = SqliteLedger.open(path)
    with closing(opened):
        opened.write([run_started("bare"), run_finished("bare"), finished(), ASKED])
    return path


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def as_version_2(path: Path) -> None:
    """Make the ledger one of the version that did not record selections."""
    columns = ("selection", "source_url", "listing_url")
    drop = [f"ALTER TABLE runs DROP COLUMN {column}" for column in columns]
    change(path, *drop, "DROP TABLE fills", "PRAGMA user_version = 2")


def test_what_a_run_was_asked_for_is_read_back(path: Path) -> None:
    bare, asked = recorded_runs(path)
    assert bare == RecordedRun(status="complete", selection=None, source_url=None, listing_url=None)
    assert asked == RecordedRun(
        status=None,
        selection=SELECTION,
        source_url="https://mirror.example/a",
        listing_url="https://mirror.example/list",
    )


def test_a_selection_is_stored_as_canonical_json(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        ((text,),) = connection.execute("SELECT selection FROM runs WHERE run_id = 'asked'")
    assert text == json.dumps(SELECTION, sort_keys=True)


def test_runs_are_in_the_order_in_which_they_began_whatever_the_clock_said(path: Path) -> None:
    change(path, "UPDATE runs SET started_at = '2030-01-01T00:00:00+00:00' WHERE run_id = 'bare'")
    assert [run.selection for run in recorded_runs(path)] == [None, SELECTION]


def test_a_ledger_of_version_2_is_read_as_it_is(path: Path) -> None:
    as_version_2(path)
    before = path.read_bytes()
    assert [run.selection for run in recorded_runs(path)] == [None, None]
    assert [run.source_url for run in recorded_runs(path)] == [None, None]
    assert [record.series for record in recorded_series(path)] == [ARCHIVE.series]
    assert len(versions_of(path, ARCHIVE)) == 1
    with closing(SqliteLedger.open_read_only(path)) as opened:
        assert list(opened.rows_now(FOLDER)) == [NAME]
    assert path.read_bytes() == before


def test_a_ledger_of_version_2_is_upgraded_and_keeps_its_rows(path: Path) -> None:
    as_version_2(path)
    opened, note = SqliteLedger.open(path)
    with closing(opened):
        assert note == ""
        opened.write([evolve(ASKED, run_id="later")])
        assert list(opened.rows_now(FOLDER)) == [NAME]
    assert [run.selection for run in recorded_runs(path)] == [None, None, SELECTION]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


def test_a_ledger_of_version_1_is_not_read_without_an_upgrade(path: Path) -> None:
    change(path, "PRAGMA user_version = 1")
    with pytest.raises(LedgerError, match="earlier version"):
        recorded_runs(path)


UNSOUND = {
    "no JSON": "selection = '{'",
    "no mapping": "selection = '[]'",
    "nested too deeply": f"selection = '{'[' * 200_000}'",
    "undecodable": "selection = CAST(X'7B22FF223A317D' AS TEXT)",
    "a number": "selection = 5",
    "no URL": "source_url = 'httqs://mirror.example'",
    "a URL with odd text": "listing_url = CAST(X'68747470733A2F2FFF' AS TEXT)",
    "no time": "started_at = X'00'",
    "no count": "planned = 'x'",
}


@pytest.mark.parametrize("name", UNSOUND)
def test_a_damaged_row_of_a_run_says_nothing_and_is_left_out_of_the_next_ledger(
    path: Path, name: str
) -> None:
    change(path, f"UPDATE runs SET {UNSOUND[name]} WHERE run_id = 'asked'")  # noqa: S608
    nothing: dict[str, Any] = {"selection": None, "source_url": None, "listing_url": None}
    assert recorded_runs(path)[1] == RecordedRun(status=None, is_source_lost=True, **nothing)
    opened, note = SqliteLedger.open(path)
    with closing(opened):
        assert "the row of the run `asked` has values that no run writes" in note
        assert list(opened.rows_now(FOLDER)) == [NAME]
    assert recorded_runs(path) == [
        RecordedRun(status="complete", **nothing),
        RecordedRun(status="unknown", is_source_lost=True, **nothing),
    ], "that there was a run is not forgotten, as it may have been asked for more"


def test_runs_survive_damage_elsewhere(path: Path) -> None:
    change(path, "UPDATE archives SET verdict = 'x'")
    opened, note = SqliteLedger.open(path)
    opened.close()
    assert "2 of its rows were kept" in note
    assert [run.selection for run in recorded_runs(path)] == [None, SELECTION]


def test_runs_that_cannot_be_read_are_not_forgotten(path: Path) -> None:
    """The pages of the table are overwritten, and nothing says how many runs there were."""
    with closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'runs'"
        ).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * 64)
    opened, note = SqliteLedger.open(path)
    with closing(opened):
        assert "damaged" in note
        assert not opened.has_open_run()
        assert list(opened.rows_now(FOLDER)) == [NAME]
    assert [run.status for run in recorded_runs(path)] == ["unknown"]


def test_the_newest_runs_are_listed_with_their_times_whatever_the_rows_say(path: Path) -> None:
    opened, _ = SqliteLedger.open(path)
    with closing(opened):
        opened.write([run_started("third"), run_finished("third"), run_started("fourth")])
    fourth, third, asked, bare = timed_runs(path, 9)
    assert (bare.status, bare.seconds, third.seconds) == ("complete", 0.0, 0.0)
    assert (asked.finished_at, asked.seconds) == (None, None)
    assert timed_runs(path, 2) == [fourth, third]
    change(
        path,
        "UPDATE runs SET started_at = '2026-13-45T00:00:00+00:00' WHERE run_id = 'third'",
        "UPDATE runs SET started_at = '2999-01-01T00:00:00' WHERE run_id = 'bare'",
        "UPDATE runs SET planned = 'x' WHERE run_id = 'asked'",
    )
    changed = evolve(bare, started_at=datetime(2999, 1, 1, tzinfo=UTC))
    assert timed_runs(path, 9) == [fourth, changed]
    assert isinstance(changed, TimedRun)
    assert changed.seconds is None, "its end is before its beginning"
