"""What people see of a run: lines in a pipe, a bar on a terminal, a file of events."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.events import (
    ArchiveFinished,
    ArchiveRetried,
    BodyStarted,
    RunFinished,
    RunStarted,
    RunWarned,
)
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.sinks.jsonl import JsonLinesSink
from crypto_lakehouse.sinks.lines import LinesSink
from crypto_lakehouse.sinks.progress import ProgressSink

MOMENT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ARCHIVE = Archive.parse("data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-07-15.zip")
STARTED = RunStarted(run_id="r", workflow="w", planned=3, at=MOMENT)
GOOD = ArchiveFinished(archive=ARCHIVE, verdict=Verdict.VERIFIED)
BAD = ArchiveFinished(archive=ARCHIVE, verdict=Verdict.MISSING, reason="not there")
RETRIED = ArchiveRetried(archive=ARCHIVE, attempt=1, wait_s=0.5, reason="503")
WARNED = RunWarned(message="mind this")


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_lines_tell_problems_at_once_and_the_rest_now_and_then() -> None:
    clock, stream = Clock(), io.StringIO()
    sink = LinesSink(ByteMeter(2_500_000), stream=stream, clock=clock)
    await sink.handle([STARTED, WARNED, GOOD, BAD])
    assert stream.getvalue().splitlines() == [
        "warning: mind this",
        f"missing {ARCHIVE.key}: not there",
    ]
    clock.now = 6.0
    await sink.flush()
    await sink.flush()
    assert stream.getvalue().splitlines()[2:] == ["2 of 3 archives, 2.5 MB: 1 verified, 1 missing"]
    await sink.close()


async def test_quiet_lines_are_warnings_only() -> None:
    clock, stream = Clock(), io.StringIO()
    sink = LinesSink(ByteMeter(), quiet=True, stream=stream, clock=clock)
    clock.now = 60.0
    await sink.handle([STARTED, WARNED, BAD])
    assert stream.getvalue() == "warning: mind this\n"


async def test_every_archive_has_a_line_where_that_is_wanted() -> None:
    stream = io.StringIO()
    sink = LinesSink(ByteMeter(), every_archive=True, stream=stream)
    await sink.handle([GOOD])
    assert stream.getvalue() == f"verified {ARCHIVE.key}\n"


async def test_the_bar_shows_counts_bytes_and_what_needs_attention() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=160)
    sink = ProgressSink(ByteMeter(1_500_000), console=console)
    started = BodyStarted(archive=ARCHIVE, etag=None, last_modified=None, size_bytes=None)
    await sink.handle([STARTED, WARNED, RETRIED, started, GOOD, BAD])
    await sink.flush()
    await sink.close()
    shown = screen.getvalue()
    assert "warning: mind this" in shown
    assert "retry 1 in 0.5 s: 503" in shown
    assert f"missing {ARCHIVE.key}: not there" in shown
    assert "2/3" in shown
    assert "1.5 MB" in shown


async def test_events_are_one_line_for_each_archive(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = JsonLinesSink(path)
    await sink.flush()
    await sink.handle([STARTED, GOOD])
    await sink.flush()
    await sink.handle([BAD, RunFinished(run_id="r", status="partial", at=MOMENT)])
    await sink.close()
    await sink.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["verdict"] for line in lines] == ["verified", "missing"]
    assert lines[1]["reason"] == "not there"
