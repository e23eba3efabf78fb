"""One consumer, many sinks: order, backpressure, orderly ends."""

from __future__ import annotations

import anyio
from anyio.lowlevel import checkpoint
from tests.collection.listeners import Listener, last_event, warned

from crypto_lakehouse.collection.event_queue import EventQueue
from crypto_lakehouse.core.events import RunWarned


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


async def test_emitting_waits_while_the_sinks_are_behind() -> None:
    sink = Listener()
    sink.gate = anyio.Event()
    queue = EventQueue([sink], last_event, gather_s=0, queue_batches=2)
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


async def test_a_quiet_run_flushes_its_sinks() -> None:
    sink = Listener()
    queue = EventQueue([sink], last_event, gather_s=0, flush_after_s=0.001)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(queue.run)
        while not sink.flushed:
            await checkpoint()
        queue.finish()
    assert sink.closed == 1


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
    with anyio.fail_after(200):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(queue.run)
            await queue.emit((warned(1),))
            await anyio.wait_all_tasks_blocked()
            queue.deadline_in(0.0)
    queue.finish()
    assert sink.messages == []


async def test_events_of_one_call_stay_together_and_batches_are_bounded() -> None:
    sink = Listener()
    queue = EventQueue([sink], last_event, gather_s=0, batch_events=4)
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


async def test_an_emitter_that_waits_goes_on_once_there_is_room() -> None:
    queue = EventQueue([], last_event, gather_s=0, queue_batches=1)
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
    with anyio.fail_after(200):
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
    with anyio.fail_after(200):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(queue.run)
            await anyio.wait_all_tasks_blocked()
            queue.deadline_in(0.0)
    assert [sink.closed for sink in sinks] == [1, 1, 1]


async def test_a_sink_that_hangs_always_is_given_up_at_both() -> None:
    sinks = [Listener("hangs"), Listener("well")]
    sinks[0].gate = sinks[0].gate_to_close = anyio.Event()
    queue = EventQueue([*sinks], last_event, gather_s=0, close_within_s=0.0)
    with anyio.fail_after(200):
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
