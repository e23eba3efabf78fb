"""Files that a user names may be pipes, or devices without an end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.attack.conftest import DAYS, KEYS, run
from tests.attack.raw_source import RawSource

#: No test waits longer for a child, in seconds.
PATIENCE_S = 60

COLLECT = ("collect", "-o", "out", "--markets", "spot", "-s", "BTCUSDT", "-t", "klines", "-i", "1h",
           "--date", DAYS[0])  # fmt: skip

#: Commands that read a file, whose name is added.
READING = {
    "configuration": (*COLLECT, "--config"),
    "holes": (*COLLECT, "--holes-path"),
    "matrix": (*COLLECT, "--matrix-path"),
    "matrix of a plan": ("plan", *COLLECT[1:], "--matrix-path"),
    "matrix of a refresh": ("matrix", "refresh", "--to", "m.json", "--matrix"),
    "matrix shown": ("matrix", "show"),
}


@pytest.mark.parametrize("name", [*READING][:5])
def test_a_device_without_an_end_is_refused(here: Path, name: str) -> None:
    ended = run(*READING[name], "/dev/zero")
    assert ended.code == 2
    assert "it has more than 67,108,864 bytes" in ended.err
    assert not (here / "out").exists()


def open_writer(pipe: Path, reader: subprocess.Popen[bytes]) -> int:
    """Open a pipe as soon as a process reads it, and fail if the process ends."""
    while reader.poll() is None:
        with contextlib.suppress(OSError):
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        os.sched_yield()
    raise AssertionError(reader.communicate())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", [*READING][:4])
def test_the_first_signal_ends_the_wait_for_a_pipe(
    here: Path, name: str, number: signal.Signals
) -> None:
    os.mkfifo(here / "pipe")
    command = [sys.executable, "-m", "crypto_lakehouse", *READING[name], "pipe"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        writer = open_writer(here / "pipe", process)
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE_S)
        os.close(writer)
    assert process.returncode in {128 + number, -number}, (out, err)
    assert b"Traceback" not in err
    assert not (here / "out").exists()


def test_pipes_with_a_writer_are_read(source: RawSource, here: Path) -> None:
    texts = {"config.json": f'{{"source_url": "{source.url}"}}', "holes": f"{KEYS[1]}\n"}
    writers = []
    for name, text in texts.items():
        os.mkfifo(here / name)
        writers.append(threading.Thread(target=(here / name).write_text, args=(text,)))
        writers[-1].start()
    ended = run(*COLLECT, "--config", "config.json", "--holes-path", "holes", "-q")
    assert ended.code == 0, ended
    for writer in writers:
        writer.join()
    assert (here / "out" / KEYS[0]).is_file()


def test_standard_input_may_be_the_file(source: RawSource, here: Path) -> None:
    command = [
        sys.executable, "-m", "crypto_lakehouse", *COLLECT, "--source-url", source.url, "-q",
        "--holes-path", "/dev/stdin",
    ]  # fmt: skip
    ended = subprocess.run(command, input=KEYS[1].encode(), capture_output=True, check=False)
    assert ended.returncode == 0, ended
    assert (here / "out" / KEYS[0]).is_file()
