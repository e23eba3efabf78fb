"""Signals while a query computes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from datetime import date
from pathlib import Path

import duckdb
import pytest
from tests.cli.conftest import Shell
from tests.tables.sample_data import bars, put

from crypto_lakehouse.cli.interruptible import run_interruptible

#: A query that takes days.
ENDLESS = "SELECT sum(a.i * b.i) FROM range(10000000) a(i), range(100000000) b(i)"


@pytest.fixture
def lake(shell: Shell, tmp_path: Path) -> str:
    put(tmp_path / "made", bars(date(2023, 7, 1)))
    assert shell("ingest", "-o", str(tmp_path / "made"))[0] == 0
    return str(tmp_path / "made")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_query_that_computes(lake: str, number: int, code: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "crypto_lakehouse", "query", "-o", lake, ".shell"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"SELECT 'ready' ready;\n{ENDLESS};\n")
        process.stdin.flush()
        assert [process.stdout.readline() for _ in range(2)] == ["ready\n", "ready\n"]
        process.send_signal(number)
        out, err = process.communicate()
    assert (process.returncode, out, err.strip()) == (code, "", "")
    assert not Path(lake, ".lakehouse", "lake", "spill").exists()


def started(lake: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "crypto_lakehouse", "query", "-o", lake, *arguments]
    return subprocess.Popen(command, cwd=Path(lake).parent)


def test_a_file_that_is_not_finished_is_removed_after_sigterm(lake: str, tmp_path: Path) -> None:
    with started(lake, "--to", "rows.csv", ENDLESS) as process:
        while not list(tmp_path.glob(".crypto-lakehouse-*.part")):
            assert process.poll() is None
            os.sched_yield()
        process.terminate()
        assert process.wait() == 143
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_two_queries_into_one_file_leave_the_rows_of_one(lake: str, tmp_path: Path) -> None:
    sql = "SELECT '{}' FROM range(300000)"
    both = [started(lake, "--to", "rows.csv", sql.format(name)) for name in ("one", "two")]
    assert [process.wait() for process in both] == [0, 0]
    rows = (tmp_path / "rows.csv").read_text().splitlines()[1:]
    assert len(rows) == 300_000
    assert len(set(rows)) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "rows.csv"]


@pytest.mark.parametrize("ends", [signal.SIGINT, None])
def test_the_main_thread_answers_signals_while_duckdb_computes(ends: int | None) -> None:
    connection = duckdb.connect()
    seen: list[BaseException] = []

    def work() -> None:
        if ends is None:
            raise ValueError("of the work")
        threading.Timer(0, os.kill, (os.getpid(), ends)).start()
        try:
            connection.sql(ENDLESS).fetchall()
        except duckdb.Error as error:
            seen.append(error)
            raise

    with pytest.raises(KeyboardInterrupt if ends else ValueError):
        run_interruptible(work, connection.interrupt)
    assert [type(each) for each in seen] == ([duckdb.InterruptException] if ends else [])
