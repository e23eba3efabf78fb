"""One consumer, many sinks: order, backpressure, sick sinks, orderly ends."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest
from anyio.lowlevel import checkpoint

from crypto_lakehouse.collection import dispatch
from crypto_lakehouse.collection.dispatch import Dispatcher
from crypto_lakehouse.core.errors import SinkError
from crypto_lakehouse.core.events import Event, RunWarned


def warned(number: int) -> RunWarned:
    return RunWarned(message=str(number))


class Listener:
    """Remembers everything; may fail, or wait at a gate."""

    def __init__(self, name: str = "listener", *, required: bool = False) -> None:
        self.name = name
        self.required = required
        self.fails = False
        self.fails_to_close = False
        self.gate: anyio.Event | None = None
        self.messages: list[str] = []
        self.flushed = 0
        self.closed = 0

    async def handle(self, events: Sequence[Event]) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.fails:
            raise ValueError("sick")
        self.messages += [event.message for event in events if isinstance(event, RunWarned)]

    async def flush(self) -> None:
        self.flushed += 1

    async def close(self) -> None:
        self.closed += 1
        if self.fails_to_close:
            raise OSError("cannot close")


def farewell() -> Event:
    return RunWarned(message="farewell")


async def test_events_arrive_in_order_and_the_farewell_comes_last() -> None:
    sinks = [Listener("a"), Listener("b")]
    dispatcher = Dispatcher([*sinks], farewell)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dispatcher.run)
        for number in range(2000):
            await dispatcher.emit((warned(number),))
        dispatcher.finish()
    for sink in sinks:
        assert sink.messages == [*map(str, range(2000)), "farewell"]
        assert sink.closed == 1


async def test_emitting_waits_while_the_sinks_are_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "QUEUE_BATCHES", 2)
    sink = Listener()
    sink.gate = anyio.Event()
    dispatcher = Dispatcher([sink], farewell)
    emitted: list[int] = []

    async def emit() -> None:
        for number in range(10):
            await dispatcher.emit((warned(number),))
            emitted.append(number)
        dispatcher.finish()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dispatcher.run)
        tasks.start_soon(emit)
        await anyio.wait_all_tasks_blocked()
        assert len(emitted) < 10
        sink.gate.set()
    assert sink.messages == [*map(str, range(10)), "farewell"]


async def test_a_quiet_run_flushes_its_sinks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "FLUSH_AFTER_S", 0.001)
    sink = Listener()
    dispatcher = Dispatcher([sink], farewell)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dispatcher.run)
        while not sink.flushed:
            await checkpoint()
        dispatcher.finish()
    assert sink.closed == 1


async def test_a_sick_sink_is_dropped_and_the_others_hear_of_it() -> None:
    sick, well = Listener("sick"), Listener("well")
    sick.fails = True
    dispatcher = Dispatcher([sick, well], farewell)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dispatcher.run)
        await dispatcher.emit((warned(1),))
        dispatcher.finish()
    assert well.messages[0] == "1"
    assert any("sick sink failed" in message for message in well.messages)
    assert sick.messages == []


async def test_a_required_sink_stops_the_run_and_the_others_are_closed() -> None:
    sick, well = Listener("sick", required=True), Listener("well")
    sick.fails = True
    dispatcher = Dispatcher([sick, well], farewell)
    await dispatcher.emit((warned(1),))
    with pytest.raises(SinkError, match="sick"):
        await dispatcher.run()
    dispatcher.finish()
    assert well.closed == 1


async def test_a_sink_that_cannot_close_keeps_no_other_from_closing() -> None:
    sick, well = Listener("sick"), Listener("well")
    sick.fails_to_close = True
    dispatcher = Dispatcher([sick, well], farewell)
    dispatcher.finish()
    await dispatcher.run()
    assert (sick.closed, well.closed) == (1, 1)


async def test_what_was_emitted_survives_cancellation() -> None:
    sink = Listener()
    dispatcher = Dispatcher([sink], farewell)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(dispatcher.run)
            await checkpoint()
            await dispatcher.emit((warned(1),))
            scope.cancel()
            dispatcher.finish()
    assert sink.messages == ["1", "farewell"]
    assert sink.closed == 1


async def test_a_sink_that_hangs_is_given_up_at_the_deadline() -> None:
    sink = Listener()
    sink.gate = anyio.Event()
    dispatcher = Dispatcher([sink], farewell)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(dispatcher.run)
            await dispatcher.emit((warned(1),))
            await anyio.wait_all_tasks_blocked()
            dispatcher.deadline_in(0.0)
    dispatcher.finish()
    assert sink.messages == []
