"""A process that answers one question."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from crypto_lakehouse.core.errors import ProcessEndedError
from crypto_lakehouse.executors.processes.one_answer import answer_of, bytes_of

_PROGRAM = "tests.executors.processes.answering"


async def test_an_answer_or_how_the_process_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_X", "known")
    assert await answer_of(_PROGRAM, ("answer", "secret")) == ("secret", [], "known")
    with pytest.raises(ProcessEndedError, match="ended by signal 9: a remark"):
        await answer_of(_PROGRAM, ("kill", ""))
    with pytest.raises(ProcessEndedError, match="ended with code 0"):
        await answer_of(_PROGRAM, ("nothing", ""))
    with pytest.raises(ProcessEndedError, match="No module named"):
        await answer_of("tests.no_such_program", "x" * (1 << 20))
    with pytest.raises(ProcessEndedError, match="its answer is longer than 100,000 bytes"):
        await bytes_of(_PROGRAM, ("answer", "x" * 1_000_000), most_bytes=100_000)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(ProcessEndedError, match="cannot be started"):
        await answer_of(_PROGRAM, ("answer", ""))


async def test_a_process_ends_with_the_task_that_asks(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(answer_of, _PROGRAM, ("wait", str(mark)))
        while not mark.exists():
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert not mark.exists()
