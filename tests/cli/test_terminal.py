"""Text of unknown origin on a terminal, and standard output that its reader closes."""

from __future__ import annotations

import asyncio
import logging
import os
import pty
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import click
import polars as pl
import pytest
from rich.text import Text
from tests.cli.conftest import Shell, Start
from tests.tables.sample_data import bars, put, text_of

from crypto_lakehouse.cli.logs import configure_logging
from crypto_lakehouse.cli.main import main
from crypto_lakehouse.cli.render import print_table
from crypto_lakehouse.cli.status_output import print_holes
from crypto_lakehouse.cli.terminal import console, escaped_on_terminals
from crypto_lakehouse.core.events import RunStarted, RunWarned
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.coverage.coverage import Hole
from crypto_lakehouse.coverage.hole_causes import HoleCause
from crypto_lakehouse.sinks.progress import ProgressSink

#: Sets a terminal's title, rings its bell, clears its screen by a C1 code, and reverses the text.
HOSTILE = "\x1b]0;owned\x07\x9b2J\u202e"

#: An escape sequence that is neither a colour nor a movement of the cursor.
_FOREIGN = re.compile(r"\x1b(?!\[[0-9;?]*[A-Za-z])|[\x07\x80-\x9f\u202e]")

_SQL = f"""SELECT '{HOSTILE}' AS "{HOSTILE}" """

OnTerminal = Callable[..., str]


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> OnTerminal:
    """Run something with a terminal as standard output and standard error."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def run(work: Callable[[], None], encoding: str = "utf-8") -> str:
        master, slave = pty.openpty()
        chunks: list[bytes] = []
        reader = threading.Thread(target=_drain, args=(master, chunks))
        reader.start()
        with os.fdopen(slave, "w", encoding=encoding) as terminal, monkeypatch.context() as patched:
            patched.setattr("sys.stdout", terminal)
            patched.setattr("sys.stderr", terminal)
            work()
        reader.join()
        os.close(master)
        return b"".join(chunks).decode().replace("\r\n", "\n")

    return run


def _drain(master: int, chunks: list[bytes]) -> None:
    while True:
        try:
            chunk = os.read(master, 65_536)
        except OSError:  # how Linux says that this was all
            return
        if not chunk:
            return
        chunks.append(chunk)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`lake` has a table; `tree` an archive with a hostile header, and one with a hostile value."""
    root = tmp_path_factory.mktemp("folders")
    put(root / "lake", bars(date(2023, 7, 1)))
    with pytest.raises(SystemExit) as ended:
        main(["ingest", "-o", str(root / "lake")])
    assert ended.value.code == 0
    rows = text_of(bars(date(2023, 7, 1)))
    put(root / "tree", bars(date(2023, 7, 1)), f"{HOSTILE},open,high\n{rows}")
    rows = text_of(bars(date(2023, 7, 2)))
    put(root / "tree", bars(date(2023, 7, 2)), rows.replace(",", f",{HOSTILE}", 1))
    return root


#: What each command is, and whether it shows the text: some messages name only where it is.
COMMANDS = {
    "ingest": (["ingest", "-o", "tree"], True),
    "validate as JSON": (["validate", "-o", "tree", "--json"], True),
    "validate": (["validate", "-o", "tree"], True),
    "query": (["query", "-o", "lake", _SQL], True),
    "query as CSV": (["query", "-o", "lake", "-f", "csv", _SQL], True),
    "query as JSON": (["query", "-o", "lake", "-f", "json", _SQL], True),
    "query of an unknown column": (["query", "-o", "lake", f'SELECT "{HOSTILE}"'], True),
    "query as of": (["query", "-o", "lake", "--as-of", HOSTILE, "FROM spot.klines"], True),
    "query to a file": (["query", "-o", "lake", "--to", f"{HOSTILE}.x", "SELECT 1"], True),
    "query as parquet": (["query", "-o", "lake", "-f", "parquet", _SQL], False),
    "status": (["status", "-o", HOSTILE], False),
    "verify": (["verify", "-o", HOSTILE], False),
    "history": (["history", "-o", "tree", HOSTILE], False),
    "collect": (["collect", "-o", "out", "--source-url", HOSTILE], False),
    "plan": (["plan", "-o", "out", "-s", HOSTILE], False),
    "config": (["config", "show", "--config", HOSTILE], True),
    "matrix": (["matrix", "show", HOSTILE], True),
    "unknown command": ([HOSTILE], True),
    "unknown option": (["query", f"--{HOSTILE}"], True),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_sends_control_characters_of_outside_text_to_a_terminal(
    on_terminal: OnTerminal, folders: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    arguments, is_shown = COMMANDS[name]
    monkeypatch.chdir(folders)

    def work() -> None:
        with pytest.raises(SystemExit):
            main(arguments)

    text = on_terminal(work)
    assert text
    assert not _FOREIGN.search(text)
    assert not is_shown or "]0;owned" in text


def test_parquet_is_refused_on_a_terminal_alone(
    on_terminal: OnTerminal, folders: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Standard output without a buffer, as with PYTHONUNBUFFERED=1, is no terminal."""
    monkeypatch.chdir(folders)
    query = ["query", "-o", "lake", "-f", "parquet", "SELECT 42 a"]

    def work() -> None:
        with pytest.raises(SystemExit) as ended:
            main(query)
        assert ended.value.code == 2

    assert "Parquet cannot be written to a terminal; use --to FILE" in on_terminal(work)
    path = tmp_path / "rows.parquet"
    with path.open("wb") as file:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-m", "crypto_lakehouse", *query]
        subprocess.run(command, stdout=file, env=environment, check=True)
    assert pl.read_parquet(path).to_dicts() == [{"a": 42}]


def test_a_pipe_gets_the_text_unchanged(
    shell: Shell, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folders)
    code, out, _ = shell("query", "-o", "lake", "-f", "csv", _SQL)
    assert (code, out) == (0, f'"{HOSTILE}"\n"{HOSTILE}"\n')


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_display_moves_the_cursor_and_its_lines_do_not(
    on_terminal: OnTerminal, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    started = RunStarted(
        run_id="1", workflow="collect", planned=1, at=datetime(2025, 7, 1, tzinfo=UTC)
    )
    logger = logging.getLogger("crypto_lakehouse")
    for name in ("handlers", "level", "propagate"):
        monkeypatch.setattr(logger, name, getattr(logger, name))

    async def display() -> None:
        sink = ProgressSink(ByteMeter(), console=console(stderr=True))
        await sink.handle([started])
        await sink.handle([RunWarned(message=HOSTILE)])
        await sink.close()

    def work() -> None:
        with escaped_on_terminals():
            asyncio.run(display())
            click.echo(HOSTILE)
            console().print(HOSTILE, Text(HOSTILE), Text("plain", "bold"), highlight=False)
            configure_logging("text")
            try:
                raise ValueError(HOSTILE)
            except ValueError:
                logger.exception(HOSTILE)

    text = on_terminal(work, encoding)
    assert "\x1b[?25l" in text  # the cursor is hidden
    assert "\x1b[1mplain\x1b[0m" in text
    assert not _FOREIGN.search(text)
    assert text.count(r"\x1b]0;owned") == 6


def test_markup_in_a_table_is_text(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    print_table("[red]title", ["column"], [["[link=https://example.org]text[/link]"]])
    out = capsys.readouterr().out
    assert "[red]title" in out
    assert "[link=https://example.org]text[/link]" in out


def test_a_query_whose_reader_has_enough_ends_with_141(folders: Path, start: Start) -> None:
    sql = "SELECT * FROM range(10000000)"
    process = start(["query", "-o", str(folders / "lake"), "-f", "csv", sql])
    assert process.stdout is not None
    assert process.stdout.readline() == '"range"\n'
    process.stdout.close()
    assert process.wait() == 141
    assert process.stderr is not None
    assert process.stderr.read() == ""


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["collect", "--help"], ["lake", "--help"], []]
)
def test_a_help_whose_reader_has_closed_the_pipe_ends_with_141(arguments: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run(
        [sys.executable, "-m", "crypto_lakehouse", *arguments],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)
    # Without arguments the help is an error, and goes to standard error.
    assert process.returncode == (141 if arguments else 2)
    assert (process.stderr == b"") is bool(arguments)


@pytest.mark.parametrize(
    ("columns", "left_out"),
    [
        (80, "size; holes, in days; days"),
        (70, "size; holes, in days; days; market"),
        (60, "size; holes, in days; days; data type"),
    ],
)
def test_a_table_leaves_out_columns_and_keeps_symbols_and_days_whole(
    on_terminal: OnTerminal, monkeypatch: pytest.MonkeyPatch, columns: int, left_out: str
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    names = ("market", "data type", "symbol", "interval", "first", "last", "days", "size",
             "holes, in days")  # fmt: skip
    row = ("spot", "klines", "1000SATSUSDT", "1h", "2024-01-01", "2024-12-31", "360/366",
           "1.2 MB", "6 not_collected")  # fmt: skip
    droppable = ("size", "holes, in days", "days", "market", "data type", "interval")
    text = on_terminal(
        lambda: print_table(
            "coverage", names, [row], droppable=droppable, foldable=("holes, in days",)
        )
    )
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    (line,) = [line for line in lines if "1000SATSUSDT" in line]
    assert [cell.strip() for cell in line.split("│")] == [
        cell for name, cell in zip(names, row, strict=True) if name not in left_out.split("; ")
    ]
    assert max(map(len, lines)) <= columns
    assert f"columns left out at this width: {left_out}" in " ".join(map(str.strip, lines))


@pytest.mark.parametrize("columns", [50, 120, 166, 167])
def test_a_row_is_shown_as_lines_if_there_is_no_room_for_its_columns(
    on_terminal: OnTerminal, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    names, place = ("first seen", "why", "size", "bytes"), "data/" + "spot/" * 20 + "[bold]\x1b.zip"
    rows = [("2025-07-16T00:00:00+00:00", "replaced", 99, place), ("-", "current", 100, "-")]
    text = on_terminal(lambda: print_table("versions", names, rows, stackable=True))
    stacked = f"""versions

first seen  2025-07-16T00:00:00+00:00
why         replaced
size        99
bytes       {place[:-5]}\\x1b.zip

first seen  -
why         current
size        100
bytes       -
"""
    if columns < 167:
        assert text == stacked
    else:
        line = f" {rows[0][0]} │ replaced │ 99   │ {place[:-5]}\\x1b.zip"
        assert line in [each.rstrip() for each in text.splitlines()]


@pytest.mark.parametrize(
    ("columns", "is_joined", "left_out"),
    [(120, False, ""), (100, True, ""), (80, True, ""), (60, True, "reason")],
)
def test_holes_keep_what_names_them_and_fold_long_words_of_the_reason(
    on_terminal: OnTerminal,
    monkeypatch: pytest.MonkeyPatch,
    columns: int,
    is_joined: bool,
    left_out: str,
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    url = "https://github.com/binance/binance-public-data/issues/475"
    day = date(2024, 1, 1)
    hole = Hole(cause=HoleCause.FAILED, first_day=day, last_day=day, days=1, reason=f"see {url}")
    text = on_terminal(lambda: print_holes([(("spot", "klines", "BTCUSDT", "1h"), hole)]))
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    assert max(map(len, lines)) <= columns
    rows = [[cell.strip() for cell in line.split("│")] for line in lines if "│" in line]
    names = ["market", "data type", "symbol", "interval"]
    assert lines[1].split()[0] == ("series" if is_joined else names[0])
    width = 1 if is_joined else 4
    name = " ".join(" ".join(row[:width]) for row in rows).split()
    assert name == ["spot", "klines", "BTCUSDT", "1h"]
    cells = ["2024-01-01", "2024-01-01", *([] if is_joined else ["1"]), "failed"]
    assert rows[0][width : width + len(cells)] == cells
    named = "columns left out at this width: "
    assert [each for each in lines if named in each] == ([named + left_out] if left_out else [])
    if not left_out:
        assert "".join(row[-1] for row in rows).replace("see", "") == url


@pytest.mark.parametrize("columns", [80, 50])
@pytest.mark.parametrize(
    ("command", "whole"),
    [
        (("matrix",), ("futures_um", "liquidationSnapshot", "monthly")),
        (("config", "show"), ("accept_upstream_mismatch", "output_directory")),
        (
            ("plan", "-s", "BTCUSDT", "--markets", "spot", "-t", "klines", "-i", "12h",
             "--start", "2024-01-01", "--end", "2024-02-10", "--discovery", "calendar"),
            ("BTCUSDT", "size"),
        ),
    ],
)  # fmt: skip
def test_no_name_is_split_on_a_narrow_terminal(
    on_terminal: OnTerminal,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    columns: int,
    command: tuple[str, ...],
    whole: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)

    def run() -> None:
        with pytest.raises(SystemExit):
            main(command)

    monkeypatch.setenv("COLUMNS", str(columns))
    lines = re.sub(r"\x1b\[[0-9;]*m", "", on_terminal(run)).splitlines()
    table = [line for line in lines if set(line) & set("│┃━")]
    assert max(map(len, table)) <= columns
    cells = {cell.strip() for line in table for cell in re.split("[│┃]", line)}
    assert cells >= set(whole)


@pytest.mark.parametrize("columns", [50, 80])
@pytest.mark.parametrize(
    "command",
    [
        "plan -s BTCUSDT --markets spot -t klines -i 1h --discovery calendar --date 2025-07-15",
        "query -o lake '.schema spot.klines'",
        "query -o lake '.schema lakehouse.archives'",
    ],
)
def test_texts_are_split_between_words_at_the_width(
    on_terminal: OnTerminal,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    folders: Path,
    columns: int,
    command: str,
) -> None:
    monkeypatch.chdir(folders)
    monkeypatch.setenv("COLUMNS", str(columns))

    def run() -> None:
        with pytest.raises(SystemExit) as ended:
            main(shlex.split(command))
        assert ended.value.code == 0

    shown = re.sub(r"\x1b\[[0-9;]*m", "", on_terminal(run))
    texts = [line for line in shown.splitlines() if not set(line) & set("│┃━")]
    assert max(map(len, texts)) <= columns
    capsys.readouterr()
    run()
    piped = capsys.readouterr().out.splitlines()
    last = piped[-1].split()
    assert shown.split()[-len(last) :] == last, "no word is lost or split"
