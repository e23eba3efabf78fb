"""The live display, painted on a terminal that is a string."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator

import pytest
from rich.console import Console
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

from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.sink import Sink
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.sinks.progress import ProgressSink

HIDE_CURSOR = "\x1b[?25l"
SHOW_CURSOR = "\x1b[?25h"


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def meter() -> ByteMeter:
    return ByteMeter()


@pytest.fixture
async def sink(screen: io.StringIO, meter: ByteMeter) -> AsyncIterator[ProgressSink]:
    console = Console(file=screen, force_terminal=True, width=200, color_system=None)
    made = ProgressSink(meter, console)
    yield made
    await made.close()


def test_a_run_can_do_without_it(sink: ProgressSink) -> None:
    listener: Sink = sink
    assert not listener.required
    assert listener.name == "progress"


async def test_the_display_lasts_from_the_start_to_the_end_of_a_run(
    sink: ProgressSink, screen: io.StringIO
) -> None:
    assert screen.getvalue() == ""
    await sink.handle([STARTED])
    assert HIDE_CURSOR in screen.getvalue()
    assert SHOW_CURSOR not in screen.getvalue()
    await sink.handle([finished(), FINISHED])
    await sink.flush()
    await sink.close()
    assert screen.getvalue().count(SHOW_CURSOR) == 1


async def test_the_last_picture_shows_archives_bytes_and_verdicts(
    sink: ProgressSink, screen: io.StringIO, meter: ByteMeter
) -> None:
    await sink.handle([STARTED, finished(), finished(archive=FOREIGN)])
    meter.received_bytes = 12_345_678
    await sink.handle([finished(Verdict.MISSING)])
    await sink.close()
    picture = screen.getvalue()
    assert "3/3" in picture
    assert "12.3 MB" in picture
    assert "verified 2  missing 1" in picture


async def test_problems_scroll_above_and_good_news_does_not(
    sink: ProgressSink, screen: io.StringIO
) -> None:
    await sink.handle([STARTED, BODY_STARTED, *(finished(verdict) for verdict in Verdict)])
    await sink.close()
    text = screen.getvalue()
    for verdict in LOUD:
        assert f"{verdict} {KEY}: the reason of {verdict}" in text
    for verdict in QUIET:
        assert f"{verdict} {KEY}" not in text


async def test_notes_warnings_and_retries_scroll_above_word_for_word(
    sink: ProgressSink, screen: io.StringIO
) -> None:
    await sink.handle([NOTED, STARTED, WARNED, RETRIED])
    await sink.close()
    assert f"note: {NOTED.message}" in screen.getvalue()
    assert f"warning: {WARNED.message}" in screen.getvalue(), "markup is not read in messages"
    assert "retry 2 in 1.2 s: the source answered 503" in screen.getvalue()


async def test_a_run_that_never_started_paints_nothing(
    sink: ProgressSink, screen: io.StringIO
) -> None:
    await sink.handle([FINISHED])
    await sink.flush()
    await sink.close()
    assert screen.getvalue() == ""


async def test_no_byte_is_shown_before_the_first_one(
    sink: ProgressSink, screen: io.StringIO
) -> None:
    await sink.handle([STARTED])
    await sink.close()
    assert "0.0 MB ETA" in screen.getvalue()
    assert "MB/s" not in screen.getvalue(), "there is no rate yet"


async def test_it_shows_how_many_requests_go_at_once(
    sink: ProgressSink, screen: io.StringIO, meter: ByteMeter
) -> None:
    meter.parallel = 48
    await sink.handle([STARTED])
    await sink.close()
    assert "0.0 MB   x48" in screen.getvalue()


def test_it_paints_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    sink = ProgressSink(ByteMeter())
    sink.console.print("here")
    captured = capsys.readouterr()
    assert captured.err == "here\n"
    assert captured.out == ""
