"""Sinks that fail: which are dropped, what the others learn, and when the run stops."""

from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import checkpoint
from tests.collection.listeners import Listener, last_event, warned

from crypto_lakehouse.collection.event_queue import EventQueue
from crypto_lakehouse.core.errors import SinkError


async def test_a_sick_sink_is_dropped_and_the_others_hear_of_it() -> None:
    failing, well = Listener("sick"), Listener("well")
    failing.fails = True
    queue = EventQueue([failing, well], last_event, gather_s=0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(queue.run)
        await queue.emit((warned(1),))
        queue.finish()
    assert well.messages[0] == "1"
    assert any("sick sink failed" in message for message in well.messages)
    assert failing.messages == []


async def test_a_required_sink_stops_the_run_and_the_others_are_closed() -> None:
    failing, well = Listener("sick", required=True), Listener("well")
    failing.fails = True
    queue = EventQueue([failing, well], last_event, gather_s=0)
    await queue.emit((warned(1),))
    with pytest.raises(SinkError, match="sick"):
        await queue.run()
    queue.finish()
    assert well.closed == 1


async def test_a_sink_that_cannot_close_keeps_no_other_from_closing() -> None:
    failing, well = Listener("sick"), Listener("well")
    failing.fails_to_close = True
    queue = EventQueue([failing, well], last_event, gather_s=0)
    queue.finish()
    await queue.run()
    assert (failing.closed, well.closed) == (1, 1)


async def test_a_dropped_sink_is_named_once_and_hears_no_more() -> None:
    failing, well = Listener("sick"), Listener("well")
    failing.fails = True
    queue = EventQueue([failing, well], last_event, gather_s=0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(queue.run)
        for number in range(3):
            await queue.emit((warned(number),))
            await anyio.wait_all_tasks_blocked()
            failing.fails = False
        queue.finish()
    assert well.messages == ["0", "the sick sink failed: ValueError('sick')", "1", "2", "farewell"]
    assert failing.messages == []


async def test_a_dropped_sink_is_closed_once() -> None:
    failing, well = Listener("sick"), Listener("well")
    failing.fails = failing.fails_to_close = True
    queue = EventQueue([failing, well], last_event, gather_s=0)
    await queue.emit((warned(1),))
    queue.finish()
    await queue.run()
    assert (failing.closed, well.closed) == (1, 1)


async def test_of_sinks_that_are_equal_the_sick_one_is_dropped() -> None:
    class Equal(Listener):
        def __eq__(self, other: object) -> bool:
            return isinstance(other, Equal)

        __hash__ = None  # type: ignore[assignment]

    well, failing = Equal("well"), Equal("sick")
    failing.fails = True
    queue = EventQueue([well, failing], last_event, gather_s=0)
    await queue.emit((warned(1),))
    queue.finish()
    await queue.run()
    assert well.messages == ["1", "the sick sink failed: ValueError('sick')", "farewell"]
    assert (well.closed, failing.closed) == (1, 1)


async def test_two_sick_sinks_are_both_named() -> None:
    sinks = [Listener("one"), Listener("well"), Listener("two")]
    sinks[0].fails = sinks[2].fails = True
    queue = EventQueue([*sinks], last_event, gather_s=0)
    await queue.emit((warned(1),))
    queue.finish()
    await queue.run()
    assert [text.split(":")[0] for text in sinks[1].messages] == [
        "1", "the one sink failed", "the two sink failed", "farewell",
    ]  # fmt: skip


async def test_a_sink_that_fails_to_flush_is_dropped_and_named() -> None:
    failing, well = Listener("sick"), Listener("well")
    failing.fails_to_flush = True
    queue = EventQueue([failing, well], last_event, gather_s=0, flush_after_s=0.001)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(queue.run)
        while not well.flushed:
            await checkpoint()
        queue.finish()
    assert well.messages == ["the sick sink failed: `/out`: disk full", "farewell"]
    assert (failing.flushed, failing.closed) == (1, 1)


async def test_an_error_of_a_required_sink_says_which_and_why() -> None:
    failing = Listener("ledger", required=True)
    failing.fails = True
    queue = EventQueue([failing], last_event, gather_s=0)
    await queue.emit((warned(1),))
    with pytest.raises(SinkError) as raised:
        await queue.run()
    queue.finish()
    assert raised.value.name == "ledger"
    assert str(raised.value) == "the ledger sink failed: ValueError('sick')"
    assert isinstance(raised.value.__cause__, ValueError)
    assert failing.closed == 1


async def test_the_others_hear_what_a_required_sink_failed_at() -> None:
    failing, well = Listener("sick", required=True), Listener("well")
    failing.fails = True
    queue = EventQueue([failing, well], last_event, gather_s=0)
    await queue.emit((warned(1),))
    with pytest.raises(SinkError):
        await queue.run()
    queue.finish()
    assert well.messages == ["1"]


async def test_a_required_sink_that_fails_wakes_those_who_wait_to_emit() -> None:
    failing = Listener(required=True)
    failing.gate = anyio.Event()
    failing.fails = True
    queue = EventQueue([failing], last_event, gather_s=0, queue_batches=1)
    ended: list[type[BaseException]] = []

    async def emit() -> None:
        try:
            for number in range(10):
                await queue.emit((warned(number),))
        except anyio.BrokenResourceError as error:
            ended.append(type(error))
        queue.finish()

    async def run() -> None:
        with pytest.raises(SinkError) as raised:
            await queue.run()
        ended.append(raised.type)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        tasks.start_soon(emit)
        await anyio.wait_all_tasks_blocked()
        failing.gate.set()
    assert set(ended) == {SinkError, anyio.BrokenResourceError}


async def test_a_required_sink_that_cannot_close_keeps_no_other_from_closing() -> None:
    sinks = [Listener("a"), Listener("sick", required=True), Listener("b")]
    sinks[1].fails_to_close = True
    queue = EventQueue([*sinks], last_event, gather_s=0)
    queue.finish()
    with pytest.raises(SinkError, match="the sick sink failed"):
        await queue.run()
    assert [sink.closed for sink in sinks] == [1, 1, 1]
    assert [sink.messages for sink in sinks] == [["farewell"]] * 3
