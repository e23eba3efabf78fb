"""A process that answers one question: a child with a pipe in and a pipe out."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from typing import Any

import anyio

from crypto_lakehouse.core.errors import ProcessEndedError
from crypto_lakehouse.executors.processes.executor import child_environment, how_it_ended

__all__ = ["answer_of"]

#: How long a process may take to end once its input is closed, in seconds.
END_WITHIN_S = 5.0

#: So much of its standard error is quoted if there is no answer.
_QUOTED_BYTES = 2000


async def answer_of(program: str, question: object) -> Any:
    """Start a process, send it a question, and return its answer.

    The end of its input tells the process to end: it comes if this task is cancelled, or if this
    process is gone. It gets Ctrl-C from this process only, in that way.

    Args:
        program: The module that the process runs, as `python -m` takes it. It reads a pickle from
            standard input, and writes one to standard output.
        question: Goes over the pipe, so that no other process sees it. The process has all
            variables of this one, as those of object stores.

    Raises:
        ProcessEndedError: The process cannot be started, or ended without an answer.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # nothing is imported from the working directory
            "-m",
            program,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            env=child_environment(is_whole=True),
        )
    except (OSError, NotImplementedError) as error:  # not every event loop supports processes
        raise ProcessEndedError(f"it cannot be started: {error!r}") from error
    said = bytearray()
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_read_end, process, said)
            answer = await _ask(process, question)
            await _close(process)
    finally:
        await _end(process)
    code = await process.wait()
    if not answer:
        quoted = said.decode(errors="replace").strip()
        raise ProcessEndedError(f"{how_it_ended(code)}{': ' if quoted else ''}{quoted}")
    return pickle.loads(answer)  # noqa: S301 - from a child


async def _ask(process: Process, question: object) -> bytes:
    assert process.stdin is not None  # noqa: S101 - for the type checker
    assert process.stdout is not None  # noqa: S101
    with suppress(ConnectionError):  # it has ended already, and gives no answer
        process.stdin.write(pickle.dumps(question, pickle.HIGHEST_PROTOCOL))
        await process.stdin.drain()
    return await process.stdout.read()


async def _read_end(process: Process, said: bytearray) -> None:
    """Read standard error to its end, and keep its last bytes."""
    assert process.stderr is not None  # noqa: S101 - for the type checker
    while text := await process.stderr.read(1 << 16):
        said += text
        del said[:-_QUOTED_BYTES]


async def _close(process: Process) -> None:
    """Close the input of a process, and kill it if it does not end soon."""
    if process.stdin is not None:
        process.stdin.close()
    with anyio.move_on_after(END_WITHIN_S):
        await process.wait()
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()


async def _end(process: Process) -> None:
    """Let no process be left, whatever happens."""
    with anyio.CancelScope(shield=True):
        await _close(process)
        # Before Python 3.13 `wait` does not return as long as some of the output is unread.
        for pipe in (process.stdout, process.stderr):
            while pipe is not None and await pipe.read(1 << 16):
                pass
        await process.wait()
