"""Signals, locks, pipes and terminals: what only a process of its own can show."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import KEY, Start, collect

from crypto_lakehouse.testing import ArchiveServer, faults


def test_lines_in_a_pipe_and_a_display_on_a_terminal(
    archive_server: ArchiveServer, tmp_path: Path, start: Start
) -> None:
    archive_server.remove(KEY)
    piped = start(collect(archive_server))
    out, err = piped.communicate(timeout=60)
    assert piped.returncode == 3
    assert f"missing {KEY}" in err
    assert "\x1b" not in out + err

    master, slave = pty.openpty()
    command = [sys.executable, "-m", "crypto_lakehouse", *collect(archive_server)]
    shown = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=slave,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "160"},
    )  # fmt: skip
    os.close(slave)
    text = _drain(master)
    stdout, _ = shown.communicate(timeout=60)
    assert shown.returncode == 3
    assert b"\x1b[" not in stdout
    assert "archives" in text
    assert re.search(r"13/13", text)
    assert f"missing {KEY}" in text.replace("\r\n", "")


def _drain(master: int) -> str:
    """Everything a process writes to its terminal until it ends."""
    chunks = []
    while True:
        try:
            chunk = os.read(master, 65_536)
        except OSError:
            break
        if not chunk:
            break
        chunks.append(chunk)
    os.close(master)
    return b"".join(chunks).decode()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_in_order(
    archive_server: ArchiveServer,
    tmp_path: Path,
    start: Start,
    number: signal.Signals,
    code: int,
) -> None:
    stall = faults.Stall(at=0)
    archive_server.inject(KEY, stall)
    process = start(collect(archive_server, "--json"))
    assert stall.reached.wait(60)
    process.send_signal(number)
    out, err = process.communicate(timeout=200)
    assert process.returncode == code
    assert json.loads(out)["status"] == "interrupted"
    assert "what is verified is kept" in err
    assert "Traceback" not in err
    assert not (tmp_path / "out" / KEY).exists()
    again = start(collect(archive_server, "--json"))
    out, _ = again.communicate(timeout=60)
    totals = json.loads(out)["totals"]
    assert totals["verified"] + totals["unchanged"] == 13


def test_a_second_run_ends_with_11(archive_server: ArchiveServer, start: Start) -> None:
    stall = faults.Stall(at=0)
    archive_server.inject(KEY, stall)
    first = start(collect(archive_server))
    assert stall.reached.wait(60)
    second = start(collect(archive_server))
    _, err = second.communicate(timeout=60)
    assert second.returncode == 11
    assert "another run holds the lock" in err
    stall.release.open()
    first.communicate(timeout=60)
    assert first.returncode == 0


def test_a_closed_pipe_is_no_fault(start: Start) -> None:
    process = start(["plan", "-s", "BTCUSDT", "--markets", "spot", "-t", "klines", "--start",
                     "2018-01-01", "--end", "2024-12-31", "--partitions", "daily",
                     "--format", "urls"])  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.stderr.close()
    process.wait(timeout=60)
    assert "Traceback" not in err
