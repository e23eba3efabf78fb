"""A process that answers one question: a child with a pipe in and a pipe out."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import anyio
from attrs import frozen

from crypto_lakehouse.core.errors import ProcessEndedError
from crypto_lakehouse.executors.processes.executor import child_environment, how_it_ended

__all__ = ["Ended", "answer_of", "bytes_of"]

#: How long a process may take to end once its input is closed, in seconds.
END_WITHIN_S = 5.0

#: So much of its standard error is quoted if there is no answer.
_QUOTED_BYTES = 2000


@frozen
class Ended:
    """A process that has ended.

    Attributes:
        answer: What it wrote to standard output; empty if it gave no answer.
        code: Its exit code; less than 0 is the number of the signal that ended it.
        said: The end of what it wrote to standard error.
    """

    answer: bytes
    code: int
    said: str

    @property
    def reason(self) -> str:
        """How it ended, and what it said."""
        return f"{how_it_ended(self.code)}{': ' if self.said else ''}{self.said}"


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
    ended = await bytes_of(program, question)
    if not ended.answer:
        raise ProcessEndedError(ended.reason)
    return pickle.loads(ended.answer)  # noqa: S301 - from a child


async def bytes_of(
    program: str,
    question: object,
    *,
    variables: Mapping[str, str] | None = None,
    most_bytes: int | None = None,
    is_killed: bool = False,
) -> Ended:
    """Start a process, send it a question, and return what it answers, which is not unpickled.

    Args:
        program: As of `answer_of`; it may write any bytes.
        question: As of `answer_of`.
        variables: Variables of the process beside those of this one.
        most_bytes: A longer answer is refused; None for any length.
        is_killed: Whether the process is killed at once if this task is cancelled; else it has
            `END_WITHIN_S` seconds to end in order.

    Raises:
        ProcessEndedError: The process cannot be started, or its answer is too long.
    """
    process = await _started(program, variables or {})
    said = bytearray()
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_read_end, process, said)
            answer = await _ask(process, question, most_bytes)
            is_too_long = most_bytes is not None and len(answer) > most_bytes
            await _close(process, 0 if is_too_long else END_WITHIN_S)
    finally:
        await _end(process, 0 if is_killed else END_WITHIN_S)
    if is_too_long:
        raise ProcessEndedError(f"its answer is longer than {most_bytes:,} bytes")
    code = await process.wait()
    return Ended(answer, code, said.decode(errors="replace").strip())


async def _started(program: str, variables: Mapping[str, str]) -> Process:
    command = (sys.executable, "-P", "-m", program)  # -P: nothing from the working directory
    try:
        # A process whose start is interrupted would be left.
        with anyio.CancelScope(shield=True):
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
                env={**child_environment(is_whole=True), **variables},
            )
    except (OSError, NotImplementedError) as error:  # not every event loop supports processes
        raise ProcessEndedError(f"it cannot be started: {error!r}") from error
    return process


async def _ask(process: Process, question: object, most_bytes: int | None) -> bytes:
    """Return the answer, or as much of it as shows that it is too long."""
    assert process.stdin is not None  # noqa: S101 - for the type checker
    assert process.stdout is not None  # noqa: S101
    with suppress(ConnectionError):  # it has ended already, and gives no answer
        process.stdin.write(pickle.dumps(question, pickle.HIGHEST_PROTOCOL))
        await process.stdin.drain()
    answer = bytearray()
    while piece := await process.stdout.read(1 << 16):
        answer += piece
        if most_bytes is not None and len(answer) > most_bytes:
            break
    return bytes(answer)


async def _read_end(process: Process, said: bytearray) -> None:
    """Read standard error to its end, and keep its last bytes."""
    assert process.stderr is not None  # noqa: S101 - for the type checker
    while text := await process.stderr.read(1 << 16):
        said += text
        del said[:-_QUOTED_BYTES]


async def _close(process: Process, within_s: float) -> None:
    """Close the input of a process, and kill it if it does not end in time."""
    if process.stdin is not None:
        process.stdin.close()
    with anyio.move_on_after(within_s):
        await process.wait()
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()


async def _end(process: Process, within_s: float) -> None:
    """Let no process be left, whatever happens."""
    with anyio.CancelScope(shield=True):
        await _close(process, within_s)
        # Before Python 3.13 `wait` does not return as long as some of the output is unread.
        for pipe in (process.stdout, process.stderr):
            while pipe is not None and await pipe.read(1 << 16):
                pass
        await process.wait()
