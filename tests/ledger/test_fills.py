"""Filled days are known to every ledger, apart from the archives."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.ledger.conftest import query
from tests.stores.conftest import ARCHIVE, finished, run_finished, run_started

from crypto_lakehouse.core.events import FillFinished
from crypto_lakehouse.core.fills import FillRow, FillVerdict, fill_folder, segment_of
from crypto_lakehouse.ledger.coverage_view import recorded_series
from crypto_lakehouse.ledger.place import LedgerPlace, RunLedger
from crypto_lakehouse.ledger.postgres.schema import SCHEMA_VERSION
from crypto_lakehouse.ledger.runs import FILLING, recorded_runs
from crypto_lakehouse.ledger.sqlite import SqliteLedger

DAY = date(2026, 5, 7)
FOLDER = fill_folder(ARCHIVE.series)
NAME = segment_of(ARCHIVE.series, DAY).name
AT = datetime(2026, 5, 8, 12, tzinfo=UTC)


def filled(verdict: FillVerdict = FillVerdict.FILLED, day: date = DAY, **more: Any) -> FillFinished:
    values: dict[str, Any] = {
        "rows": 1440,
        "sha256": "b" * 64,
        "complete": True,
        "proven_by": "ids",
        "at": AT,
        "size_bytes": 7,
        "mark": -8,
    }
    return FillFinished(archive=segment_of(ARCHIVE.series, day), verdict=verdict, **(values | more))


def row_of(event: FillFinished) -> FillRow:
    return FillRow(
        verdict=event.verdict,
        reason=event.reason,
        rows=event.rows,
        sha256=event.sha256,
        complete=event.complete,
        proven_by=event.proven_by,
        filled_at=event.at.replace(microsecond=0),
        size_bytes=None if event.sha256 is None else event.size_bytes,
        mark=event.mark,
    )


events = st.builds(
    filled,
    st.sampled_from(FillVerdict),
    st.integers(0, 2).map(lambda days: DAY - timedelta(days=days)),
    rows=st.integers(0, 2**53),
    sha256=st.none() | st.just("c" * 64),
    complete=st.booleans(),
    proven_by=st.sampled_from(["", "ids"]),
    reason=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
    at=st.integers(0, 2**40).map(lambda ms: AT + timedelta(milliseconds=ms)),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(30))
@given(events=st.lists(events, min_size=1))
def test_the_last_verdict_on_a_day_is_known(
    place: LedgerPlace, of_run: RunLedger, events: list[FillFinished]
) -> None:
    of_run.write(events)
    rows = of_run.fills_now(FOLDER)
    for event in {event.archive: event for event in events}.values():
        assert rows[event.archive.name] == row_of(event)
    with place.reading() as reading:
        assert {row[0] for row in reading.fills(FOLDER)} == set(rows)
        assert reading.filled_folders() == [FOLDER]


def test_verdicts_are_shown_as_words() -> None:
    assert repr({FillVerdict.FILLED: 1}) == "{'filled': 1}"


def test_a_filled_day_is_no_archive(place: LedgerPlace, of_run: RunLedger) -> None:
    of_run.write([finished(), filled(), filled(FillVerdict.FAILED, DAY + timedelta(days=1))])
    (record,) = recorded_series(place)
    assert record.filled == [DAY.toordinal()]
    assert [len(folder.runs) for folder in record.folders.values()] == [1]
    assert of_run.rows_now(FOLDER) == {}


def test_a_run_that_fills_says_nothing_of_where_archives_came_from(
    place: LedgerPlace, of_run: RunLedger
) -> None:
    collected = evolve(run_started("a"), selection={}, source_url="https://mirror.example")
    of_run.write([collected, run_finished("a"), evolve(run_started("b"), selection=FILLING)])
    last = recorded_runs(place)[-1]
    assert (last.selection, last.source_url, last.is_source_lost) == (FILLING, None, False)


@pytest.mark.parametrize(
    "change",
    [
        "verdict = 'verified'",
        "row_count = -1",
        "row_count = 'many'",
        "sha256 = 'abc'",
        "complete = 2",
        "mtime_ns = 'now'",
        "filled_at = 'yesterday'",
        "reason = x'00'",
        "folder = 'data/spot/daily/trades/BTCUSDT/'",
        "name = 'BTCUSDT-trades-2026-05-07.zip'",
    ],
)
def test_a_row_that_no_run_writes_is_asked_for_again(
    path: Path, ledger: SqliteLedger, change: str
) -> None:
    ledger.write([filled(), filled(day=DAY - timedelta(days=1))])
    sound = segment_of(ARCHIVE.series, DAY - timedelta(days=1)).name
    query(path, f"UPDATE fills SET {change} WHERE name = ?", NAME)  # noqa: S608 - of this test
    assert set(ledger.fills_now(FOLDER)) == {sound}
    ledger.close()
    with closing(SqliteLedger.open(path)[0]) as again:  # the damaged one is rebuilt
        assert set(again.fills_now(FOLDER)) == {sound}


def test_a_ledger_from_before_there_were_fills_is_read_as_it_is(path: Path) -> None:
    with closing(SqliteLedger.open(path)[0]) as opened:
        opened.write([finished()])
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("DROP TABLE fills; PRAGMA user_version = 3")
    with closing(SqliteLedger.open_read_only(path)) as opened:
        assert opened.fills_now(FOLDER) == {}
    assert [record.filled for record in recorded_series(path, with_filled=True)] == [[]]
    with closing(SqliteLedger.open(path)[0]) as opened:
        opened.write([filled()])
        assert set(opened.fills_now(FOLDER)) == {NAME}


@pytest.mark.parametrize("place", ["postgres"], indirect=True)
def test_tables_in_postgresql_from_before_there_were_fills_are_upgraded(place: Any) -> None:
    with place.locked():
        with closing(place.open()[0]) as opened:
            opened.write([finished()])
        with place.server.connect() as connection:
            connection.execute("DROP TABLE fills, set_aside")
            connection.execute("UPDATE schema_version SET version = 1")
        assert [record.filled for record in recorded_series(place, with_filled=True)] == [[]]
        with closing(place.open_read_only()) as opened:
            assert opened.fills_now(FOLDER) == {}
        with closing(place.open()[0]) as opened:
            opened.write([filled()])
            assert set(opened.fills_now(FOLDER)) == {NAME}
        with place.server.connect() as connection:
            (version,) = connection.execute("SELECT version FROM schema_version").fetchone()
        assert version == SCHEMA_VERSION
