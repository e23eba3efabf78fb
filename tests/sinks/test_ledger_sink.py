"""The ledger's only writer: in batches, in order, and nothing that is known already."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.sinks.conftest import (
    ARCHIVE,
    BODY_STARTED,
    FINISHED,
    FOREIGN,
    RETRIED,
    STARTED,
    WARNED,
    finished,
)

from crypto_lakehouse.core.errors import LedgerError
from crypto_lakehouse.core.object_facts import ObjectFacts
from crypto_lakehouse.core.sink import Sink
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.ledger.sqlite import SqliteLedger
from crypto_lakehouse.sinks.ledger import LedgerSink


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[SqliteLedger]:
    opened, _ = SqliteLedger.open(path)
    with closing(opened):
        yield opened


@pytest.fixture
def synced() -> list[str]:
    """Keys that were made durable."""
    return []


@pytest.fixture
def sink(ledger: SqliteLedger, synced: list[str]) -> LedgerSink:
    return LedgerSink(ledger, synced.extend)


def query(path: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def test_the_run_cannot_do_without_it(sink: LedgerSink) -> None:
    listener: Sink = sink
    assert listener.required
    assert listener.name == "ledger"


async def test_what_is_handled_is_written_at_the_end(sink: LedgerSink, path: Path) -> None:
    await sink.handle([STARTED])
    assert query(path, "SELECT run_id, status FROM runs") == [("one", None)], "at once"
    await sink.handle([BODY_STARTED, finished(archive=FOREIGN)])
    assert query(path, "SELECT * FROM archives") == []
    await sink.close()
    assert query(path, "SELECT name, verdict FROM archives") == [(FOREIGN.name, "verified")]
    assert query(path, "SELECT name FROM parts") == [(ARCHIVE.name,)]
    assert query(path, "SELECT run_id, status FROM runs") == [("one", None)]


async def test_a_quiet_while_writes_what_is_pending(sink: LedgerSink, path: Path) -> None:
    await sink.handle([finished()])
    await sink.flush()
    assert len(query(path, "SELECT * FROM archives")) == 1
    await sink.flush()
    await sink.close()
    assert len(query(path, "SELECT * FROM archives")) == 1


async def test_enough_events_are_written_at_once(
    ledger: SqliteLedger, synced: list[str], path: Path
) -> None:
    sink = LedgerSink(ledger, synced.extend, batch_rows=3)
    await sink.handle([BODY_STARTED, WARNED, RETRIED])
    await sink.handle([finished()])
    assert query(path, "SELECT * FROM archives") == []
    await sink.handle([finished(archive=FOREIGN)])
    assert len(query(path, "SELECT * FROM archives")) == 2


async def test_events_are_written_in_their_order(sink: LedgerSink, path: Path) -> None:
    await sink.handle([STARTED, BODY_STARTED, finished(Verdict.CORRUPT)])
    await sink.handle([BODY_STARTED, finished(Verdict.FAILED), FINISHED])
    await sink.close()
    assert query(path, "SELECT verdict FROM archives") == [("failed",)]
    assert query(path, "SELECT name FROM parts") == [(ARCHIVE.name,)]
    assert query(path, "SELECT status FROM runs") == [("partial",)]


@pytest.mark.parametrize("verdict", Verdict)
async def test_what_is_known_already_is_not_written_again(
    sink: LedgerSink, path: Path, verdict: Verdict
) -> None:
    """An archive that was settled by its row alone took no time."""
    await sink.handle([finished(verdict), WARNED, RETRIED])
    await sink.close()
    written = [] if verdict in {Verdict.UNCHANGED, Verdict.NOT_PUBLISHED} else [(verdict,)]
    assert query(path, "SELECT verdict FROM archives") == written


async def test_an_unchanged_archive_that_was_looked_at_is_written(
    sink: LedgerSink, path: Path
) -> None:
    await sink.handle([finished(Verdict.UNCHANGED, elapsed_s=0.1, facts=ObjectFacts(mark=5))])
    await sink.close()
    assert query(path, "SELECT verdict, mtime_ns FROM archives") == [("verified", 5)]


async def test_a_ledger_that_refuses_is_told(sink: LedgerSink, ledger: SqliteLedger) -> None:
    await sink.handle([finished()])
    ledger.close()
    with pytest.raises(LedgerError, match="cannot be written"):
        await sink.flush()
