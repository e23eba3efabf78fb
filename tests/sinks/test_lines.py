"""Progress for pipes: a line where there is something to say."""

from __future__ import annotations

import io

import pytest
from attrs import define, evolve, field
from tests.sinks.conftest import (
    BODY_STARTED,
    FINISHED,
    FOREIGN,
    KEY,
    LOUD,
    NOTED,
    QUIET,
    RETRIED,
    STARTED,
    WARNED,
    finished,
)

from crypto_lakehouse.core.events import ListingRetried
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.sink import Sink
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.sinks.lines import LINE_EVERY_S, LinesSink


@define
class Screen:
    """A stream that remembers, a clock that stands still, and a sink that has both."""

    stream: io.StringIO = field(factory=io.StringIO)
    meter: ByteMeter = field(factory=ByteMeter)
    now: float = 1000.0

    def sink(self, *, quiet: bool = False, every_archive: bool = False) -> LinesSink:
        return LinesSink(
            self.meter,
            quiet=quiet,
            every_archive=every_archive,
            stream=self.stream,
            clock=lambda: self.now,
        )

    @property
    def lines(self) -> list[str]:
        text = self.stream.getvalue()
        assert not text or text.endswith("\n")
        return text.splitlines()


@pytest.fixture
def screen() -> Screen:
    return Screen()


def test_a_run_can_do_without_it(screen: Screen) -> None:
    listener: Sink = screen.sink()
    assert not listener.required
    assert listener.name == "lines"


async def test_notes_warnings_and_problems_are_written_as_they_come(screen: Screen) -> None:
    sink = screen.sink()
    await sink.handle([NOTED, STARTED, WARNED, BODY_STARTED, RETRIED])
    await sink.handle([finished(verdict) for verdict in Verdict])
    await sink.handle([FINISHED])
    await sink.close()
    assert screen.lines == [
        f"note: {NOTED.message}",
        f"warning: {WARNED.message}",
        *(f"{verdict} {KEY}: the reason of {verdict}" for verdict in LOUD),
    ]


async def test_a_quiet_one_writes_warnings_only(screen: Screen) -> None:
    sink = screen.sink(quiet=True, every_archive=True)
    screen.now += 10 * LINE_EVERY_S
    await sink.handle([NOTED, STARTED, WARNED, *(finished(verdict) for verdict in Verdict)])
    await sink.flush()
    assert screen.lines == [f"warning: {WARNED.message}"]


async def test_each_archive_has_its_line_where_that_is_wanted(screen: Screen) -> None:
    sink = screen.sink(every_archive=True)
    await sink.handle([*(finished(verdict) for verdict in QUIET), finished(Verdict.CORRUPT)])
    assert screen.lines == [
        *(f"{verdict} {KEY}" for verdict in QUIET),
        f"corrupt {KEY}: the reason of corrupt",
    ]


async def test_the_run_has_a_line_now_and_then(screen: Screen) -> None:
    sink = screen.sink()
    await sink.handle([STARTED, finished()])
    screen.now += LINE_EVERY_S - 0.01
    await sink.flush()
    assert screen.lines == []
    screen.now += 0.01
    screen.meter.received_bytes = 12_345_678
    await sink.handle([finished(archive=FOREIGN), finished(Verdict.NOT_PUBLISHED)])
    assert screen.lines == ["3 of 3 archives, 12.3 MB: 2 verified, 1 not_published"]
    await sink.flush()
    assert len(screen.lines) == 1
    screen.now += LINE_EVERY_S
    screen.meter.received_bytes += 1_000_000
    await sink.flush()
    assert screen.lines[1:] == ["3 of 3 archives, 13.3 MB: 2 verified, 1 not_published"]


async def test_a_line_is_not_repeated_if_nothing_has_changed(screen: Screen) -> None:
    sink = screen.sink()
    await sink.handle([STARTED])
    for _ in range(3):
        screen.now += LINE_EVERY_S
        await sink.flush()
    assert screen.lines == ["0 of 3 archives, 0.0 MB"]
    await sink.handle([finished()])  # it changes right after a line was due
    assert screen.lines[1:] == ["1 of 3 archives, 0.0 MB: 1 verified"]


async def test_before_there_is_a_plan_only_waiting_is_said(screen: Screen) -> None:
    sink = screen.sink()
    screen.now += LINE_EVERY_S
    await sink.flush()
    assert screen.lines == []
    await sink.handle([ListingRetried(prefix="data/", attempt=1, wait_s=60.0, reason="silent")])
    screen.now += LINE_EVERY_S
    await sink.flush()
    assert screen.lines[-1] == "1 request waits up to 55 s to be tried again: silent"


async def test_the_line_says_that_requests_wait_and_why(screen: Screen) -> None:
    """Nothing else is seen of a source that answers 503 with a Retry-After of five minutes."""
    sink = screen.sink()
    long = evolve(RETRIED, wait_s=300.0)
    await sink.handle([STARTED, evolve(RETRIED, wait_s=1.0), long])
    screen.now += LINE_EVERY_S
    await sink.handle([evolve(long, reason="the source answered 502")])
    screen.now += 290.0
    await sink.flush()
    screen.now += LINE_EVERY_S + 1.0
    await sink.handle([ListingRetried(prefix="data/", attempt=1, wait_s=60.0, reason="silent")])
    screen.now += LINE_EVERY_S
    await sink.flush()
    screen.now += 60.0
    await sink.flush()
    line = "0 of 3 archives, 0.0 MB"
    assert screen.lines == [
        f"{line}; 2 requests wait up to 300 s to be tried again: the source answered 502",
        f"{line}; 2 requests wait up to 10 s to be tried again: the source answered 502",
        f"{line}; 2 requests wait up to 60 s to be tried again: silent",
        f"{line}; 1 request waits up to 55 s to be tried again: silent",
        line,
    ]


async def test_a_line_is_seen_at_once() -> None:
    class Pipe(io.StringIO):
        flushed = ""

        def flush(self) -> None:
            self.flushed = self.getvalue()

    pipe = Pipe()
    await LinesSink(ByteMeter(), stream=pipe).handle([WARNED])
    assert pipe.flushed == pipe.getvalue() != ""


async def test_lines_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    await LinesSink(ByteMeter()).handle([WARNED])
    captured = capsys.readouterr()
    assert captured.err == f"warning: {WARNED.message}\n"
    assert captured.out == ""
