"""An application may cancel a run at any await: nothing is left, and the next run completes."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.faults.stage import SCENES, SlowSink, Stage
from tests.faults.stepping import APPLICATIONS, Traces, complaints, loop_with_steps, sample
from yarl import URL

from crypto_lakehouse import run_collection
from crypto_lakehouse.core.events import Event
from crypto_lakehouse.core.task_groups import in_own_task
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.workflows.wiring.delivery import Delivery

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="files are counted")

Play = Callable[..., int]

KLINES_OF_A_DAY = {
    "source_url": "http://127.0.0.1:1",
    "symbols": ["BTCUSDT"],
    "data_types": ["klines"],
    "intervals": ["1h"],
    "default_date": "2025-07-15",
    "discovery": "calendar",
}


@contextmanager
def frozen_garbage() -> Iterator[None]:
    """Let the collector look only at what is made from now on; it is asked to very often."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@pytest.fixture
def play(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Play]:
    """Play a scene with an application that cancels at many steps, one at a time."""

    def play(name: str, application: str = "task", *, most: int, again: bool = False) -> int:
        with (
            ArchiveServer(generate=False) as server,
            asyncio.Runner(loop_factory=loop_with_steps) as runner,
            frozen_garbage(),
        ):
            stage = Stage(SCENES[name], server, tmp_path, URL(server.url).port or 0)
            return runner.run(
                _cancel_at_many_steps(stage, application, most, Random(name), again=again)
            )

    yield play
    assert capfd.readouterr() == ("", "")


async def _cancel_at_many_steps(
    stage: Stage, how: str, most: int, chance: Random, *, again: bool
) -> int:
    """Return how often the call was cancelled; where it is to be again, how often it was twice."""
    await stage.set()
    application = APPLICATIONS[how]
    await stage.play(application)  # what is loaded and kept for good is, after this one
    undisturbed = await stage.play(application)
    cancelled = 0
    for step in sample(undisturbed.count, most, chance):
        at = (step, step + chance.randint(1, 30)) if again else (step,)
        cancelled += (await stage.play(application, *at)).cancelled > again
    return cancelled


@pytest.mark.parametrize("name", SCENES)
def test_a_run_can_be_cancelled_at_every_await(play: Play, name: str) -> None:
    most = SCENES[name].most
    assert play(name, most=most) > most // 2


@pytest.mark.parametrize("name", ["listing", "large", "session", "sink"])
def test_a_run_can_be_cancelled_again_while_it_ends(play: Play, name: str) -> None:
    assert play(name, most=25, again=True) > 12


@pytest.mark.parametrize("application", ["timeout", "fail_after", "task group"])
@pytest.mark.parametrize("name", ["listing", "large"])
def test_a_run_can_be_cancelled_by_its_surroundings(
    play: Play, name: str, application: str
) -> None:
    assert play(name, application, most=25) > 12


# What steps alone do not show: threads that are slow ---------------------------------------------


async def _cancelled(call: Awaitable[object], when: Callable[[], bool]) -> asyncio.Task[Any]:
    """Cancel a call once something is so, and in that very step of the loop."""
    task = asyncio.ensure_future(call)
    while not when():
        assert not task.done()
        await asyncio.sleep(0)
    task.cancel()
    return task


@pytest.mark.parametrize("fails", [False, True])
def test_a_name_lookup_that_hangs_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    began, go_on, whole = threading.Event(), threading.Event(), socket.getaddrinfo

    def ask(*arguments: Any, **options: Any) -> Any:
        began.set()
        assert go_on.wait(200)
        if fails:
            raise socket.gaierror("there is no such name")
        return whole(*arguments, **options)

    async def application() -> None:
        config = {
            **KLINES_OF_A_DAY,
            "source_url": "http://localhost:9",  # a name: addresses are not looked up
            "output_directory": str(tmp_path),
        }
        before = Traces.now(0)
        task = await _cancelled(run_collection(config), began.is_set)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert Traces.now(0).beyond(before) == []

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    with complaints() as found, asyncio.Runner() as runner:
        try:
            runner.run(application())
        finally:
            go_on.set()
    assert found == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the file opens when the test likes")
def test_a_configuration_that_is_just_opened_is_closed_again(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    os.mkfifo(path)
    writers: list[int] = []

    def is_opened() -> bool:
        try:
            writers.append(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:  # nobody reads yet
            return False
        return True

    async def application() -> None:
        task = await _cancelled(run_collection(path), is_opened)
        os.write(writers[0], json.dumps(KLINES_OF_A_DAY).encode())
        os.close(writers[0])
        with pytest.raises(asyncio.CancelledError):
            await task

    with complaints() as found, asyncio.Runner() as runner:
        runner.run(application())
    assert found == []


async def test_a_sink_that_hangs_is_waited_for_no_longer_than_is_allowed(tmp_path: Path) -> None:
    class Hanging(SlowSink):
        began = closes = 0

        async def handle(self, events: Sequence[Event]) -> None:
            self.began += 1
            await asyncio.Event().wait()

        async def close(self) -> None:
            self.closes += 1
            await asyncio.Event().wait()

    at_once = Delivery(drain_s=0.0, close_within_s=0.0)
    config, sink = {**KLINES_OF_A_DAY, "output_directory": str(tmp_path)}, Hanging()
    before = Traces.now(0)
    run = run_collection(config, sinks=[sink], delivery=at_once)
    task = await _cancelled(run, lambda: sink.began > 0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert Traces.now(0).beyond(before) == []
    assert (sink.began, sink.closes) == (1, 1)


# A task of one's own ------------------------------------------------------------------------------


async def test_an_error_while_a_cancelled_function_ends_is_a_note() -> None:
    async def function() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            raise ValueError("the disk is gone")

    task = asyncio.ensure_future(in_own_task(function))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as raised:
        await task
    assert raised.value.__notes__ == ["ending failed as well: ValueError('the disk is gone')"]


async def test_a_function_that_ends_well_although_it_is_cancelled_ends_in_its_cancellation() -> (
    None
):
    async def function() -> str:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(30)
        return "well"

    task = asyncio.ensure_future(in_own_task(function))
    await asyncio.sleep(0)
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await task
    assert task.cancelled()


async def test_a_function_that_is_cancelled_from_within_is_cancelled() -> None:
    async def function() -> None:
        raise asyncio.CancelledError("from within")

    with pytest.raises(asyncio.CancelledError, match="from within"):
        await in_own_task(function)
