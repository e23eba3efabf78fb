"""Rows of progress: one line each, at any width."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from tests.screen import Screen

from crypto_lakehouse.core.progress import StepProgress
from crypto_lakehouse.sinks.progress_rows import ProgressRows, amount_and_rate
from crypto_lakehouse.sinks.step_row import StepRow
from crypto_lakehouse.sinks.steps import StepLines

HOSTILE = "\x1b]0;owned\x07\x9b2J\u202e[bold]"


def rows_on(screen: io.StringIO, width: int) -> ProgressRows:
    console = Console(file=screen, force_terminal=True, width=width, color_system=None)
    return ProgressRows(console)


@pytest.mark.parametrize("width", [2, 5, 10, 20, 30, 40, 50, 60, 79, 80, 100, 150])
def test_each_row_is_one_line_at_every_width(width: int) -> None:
    out = io.StringIO()
    rows = rows_on(out, width)
    archives = rows.add("archives", lambda _s: amount_and_rate(12_345_678_901, 100.0))
    reading = rows.add("reading futures_um.liquidation_snapshot")
    archives.update(
        completed=20_345, total=60_660, label="archives", done="20345/60660",
        counts="verified 20345  corrupt 1",
    )  # fmt: skip
    reading.update(completed=5, total=945, label="reading spot.klines", done="5/945")
    painted = Screen(width).feed(out.getvalue())
    assert painted.wrapped == 0
    assert len(painted.rows) == 2
    rows.print("a line")
    painted = Screen(width).feed(out.getvalue())
    archives.remove()
    reading.remove()
    painted = Screen(width).feed(out.getvalue())
    assert "".join(painted.rows) == "a line", "nothing else remains"


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (8, "20345/…"),
        (20, "20345/60660"),
        (30, "archives ━━╸      20345/60660"),
        (31, "archives 20345/60660 ETA --:--"),
        (50, "archives ━━╸      20345/60660 1.2 MB/s ETA --:--"),
        (75, "archives ━━╸      20345/60660 123.5 MB 1.2 MB/s ETA --:-- verified 20345"),
        (97, "archives ━━━━━━━━                 20345/60660 123.5 MB 1.2 MB/s ETA --:-- "
             "verified 20345"),
    ],
)  # fmt: skip
def test_what_matters_least_is_left_out_first(width: int, line: str) -> None:
    out = io.StringIO()
    rows = rows_on(out, width)
    row = rows.add("archives", lambda _s: amount_and_rate(123_456_789, 100.0))
    row.update(
        completed=20_345, total=60_660, label="archives", done="20345/60660",
        counts="verified 20345",
    )  # fmt: skip
    rows.print("")
    painted = Screen(width).feed(out.getvalue())
    row.remove()
    assert painted.rows[-1].rstrip() == line


def test_a_row_that_was_removed_stays_away() -> None:
    out = io.StringIO()
    rows = rows_on(out, 80)
    row = rows.add("one")
    row.remove()
    row.remove()
    assert out.getvalue().count("\x1b[?25h") == 1, "the cursor is shown again, once"
    assert "".join(Screen(80).feed(out.getvalue()).rows).strip() == ""


def test_text_of_unknown_origin_is_escaped_in_rows_and_lines() -> None:
    out = io.StringIO()
    rows = rows_on(out, 200)
    display = StepRow(rows)
    display.show(StepProgress(HOSTILE, 1, 2))
    display.print(HOSTILE)
    display.close()
    display.close()
    assert "\x1b]0" not in out.getvalue()
    assert "\x9b" not in out.getvalue()
    assert "[bold]" in out.getvalue(), "markup is not read"


def test_a_row_shows_each_step_and_at_once_the_end_of_one() -> None:
    out = io.StringIO()
    rows = rows_on(out, 100)
    display = StepRow(rows, clock=lambda: 0.0)
    shown = []
    for progress in (
        StepProgress("checking digests", 1),
        StepProgress("checking digests", 2),
        StepProgress("reading spot.klines", 1, 3, size_bytes=2_000_000),
        StepProgress("reading spot.klines", 2, 3),
        StepProgress("reading spot.klines", 3, 3),
    ):
        display.show(progress)
        rows.print("")
        shown.append(Screen(100).feed(out.getvalue()).rows[-1])
    display.close()
    assert "checking digests" in shown[0]
    assert "1 archive" in shown[0]
    assert "2 archives" not in shown[1], "an update a moment later is not painted"
    assert "reading spot.klines" in shown[2]
    assert "1/3 2.0 MB" in shown[2]
    assert "1/3" in shown[3]
    assert "3/3" in shown[4]


def test_lines_come_every_five_seconds() -> None:
    out = io.StringIO()
    now = 0.0
    lines = StepLines(stream=out, clock=lambda: now)
    for now in (0.0, 4.9, 5.0, 6.0, 9.9, 10.0, 15.0):
        lines.show(StepProgress("checking digests", int(now)))
    now = 20.0
    lines.show(StepProgress("checking digests", 15))  # nothing has changed
    lines.show(StepProgress("listing", 1, 1, "folder", size_bytes=1_500_000))
    lines.print("a line")
    lines.close()
    assert out.getvalue().splitlines() == [
        "checking digests: 5 archives",
        "checking digests: 10 archives",
        "checking digests: 15 archives",
        "listing: 1 of 1 folder, 1.5 MB",
        "a line",
    ]


def test_a_quiet_run_writes_no_progress() -> None:
    out = io.StringIO()
    now = 0.0
    lines = StepLines(quiet=True, stream=out, clock=lambda: now)
    now = 100.0
    lines.show(StepProgress("checking digests", 1))
    assert out.getvalue() == ""
