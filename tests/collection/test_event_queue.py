"""One consumer, many sinks: order, backpressure, sick sinks, orderly ends."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest
from anyio.lowlevel import checkpoint

from crypto_lakehouse.collection import event_queue
from crypto_lakehouse.collection.event_queue import Dispatcher
from crypto_lakehouse.core.errors import SinkError, StoreError
from crypto_lakehouse.core.events import Event, RunWarned


def warned(number: int) -> RunWarned:
    return RunWarned(message=str(number))


class Listener:
    """Remembers everything; may fail, or wait at a gate."""

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


def farewell() -> Event:
    return RunWarned(message="farewell")


async def test_events_arrive_in_order_and_the_farewell_comes_last() -> None:
    sinks = [Listener("a"), Listener("b")]
    dispatcher = Dispatcher([*sinks], farewell, gather_s=0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dispatcher.run)
        for number in range(2000):
            await dispatcher.emit((warned(number),))
        dispatcher.finish()
    for sink in sinks:
        assert sink.messages == [*map(str, range(2000)), "farewell"]
        assert sink.closed == 1


async def test_emitting_waits_while_the_sinks_are_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_queue, "QUEUE_BATCHES", 2)
    sink = Listener()
    sink.gate = anyio.Event()
    dispatcher = Dispatcher([sink], farewell, gather_s=0)
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
    monkeypatch.setattr(event_queue, "FLUSH_AFTER_S", 0.001)
    sink = Listener()
    dispatcher = Dispatcher([sink], farewell, gather_s=0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dispatcher.run)
        while not sink.flushed:
            await checkpoint()
        dispatcher.finish()
    assert sink.closed == 1


async def test_a_sick_sink_is_dropped_and_the_others_hear_of_it() -> None:
    sick, well = Listener("sick"), Listener("well")
    sick.fails = True
    dispatcher = Dispatcher([sick, well], farewell, gather_s=0)
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
    dispatcher = Dispatcher([sick, well], farewell, gather_s=0)
    await dispatcher.emit((warned(1),))
    with pytest.raises(SinkError, match="sick"):
        await dispatcher.run()
    dispatcher.finish()
    assert well.closed == 1


async def test_a_sink_that_cannot_close_keeps_no_other_from_closing() -> None:
    sick, well = Listener("sick"), Listener("well")
    sick.fails_to_close = True
    dispatcher = Dispatcher([sick, well], farewell, gather_s=0)
    dispatcher.finish()
    await dispatcher.run()
    assert (sick.closed, well.closed) == (1, 1)


async def test_what_was_emitted_survives_cancellation() -> None:
    sink = Listener()
    dispatcher = Dispatcher([sink], farewell, gather_s=0)
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
    dispatcher = Dispatcher([sink], farewell, gather_s=0)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(dispatcher.run)
            await dispatcher.emit((warned(1),))
            await anyio.wait_all_tasks_blocked()
            dispatcher.deadline_in(0.0)
    dispatcher.finish()
    assert sink.messages == []


async def test_events_of_one_call_stay_together_and_batches_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_queue, "BATCH_EVENTS", 4)
    sink = Listener()
    dispatcher = Dispatcher([sink], farewell, gather_s=0)
    for start in range(0, 18, 3):
        await dispatcher.emit([warned(number) for number in range(start, start + 3)])
    await dispatcher.emit([warned(number) for number in range(18, 38)])
    dispatcher.finish()
    await dispatcher.run()
    assert sink.messages == [*map(str, range(38)), "farewell"]
    assert sink.batches == [6, 6, 6, 20, 1], "no call is split, a batch ends once it has enough"


async def test_events_of_concurrent_workers_all_arrive_each_in_its_order() -> None:
    sink = Listener()
    dispatcher = Dispatcher([sink], farewell, gather_s=0)

    async def work(worker: int) -> None:
        for number in range(100):
            await dispatcher.emit((RunWarned(message=f"{worker} {number}"),))
            await checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dispatcher.run)
        async with anyio.create_task_group() as workers:
            for worker in range(10):
                workers.start_soon(work, worker)
        dispatcher.finish()
    assert len(sink.messages) == 1001
    for worker in range(10):
        own = [text for text in sink.messages if text.startswith(f"{worker} ")]
        assert own == [f"{worker} {number}" for number in range(100)]


async def test_an_emitter_that_waits_goes_on_once_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_queue, "QUEUE_BATCHES", 1)
    dispatcher = Dispatcher([], farewell, gather_s=0)
    await dispatcher.emit((warned(0),))
    emitted: list[int] = []

    async def emit() -> None:
        await dispatcher.emit((warned(1),))
        emitted.append(1)
        dispatcher.finish()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(emit)
        await anyio.wait_all_tasks_blocked()
        assert emitted == []
        tasks.start_soon(dispatcher.run)
    assert emitted == [1]


async def test_a_run_without_sinks_is_drained() -> None:
    dispatcher = Dispatcher([], farewell, gather_s=0)
    await dispatcher.emit((warned(1),))
    dispatcher.finish()
    await dispatcher.run()


async def test_a_dropped_sink_is_named_once_and_hears_no_more() -> None:
    sick, well = Listener("sick"), Listener("well")
    sick.fails = True
    dispatcher = Dispatcher([sick, well], farewell, gather_s=0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dispatcher.run)
        for number in range(3):
            await dispatcher.emit((warned(number),))
            await anyio.wait_all_tasks_blocked()
            sick.fails = False
        dispatcher.finish()
    assert well.messages == ["0", "the sick sink failed: ValueError('sick')", "1", "2", "farewell"]
    assert sick.messages == []


async def test_a_dropped_sink_is_closed_once() -> None:
    sick, well = Listener("sick"), Listener("well")
    sick.fails = sick.fails_to_close = True
    dispatcher = Dispatcher([sick, well], farewell, gather_s=0)
    await dispatcher.emit((warned(1),))
    dispatcher.finish()
    await dispatcher.run()
    assert (sick.closed, well.closed) == (1, 1)


async def test_of_sinks_that_are_equal_the_sick_one_is_dropped() -> None:
    class Equal(Listener):
        def __eq__(self, other: object) -> bool:
            return isinstance(other, Equal)

        __hash__ = None  # type: ignore[assignment]

    well, sick = Equal("well"), Equal("sick")
    sick.fails = True
    dispatcher = Dispatcher([well, sick], farewell, gather_s=0)
    await dispatcher.emit((warned(1),))
    dispatcher.finish()
    await dispatcher.run()
    assert well.messages == ["1", "the sick sink failed: ValueError('sick')", "farewell"]
    assert (well.closed, sick.closed) == (1, 1)


async def test_two_sick_sinks_are_both_named() -> None:
    sinks = [Listener("one"), Listener("well"), Listener("two")]
    sinks[0].fails = sinks[2].fails = True
    dispatcher = Dispatcher([*sinks], farewell, gather_s=0)
    await dispatcher.emit((warned(1),))
    dispatcher.finish()
    await dispatcher.run()
    assert [text.split(":")[0] for text in sinks[1].messages] == [
        "1", "the one sink failed", "the two sink failed", "farewell",
    ]  # fmt: skip


async def test_a_sink_that_fails_to_flush_is_dropped_and_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_queue, "FLUSH_AFTER_S", 0.001)
    sick, well = Listener("sick"), Listener("well")
    sick.fails_to_flush = True
    dispatcher = Dispatcher([sick, well], farewell, gather_s=0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dispatcher.run)
        while not well.flushed:
            await checkpoint()
        dispatcher.finish()
    assert well.messages == ["the sick sink failed: `/out`: disk full", "farewell"]
    assert (sick.flushed, sick.closed) == (1, 1)


async def test_an_error_of_a_required_sink_says_which_and_why() -> None:
    sick = Listener("ledger", required=True)
    sick.fails = True
    dispatcher = Dispatcher([sick], farewell, gather_s=0)
    await dispatcher.emit((warned(1),))
    with pytest.raises(SinkError) as raised:
        await dispatcher.run()
    dispatcher.finish()
    assert raised.value.name == "ledger"
    assert str(raised.value) == "the ledger sink failed: ValueError('sick')"
    assert isinstance(raised.value.__cause__, ValueError)
    assert sick.closed == 1


async def test_the_others_hear_what_a_required_sink_failed_at() -> None:
    sick, well = Listener("sick", required=True), Listener("well")
    sick.fails = True
    dispatcher = Dispatcher([sick, well], farewell, gather_s=0)
    await dispatcher.emit((warned(1),))
    with pytest.raises(SinkError):
        await dispatcher.run()
    dispatcher.finish()
    assert well.messages == ["1"]


async def test_a_required_sink_that_fails_wakes_those_who_wait_to_emit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_queue, "QUEUE_BATCHES", 1)
    sick = Listener(required=True)
    sick.gate = anyio.Event()
    sick.fails = True
    dispatcher = Dispatcher([sick], farewell, gather_s=0)
    ended: list[type[BaseException]] = []

    async def emit() -> None:
        try:
            for number in range(10):
                await dispatcher.emit((warned(number),))
        except anyio.BrokenResourceError as error:
            ended.append(type(error))
        dispatcher.finish()

    async def run() -> None:
        with pytest.raises(SinkError) as raised:
            await dispatcher.run()
        ended.append(raised.type)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        tasks.start_soon(emit)
        await anyio.wait_all_tasks_blocked()
        sick.gate.set()
    assert set(ended) == {SinkError, anyio.BrokenResourceError}


async def test_a_required_sink_that_cannot_close_keeps_no_other_from_closing() -> None:
    sinks = [Listener("a"), Listener("sick", required=True), Listener("b")]
    sinks[1].fails_to_close = True
    dispatcher = Dispatcher([*sinks], farewell, gather_s=0)
    dispatcher.finish()
    with pytest.raises(SinkError, match="the sick sink failed"):
        await dispatcher.run()
    assert [sink.closed for sink in sinks] == [1, 1, 1]
    assert [sink.messages for sink in sinks] == [["farewell"]] * 3


async def test_a_deadline_that_is_not_needed_changes_nothing() -> None:
    sink = Listener()
    dispatcher = Dispatcher([sink], farewell, gather_s=0)
    await dispatcher.emit((warned(1),))
    dispatcher.finish()
    dispatcher.deadline_in(60)
    await dispatcher.run()
    assert sink.messages == ["1", "farewell"]


async def test_all_sinks_are_closed_after_a_deadline() -> None:
    """Closing takes a moment: a file is flushed, a transaction written, a terminal given back."""

    class Slow(Listener):
        async def close(self) -> None:
            await checkpoint()
            await super().close()

    sinks = [Slow("a"), Slow("hangs"), Slow("b")]
    sinks[1].gate = anyio.Event()
    dispatcher = Dispatcher([*sinks], farewell, gather_s=0)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(dispatcher.run)
            await dispatcher.emit((warned(1),))
            await anyio.wait_all_tasks_blocked()
            dispatcher.deadline_in(0.0)
            dispatcher.finish()
    assert [sink.closed for sink in sinks] == [1, 1, 1]


async def test_a_sink_that_hangs_while_it_closes_is_given_up_too() -> None:
    sinks = [Listener("a"), Listener("hangs"), Listener("b")]
    sinks[1].gate_to_close = anyio.Event()
    dispatcher = Dispatcher([*sinks], farewell, gather_s=0)
    dispatcher.finish()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(dispatcher.run)
            await anyio.wait_all_tasks_blocked()
            dispatcher.deadline_in(0.0)
    assert [sink.closed for sink in sinks] == [1, 1, 1]


async def test_a_sink_that_hangs_always_is_given_up_at_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_queue, "CLOSE_WITHIN_S", 0.0)
    sinks = [Listener("hangs"), Listener("well")]
    sinks[0].gate = sinks[0].gate_to_close = anyio.Event()
    dispatcher = Dispatcher([*sinks], farewell, gather_s=0)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(dispatcher.run)
            await dispatcher.emit((warned(1),))
            await anyio.wait_all_tasks_blocked()
            dispatcher.deadline_in(0.0)
            dispatcher.finish()
    assert [sink.closed for sink in sinks] == [1, 1]


async def test_the_farewell_is_made_after_all_else_was_delivered() -> None:
    sink = Listener()
    dispatcher = Dispatcher([sink], lambda: RunWarned(message=f"after {len(sink.messages)}"))
    for number in range(3):
        await dispatcher.emit((warned(number),))
    dispatcher.finish()
    await dispatcher.run()
    assert sink.messages == ["0", "1", "2", "after 3"]


async def test_events_emitted_during_a_cancellation_are_delivered() -> None:
    """Workers say what became of their archives while they are cancelled."""
    sink = Listener()
    dispatcher = Dispatcher([sink], farewell, gather_s=0)

    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await dispatcher.emit((warned(1), warned(2)))
            dispatcher.finish()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dispatcher.run)
        tasks.start_soon(work)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert sink.messages == ["1", "2", "farewell"]
    assert sink.closed == 1
