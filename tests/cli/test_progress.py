"""What commands show on standard error while they work."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import KEY, collect
from tests.screen import OnTerminal, Screen
from tests.tables.sample_data import bars, days, month_of, put
from tests.workflows.lakes import FIRST

from crypto_lakehouse.cli.progress import collection_sink, step_display, terminal_rows
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.progress import StepProgress
from crypto_lakehouse.sinks.lines import LinesSink
from crypto_lakehouse.sinks.progress import ProgressSink
from crypto_lakehouse.sinks.steps import StepLines
from crypto_lakehouse.testing import ArchiveServer, faults
from crypto_lakehouse.workflows import IngestWorkflow, LakeConfig, ValidationWorkflow

#: The beginning of a row that is painted.
_ROW = re.compile(r"archives [━╸╺ ]|\d+/13")


def _slow(server: ArchiveServer) -> faults.Stall:
    """Let the source hold one archive back until it is released."""
    stall = faults.Stall()
    server.inject(KEY, stall)
    return stall


@pytest.mark.parametrize("width", [20, 50, 80])
def test_a_collection_keeps_to_one_line_of_a_terminal(
    archive_server: ArchiveServer, tmp_path: Path, width: int
) -> None:
    stall = _slow(archive_server)
    with OnTerminal(collect(archive_server), tmp_path, width) as terminal:
        terminal.read_until(lambda text: text.count("12/13") > 2)
        assert Screen(width).feed(terminal.text).wrapped == 0
        stall.release.open()
        assert terminal.read_all() == 0
    painted = Screen(200).feed(terminal.text)
    assert painted.rows[0] == "complete: 13 planned, 13 verified", "nothing of the row remains"


def test_a_row_fits_again_once_the_terminal_is_narrower(
    archive_server: ArchiveServer, tmp_path: Path
) -> None:
    stall = _slow(archive_server)
    with OnTerminal(collect(archive_server), tmp_path, 100) as terminal:
        terminal.read_until(lambda text: text.count("12/13") > 2)
        before = Screen(100).feed(terminal.text)
        assert len(before.rows[-1].rstrip()) > 50
        terminal.resize(50)
        terminal.read_until(_is_narrow)  # the next paint, or the one after it
        after = terminal.read_until(lambda text: text.count("12/13") > 2)
        assert Screen(50).feed(after).wrapped == 0
        terminal.resize(100)
        terminal.read_until(lambda text: not _is_narrow(text) and text.count("12/13") > 2)
        stall.release.open()
        assert terminal.read_all() == 0


def _is_narrow(text: str) -> bool:
    """Whether a row was painted that has room in 50 columns."""
    rows = [part for part in text.split("\x1b[2K")[1:-1] if "12/13" in part]
    return any(Screen(50).feed(row).wrapped == 0 for row in rows)


def test_a_quiet_collection_paints_nothing(archive_server: ArchiveServer, tmp_path: Path) -> None:
    with OnTerminal([*collect(archive_server), "-q"], tmp_path, 80) as terminal:
        assert terminal.read_all() == 0
    assert "\x1b" not in terminal.text


@pytest.mark.parametrize("form", ["text", "json"])
def test_logs_and_rows_do_not_tear_each_other(
    archive_server: ArchiveServer, tmp_path: Path, form: str
) -> None:
    stall = _slow(archive_server)
    command = [
        *collect(archive_server, "-i", "1h,5m"),
        "--log-format",
        form,
        "--log-level",
        "debug",
    ]
    with OnTerminal(command, tmp_path, 2_000) as terminal:
        terminal.read_until(lambda text: text.count("1/2") > 2)
        stall.release.open()
        assert terminal.read_all() == 0
    rows = Screen(2_000).feed(terminal.text).rows
    logged = rows[: rows.index("complete: 2 planned, 2 verified")]
    begin = r"\d{4}-\d\d-\d\dT\S+ \[(debug|info) *\] \w" if form == "text" else r"\{.*\}$"
    assert all(re.match(begin, row.rstrip()) for row in logged), logged
    assert sum(KEY in row for row in logged) == 1
    assert sum("run complete" in row for row in logged) == 1
    assert not any("━" in row or "1/2" in row for row in rows)


def test_both_halves_of_a_collection_with_ingestion_are_shown(
    archive_server: ArchiveServer, tmp_path: Path
) -> None:
    stall = _slow(archive_server)
    with OnTerminal([*collect(archive_server), "--ingest"], tmp_path, 100) as terminal:
        text = terminal.read_until(lambda text: "12/13" in text)
        assert "ingestion" not in text, "it has not begun"
        stall.release.open()
        assert terminal.read_all() == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.text)
    note = "note: the collection has ended, and the ingestion of 13 archives begins"
    assert plain.count(note) == 1
    assert plain.index("12/13") < plain.index(note) < plain.index("committing spot.klines")
    assert "13/13" in plain.partition("committing spot.klines")[2]
    assert Screen(100).feed(terminal.text).rows[0] == note


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (["ingest"], "committing spot.klines"),
        (["validate"], "validating"),
        (["verify"], "verifying"),
        (["verify", "--combined", "marks"], "verifying"),
    ],
)
def test_commands_show_their_progress_on_a_terminal(
    tmp_path: Path, command: list[str], shown: str
) -> None:
    for day in days(FIRST, 3):
        put(tmp_path / "tree", bars(day))
    command = [command[0], "-o", "tree", *command[1:]]
    with OnTerminal(command, tmp_path, 60) as terminal:
        assert terminal.read_all() == 0
    assert shown in terminal.text
    assert "3/3" in terminal.text or "3 archives" in terminal.text
    assert terminal.text.count("\x1b[?25l") == terminal.text.count("\x1b[?25h")
    with OnTerminal([*command, "--quiet"], tmp_path, 60) as terminal:
        assert terminal.read_all() == 0
    assert "\x1b[?25l" not in terminal.text


def test_marks_on_a_terminal_are_not_torn_by_progress(tmp_path: Path) -> None:
    put(tmp_path / "tree", bars(FIRST))
    with OnTerminal(["verify", "-o", "tree", "--combined", "-"], tmp_path, 60) as terminal:
        assert terminal.read_all() == 0
    assert "\x1b" not in terminal.text


Steps = list[tuple[str, int, int | None]]


def _gathered(steps: Steps) -> Callable[[StepProgress], None]:
    return lambda progress: steps.append((progress.step, progress.done, progress.total))


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("form", ["iceberg", "parquet"])
async def test_an_ingestion_counts_every_archive_once(
    tmp_path: Path, form: str, workers: int
) -> None:
    first = bars(FIRST)
    for archive in (*(bars(day, name) for name in ("A", "B") for day in days(FIRST, 3)),
                    month_of(first)):  # fmt: skip
        put(tmp_path, archive)
    put(tmp_path, bars(FIRST, "C"), "no,bars\n")
    unproven = tmp_path / bars(FIRST, "D").key
    unproven.parent.mkdir(parents=True)
    unproven.write_bytes(b"no sidecar")
    config = LakeConfig(output_directory=str(tmp_path), format=form, workers=workers)
    steps: Steps = []
    await IngestWorkflow(config, on_progress=_gathered(steps)).run()
    checked = [step for step in steps if step[0] == "checking digests"]
    assert checked == [("checking digests", number, None) for number in range(1, 10)]
    others = steps[len(checked) :]
    assert {step for step, _, _ in others} <= {"reading spot.klines", "committing spot.klines"}
    assert {total for _, _, total in others} == {9}
    done = [done for _, done, _ in others]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (1, 9), "the archive that nothing proves is done at once"
    again: Steps = []
    await IngestWorkflow(config, on_progress=_gathered(again)).run()
    assert {step for step, _, _ in again} <= {"checking digests", "reading spot.klines"}


async def test_an_archive_that_is_read_again_is_not_counted_twice(tmp_path: Path) -> None:
    from crypto_lakehouse.workflows.ingest_progress import IngestProgress

    steps: Steps = []
    progress = IngestProgress(_gathered(steps))
    for _ in range(5):
        progress.found()
    with progress.table("spot.klines", 3, 2):
        progress.read(2)
        progress.read(2)
    with progress.table("spot.trades", 2, 0):
        pass
    with progress.table("um.klines", 0, 0):
        progress.committing()
    assert [(step, done) for step, done, _ in steps[5:]] == [
        ("reading spot.klines", 1),
        ("reading spot.klines", 3),
        ("reading spot.klines", 3),
        ("committing um.klines", 5),
    ]


async def test_a_validation_counts_what_it_reads(tmp_path: Path) -> None:
    for archive in (*map(bars, days(FIRST, 3)), bars(FIRST, "ETHUSDT")):
        put(tmp_path, archive)
    (tmp_path / bars(FIRST).folder / "BTCUSDT-1h-odd.zip").write_bytes(b"no archive")
    steps: Steps = []
    config = LakeConfig(output_directory=str(tmp_path), symbols=["BTCUSDT"])
    await ValidationWorkflow(config, on_progress=_gathered(steps)).run()
    assert steps == [("validating", 0, 3), ("validating", 3, 3)]


def test_progress_is_painted_on_terminals_that_can_repaint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert terminal_rows(quiet=False) is None
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    assert terminal_rows(quiet=False) is None
    assert isinstance(collection_sink(ByteMeter(), None, quiet=False), LinesSink)
    with step_display(quiet=False) as display:
        assert isinstance(display, StepLines)
    monkeypatch.setenv("TERM", "xterm")
    assert terminal_rows(quiet=True) is None
    rows = terminal_rows(quiet=False)
    assert rows is not None
    assert isinstance(collection_sink(ByteMeter(), rows, quiet=False), ProgressSink)
