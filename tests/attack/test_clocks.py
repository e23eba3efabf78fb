"""Clocks that are wrong: of a run, of one of two machines, or of what an earlier run has written.

The order of what happened is that of the runs, whatever their clocks said; no archive is fetched or
ingested again for it, and no answer is another one.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.attack.conftest import DAYS, KEYS, Ended, run
from tests.attack.raw_source import RawSource, kline_zip

KEY = KEYS[0]
QUERY = "SELECT max(close) AS close, count(*) AS n FROM spot.klines"

#: What the clocks of three runs, one after another, say too much, in days.
CLOCKS = {
    "right": (0, 0, 0),
    "ahead once": (900, 0, 0),
    "ahead twice": (0, 900, 0),
    "behind once": (0, -300, 0),
    "two machines in turn": (30, -30, 30),
    "ever earlier": (300, 0, -300),
    "more than a year behind": (0, -400, 0),
}


def rows(close: int) -> list[str]:
    start = datetime.combine(date.fromisoformat(DAYS[0]), datetime.min.time(), UTC)
    made = []
    for hour in range(24):
        opens = int((start + timedelta(hours=hour)).timestamp()) * 1_000_000
        made.append(f"{opens},{close},{close},{close},{close},1,{opens + 3_599_999_999},1,7,1,1,0")
    return made


VERSIONS = [kline_zip(KEY, rows(close)) for close in (100, 200, 300)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Moves what modules of the package take for the present, in days."""

    def move(days: int) -> None:
        class Moved(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
                return datetime.now(tz) + timedelta(days=days)

        for name, module in tuple(sys.modules.items()):
            if name.startswith("crypto_lakehouse") and "datetime" in vars(module):
                monkeypatch.setattr(module, "datetime", Moved)

    return move


def collect(source: RawSource, *more: str) -> Ended:
    return run(
        "collect", "-o", "out", "--markets", "spot", "-s", "BTCUSDT", "-t", "klines", "-i", "1h",
        "--date", DAYS[0], "--source-url", source.url, "--max-retries", "0", "-q",
        "--discovery", "calendar", "--json", *more,
    )  # fmt: skip


def answer() -> Any:
    ended = run("query", "-o", "out", "--format", "json", QUERY)
    assert ended.code == 0, ended
    return json.loads(ended.out)


@pytest.mark.parametrize("name", CLOCKS)
def test_the_newest_version_is_that_of_the_last_run(
    source: RawSource, here: Path, clock: Callable[[int], None], name: str
) -> None:
    for body, days in zip(VERSIONS, CLOCKS[name], strict=True):
        source.publish(KEY, body)
        clock(days)
        assert collect(source, "--force-redownload").code == 0
        assert run("ingest", "-o", "out").code == 0
    clock(0)
    assert (here / "out" / KEY).read_bytes() == VERSIONS[-1]
    assert answer() == {"close": 300.0, "n": 24}
    again = run("ingest", "-o", "out")
    assert "1 unchanged" in again.out
    history = run("history", "-o", "out", KEY, "--json")
    found = json.loads(history.out)
    digests = [version["sha256"] for version in found["versions"]]
    assert len(digests) == len(set(digests)) == len(VERSIONS)
    before = len(source.requests)
    assert collect(source).code == 0
    assert len(source.requests) == before
    assert run("status", "-o", "out").code == 0


@pytest.mark.parametrize("name", [name for name in CLOCKS if CLOCKS[name][-1] == 0])
def test_the_version_of_today_is_that_of_the_last_run(
    source: RawSource, here: Path, clock: Callable[[int], None], name: str
) -> None:
    for body, days in zip(VERSIONS, CLOCKS[name], strict=True):
        source.publish(KEY, body)
        clock(days)
        assert collect(source, "--force-redownload").code == 0
    clock(0)
    today = datetime.now(UTC).date().isoformat()
    ended = run("history", "-o", "out", KEY, "--as-of", today, "--write", "then.zip")
    assert ended.code == 0, ended
    assert (here / "then.zip").read_bytes() == VERSIONS[-1]


@pytest.mark.parametrize("days", [900, -300])
def test_times_that_an_earlier_run_wrote_do_not_count(
    source: RawSource, here: Path, days: int
) -> None:
    source.publish(KEY, VERSIONS[0])
    assert collect(source, "--ingest").code == 0
    moment = (datetime.now(UTC) + timedelta(days=days)).isoformat(timespec="seconds")
    with closing(sqlite3.connect(here / "out/.lakehouse/ledger.sqlite")) as ledger, ledger:
        ledger.execute("UPDATE archives SET first_seen_at = ?, last_seen_at = ?", (moment, moment))
        ledger.execute("UPDATE runs SET started_at = ?, finished_at = ?", (moment, moment))
    source.publish(KEY, VERSIONS[1])
    assert collect(source, "--force-redownload", "--ingest").code == 0
    assert answer() == {"close": 200.0, "n": 24}
    for text in ("status -o out", "verify -o out", f"history -o out {KEY}"):
        assert run(*text.split()).code == 0
    versions = json.loads(run("history", "-o", "out", KEY, "--json").out)["versions"]
    assert len(versions) == 2


@pytest.mark.parametrize("days", [900, -9_000])
def test_times_of_files_do_not_count(source: RawSource, here: Path, days: int) -> None:
    source.publish(KEY, VERSIONS[0])
    assert collect(source, "--ingest").code == 0
    moment = datetime.now(UTC).timestamp() + days * 86_400
    for path in (here / "out").rglob("*"):
        if not path.name.startswith("ledger"):
            os.utime(path, (moment, moment))
    before = len(source.requests)
    assert collect(source, "--ingest").code == 0
    assert len(source.requests) == before
    assert answer() == {"close": 100.0, "n": 24}
