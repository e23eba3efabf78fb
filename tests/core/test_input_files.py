"""Files that a user names: bounded, and the wait for a pipe ends with the run."""

from __future__ import annotations

import os
import threading
from functools import partial
from pathlib import Path

import anyio
import pytest

from crypto_lakehouse.core.input_files import ReadingStopped, read_in_thread, read_input


def test_a_file_is_read_whole_up_to_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_input(path, 5) == b"12345"
    with pytest.raises(OSError, match="it has more than 4 bytes"):
        read_input(path, 4)
    with pytest.raises(FileNotFoundError):
        read_input(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        read_input(tmp_path)


def test_a_device_without_an_end_is_refused() -> None:
    with pytest.raises(OSError, match="it has more than 3,000,000 bytes"):
        read_input("/dev/zero", 3_000_000)
    assert read_input("/dev/null") == b""


def write(path: Path, parts: list[bytes]) -> None:
    with path.open("wb", buffering=0) as file:
        for part in parts:
            file.write(part)


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    parts = [b"a" * 100_000, b"b" * 100_000, b"c"]
    writer = threading.Thread(target=write, args=(pipe, parts))
    writer.start()
    assert read_input(pipe) == b"".join(parts)
    writer.join()


def test_an_open_pipe_is_read_by_its_number() -> None:
    read, written = os.pipe()
    os.write(written, b"text")
    os.close(written)
    assert read_input(f"/dev/fd/{read}") == b"text"
    os.close(read)


async def test_a_run_that_is_stopped_ends_the_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    asked = iter([False, False, True])
    with pytest.raises(ReadingStopped):
        await read_in_thread(partial(read_input, tmp_path / "pipe"), lambda: next(asked))


async def test_a_cancelled_read_ends_its_thread(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    begun, ended = anyio.Event(), threading.Event()

    def read() -> None:
        anyio.from_thread.run_sync(begun.set)
        try:
            read_input(tmp_path / "pipe")
        except ReadingStopped:
            ended.set()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read_in_thread, read)
            await begun.wait()
            tasks.cancel_scope.cancel()
        await anyio.to_thread.run_sync(ended.wait)


async def test_an_error_of_a_read_in_a_thread_is_raised(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await read_in_thread(partial(read_input, tmp_path / "absent"))
    (tmp_path / "there").write_bytes(b"text")
    assert await read_in_thread(partial(read_input, tmp_path / "there")) == b"text"
