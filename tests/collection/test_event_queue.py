"""One consumer, many sinks: order, backpressure, sick sinks, orderly ends."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest
from anyio.lowlevel import checkpoint

from crypto_lakehouse.collection import event_queue
from crypto_lakehouse.collection.event_queue import EventQueue
from crypto_lakehouse.core.errors import SinkError, StoreError
from crypto_lakehouse.core.events import Event, RunWarned


def warned(number: int) -> RunWarned:
    return RunWarned(message=str(number))


class Listener:
    """Remembers everything; may fail, or wait at a gate."""

    takes_unchanged = False

    def __init__(self, name: str = "listener", *, required: bool = False) -> None:
        self.name = name
        self.required = required
        self.fails = False
        self.fails_to_flush = False
        self.fails_to_close = False
        self.gate: anyio.Event | None = None
        self.gate_to_close: anyio.Event | None = None
        self.messages: list[str] = []
        self.batches: list[int] = []
        self.flushed = 0
        self.closed = 0

    async def handle(self, events: Sequence[Event]) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.fails:
            raise ValueError("sick")
        self.batches.append(len(events))
        self.messages += [event.message for event in events if isinstance(event, RunWarned)]

    async def flush(self) -> None:
        self.flushed += 1
        if self.fails_to_flush:
            raise StoreError("/out", "disk full")

    async def close(self) -> None:
        self.closed += 1
        if self.gate_to_close is not None:
            await self.gate_to_close.wait()
        if self.fails_to_close:
            raise OSError("cannot close")


def last_event() -> Event:
    return RunWarned(message="farewell")


async def test_events_arrive_in_order_and_the_farewell_comes_last() -> None:
    sinks = [Listener("a"), Listener("b")]
    queue = EventQueue([*sinks], last_event, gather_s=0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(queue.run)
        for number in range(2000):
            await queue.emit((warned(number),))
        queue.finish()
    for sink in sinks:
        assert sink.messages == [*map(str, range(2000)), "farewell"]
        assert sink.closed == 1


async def test_emitting_waits_while_the_sinks_are_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_queue, "QUEUE_BATCHES", 2)
    sink = Listener()
    sink.gate = anyio.Event()
    queue = EventQueue([sink], last_event, gather_s=0)
    emitted: list[int] = []

    async def emit() -> None:
        for number in range(10):
            await queue.emit((warned(number),))
            emitted.append(number)
        queue.finish()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(queue.run)
        tasks.start_soon(emit)
        await anyio.wait_all_tasks_blocked()
        assert len(emitted) < 10
        sink.gate.set()
    assert sink.messages == [*map(str, range(10)), "farewell"]


async def test_a_quiet_run_flushes_its_sinks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_queue, "FLUSH_AFTER_S", 0.001)
    sink = Listener()
    queue = EventQueue([sink], last_event, gather_s=0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(queue.run)
        while not sink.flushed:
            await checkpoint()
        queue.finish()
    assert sink.closed == 1


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


async def test_what_was_emitted_survives_cancellation() -> None:
    sink = Listener()
    queue = EventQueue([sink], last_event, gather_s=0)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(queue.run)
            await checkpoint()
            await queue.emit((warned(1),))
            scope.cancel()
            queue.finish()
    assert sink.messages == ["1", "farewell"]
    assert sink.closed == 1


async def test_a_sink_that_hangs_is_given_up_at_the_deadline() -> None:
    sink = Listener()
    sink.gate = anyio.Event()
    queue = EventQueue([sink], last_event, gather_s=0)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(queue.run)
            await queue.emit((warned(1),))
            await anyio.wait_all_tasks_blocked()
            queue.deadline_in(0.0)
    queue.finish()
    assert sink.messages == []


async def test_events_of_one_call_stay_together_and_batches_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_queue, "BATCH_EVENTS", 4)
    sink = Listener()
    queue = EventQueue([sink], last_event, gather_s=0)
    for start in range(0, 18, 3):
        await queue.emit([warned(number) for number in range(start, start + 3)])
    await queue.emit([warned(number) for number in range(18, 38)])
    queue.finish()
    await queue.run()
    assert sink.messages == [*map(str, range(38)), "farewell"]
    assert sink.batches == [6, 6, 6, 20, 1], "no call is split, a batch ends once it has enough"


async def test_events_of_concurrent_workers_all_arrive_each_in_its_order() -> None:
    sink = Listener()
    queue = EventQueue([sink], last_event, gather_s=0)

    async def work(worker: int) -> None:
        for number in range(100):
            await queue.emit((RunWarned(message=f"{worker} {number}"),))
            await checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(queue.run)
        async with anyio.create_task_group() as workers:
            for worker in range(10):
                workers.start_soon(work, worker)
        queue.finish()
    assert len(sink.messages) == 1001
    for worker in range(10):
        own = [text for text in sink.messages if text.startswith(f"{worker} ")]
        assert own == [f"{worker} {number}" for number in range(100)]


async def test_an_emitter_that_waits_goes_on_once_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_queue, "QUEUE_BATCHES", 1)
    queue = EventQueue([], last_event, gather_s=0)
    await queue.emit((warned(0),))
    emitted: list[int] = []

    async def emit() -> None:
        await queue.emit((warned(1),))
        emitted.append(1)
        queue.finish()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(emit)
        await anyio.wait_all_tasks_blocked()
        assert emitted == []
        tasks.start_soon(queue.run)
    assert emitted == [1]


async def test_a_run_without_sinks_is_drained() -> None:
    queue = EventQueue([], last_event, gather_s=0)
    await queue.emit((warned(1),))
    queue.finish()
    await queue.run()


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


async def test_a_sink_that_fails_to_flush_is_dropped_and_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_queue, "FLUSH_AFTER_S", 0.001)
    failing, well = Listener("sick"), Listener("well")
    failing.fails_to_flush = True
    queue = EventQueue([failing, well], last_event, gather_s=0)
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


async def test_a_required_sink_that_fails_wakes_those_who_wait_to_emit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_queue, "QUEUE_BATCHES", 1)
    failing = Listener(required=True)
    failing.gate = anyio.Event()
    failing.fails = True
    queue = EventQueue([failing], last_event, gather_s=0)
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


async def test_a_deadline_that_is_not_needed_changes_nothing() -> None:
    sink = Listener()
    queue = EventQueue([sink], last_event, gather_s=0)
    await queue.emit((warned(1),))
    queue.finish()
    queue.deadline_in(60)
    await queue.run()
    assert sink.messages == ["1", "farewell"]


async def test_all_sinks_are_closed_after_a_deadline() -> None:
    """Closing takes a moment: a file is flushed, a transaction written, a terminal given back."""

    class Slow(Listener):
        async def close(self) -> None:
            await checkpoint()
            await super().close()

    sinks = [Slow("a"), Slow("hangs"), Slow("b")]
    sinks[1].gate = anyio.Event()
    queue = EventQueue([*sinks], last_event, gather_s=0)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(queue.run)
            await queue.emit((warned(1),))
            await anyio.wait_all_tasks_blocked()
            queue.deadline_in(0.0)
            queue.finish()
    assert [sink.closed for sink in sinks] == [1, 1, 1]


async def test_a_sink_that_hangs_while_it_closes_is_given_up_too() -> None:
    sinks = [Listener("a"), Listener("hangs"), Listener("b")]
    sinks[1].gate_to_close = anyio.Event()
    queue = EventQueue([*sinks], last_event, gather_s=0)
    queue.finish()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(queue.run)
            await anyio.wait_all_tasks_blocked()
            queue.deadline_in(0.0)
    assert [sink.closed for sink in sinks] == [1, 1, 1]


async def test_a_sink_that_hangs_always_is_given_up_at_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_queue, "CLOSE_WITHIN_S", 0.0)
    sinks = [Listener("hangs"), Listener("well")]
    sinks[0].gate = sinks[0].gate_to_close = anyio.Event()
    queue = EventQueue([*sinks], last_event, gather_s=0)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(queue.run)
            await queue.emit((warned(1),))
            await anyio.wait_all_tasks_blocked()
            queue.deadline_in(0.0)
            queue.finish()
    assert [sink.closed for sink in sinks] == [1, 1]


async def test_the_farewell_is_made_after_all_else_was_delivered() -> None:
    sink = Listener()
    queue = EventQueue([sink], lambda: RunWarned(message=f"after {len(sink.messages)}"))
    for number in range(3):
        await queue.emit((warned(number),))
    queue.finish()
    await queue.run()
    assert sink.messages == ["0", "1", "2", "after 3"]


async def test_events_emitted_during_a_cancellation_are_delivered() -> None:
    """Workers say what became of their archives while they are cancelled."""
    sink = Listener()
    queue = EventQueue([sink], last_event, gather_s=0)

    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await queue.emit((warned(1), warned(2)))
            queue.finish()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(queue.run)
        tasks.start_soon(work)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert sink.messages == ["1", "2", "farewell"]
    assert sink.closed == 1
