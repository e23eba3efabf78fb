"""Pass events from the workers to the sinks: one task, one bounded queue.

Workers wait only while the queue is full. A sink that fails is dropped with a warning that names
it; the run goes on, unless the sink is required.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from attrs import define, field

from crypto_lakehouse.core.errors import LakehouseError, SinkError
from crypto_lakehouse.core.events import ArchivesUnchanged, Event, RunWarned
from crypto_lakehouse.core.sink import Sink

__all__ = ["EventQueue"]

#: How many batches may wait for the sinks before the workers have to wait.
QUEUE_BATCHES = 1024

#: Roughly the largest number of events in a batch for the sinks.
BATCH_EVENTS = 512

#: For how many seconds events are gathered: calling every sink for each event would cost more than
#: the event itself.
GATHER_S = 0.02

#: The sinks are flushed after this many seconds without an event.
FLUSH_AFTER_S = 0.5

#: How many seconds each sink may take to close once the deadline has passed.
CLOSE_WITHIN_S = 0.25


@define
class EventQueue:
    """Owns the event queue of a run.

    Use: run `run()` as a task; call `emit` from anywhere; call `finish()` once nothing emits
    any more; `run()` then delivers the remaining events, closes the sinks and returns. It is
    shielded from cancellation, so that the verdicts on finished archives are not lost; the owner
    limits that by `deadline_in`.

    Args:
        sinks: The event consumers, in this order.
        last_event: Makes the last event, once all others are delivered.
        gather_s: For how many seconds events are gathered before they are delivered.
        queue_batches: How many batches may wait for the sinks before `emit` waits.
        batch_events: About how many events a sink gets at once, at most.
        flush_after_s: After this many seconds without an event the sinks are asked to flush.
        close_within_s: How long each sink may take to close after the deadline, in seconds.
    """

    sinks: list[Sink]
    last_event: Callable[[], Event]
    gather_s: float = field(default=GATHER_S, kw_only=True)
    queue_batches: int = field(default=QUEUE_BATCHES, kw_only=True)
    batch_events: int = field(default=BATCH_EVENTS, kw_only=True)
    flush_after_s: float = field(default=FLUSH_AFTER_S, kw_only=True)
    close_within_s: float = field(default=CLOSE_WITHIN_S, kw_only=True)
    _scope: anyio.CancelScope = field(init=False, factory=lambda: anyio.CancelScope(shield=True))
    _finished: anyio.Event = field(init=False, factory=anyio.Event)
    _send: MemoryObjectSendStream[Sequence[Event]] = field(init=False)
    _receive: MemoryObjectReceiveStream[Sequence[Event]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        queue = anyio.create_memory_object_stream[Sequence[Event]](self.queue_batches)
        self._send, self._receive = queue

    async def emit(self, events: Sequence[Event]) -> None:
        """Queue events, in order; waits while the queue is full."""
        try:
            self._send.send_nowait(events)
        except anyio.WouldBlock:
            await self._send.send(events)

    def finish(self) -> None:
        """Close the queue: no event will follow."""
        self._finished.set()
        self._send.close()

    def deadline_in(self, seconds: float) -> None:
        """Give up delivering after this many seconds."""
        self._scope.deadline = anyio.current_time() + seconds

    async def run(self) -> None:
        """Deliver events until `finish()`.

        Raises:
            SinkError: A required sink has failed.
        """
        with self._scope:
            try:
                await self._deliver_all()
                await self._deliver([self.last_event()])
            finally:
                self._receive.close()
                await self._close(tuple(self.sinks))

    async def _deliver_all(self) -> None:
        while True:
            batch = await self._next_batch()
            if batch is None:
                return
            await self._deliver(batch)

    async def _next_batch(self) -> list[Event] | None:
        """Return the queued events; an empty list if none come for a while, None at the end."""
        batch: list[Event] = []
        if self.gather_s:
            with anyio.move_on_after(self.gather_s):
                await self._finished.wait()
        with anyio.move_on_after(self.flush_after_s):
            try:
                batch.extend(await self._receive.receive())
            except anyio.EndOfStream:
                return None
        while batch and len(batch) < self.batch_events:
            try:
                batch.extend(self._receive.receive_nowait())
            except (anyio.WouldBlock, anyio.EndOfStream):
                break
        return batch

    async def _deliver(self, batch: list[Event]) -> None:
        """Pass a batch to the sinks; flush them if it is empty."""
        failed_sinks = (
            await self._each(self.sinks, "handle", batch)
            if batch
            else await self._each(self.sinks, "flush")
        )
        await self._name(failed_sinks)

    async def _name(self, failed_sinks: list[SinkError]) -> None:
        """Warn the remaining sinks of those that were dropped."""
        if failed_sinks:
            await self._deliver([RunWarned(message=str(error)) for error in failed_sinks])

    async def _close(self, sinks: Sequence[Sink]) -> None:
        """Close every sink once, even if another one fails or the deadline has passed."""
        if not sinks:
            return
        late = self._scope.cancel_called
        try:
            with anyio.move_on_after(self.close_within_s if late else None, shield=late):
                await self._each(sinks[:1], "close")
        finally:
            await self._close(sinks[1:])

    async def _each(
        self, sinks: Iterable[Sink], method: str, *arguments: Sequence[Event]
    ) -> list[SinkError]:
        """Call one method of every sink; drop and close those that fail, and return why."""
        failed_sinks: list[SinkError] = []
        fatal: SinkError | None = None
        for sink in tuple(sinks):
            try:
                await getattr(sink, method)(*_as_taken(sink, arguments))
            except Exception as error:  # noqa: BLE001 - a sink may be an application's code
                reason = str(error) if isinstance(error, LakehouseError) else repr(error)
                failed_sinks.append(SinkError(sink.name, reason))
                failed_sinks[-1].__cause__ = error
                fatal = fatal or (failed_sinks[-1] if sink.required else None)
                self.sinks = [other for other in self.sinks if other is not sink]
                if method != "close":
                    with suppress(Exception):
                        await sink.close()
        if fatal is not None:
            raise fatal
        return failed_sinks


def _as_taken(sink: Sink, arguments: tuple[Sequence[Event], ...]) -> tuple[Sequence[Event], ...]:
    """Replace `ArchivesUnchanged` by single events, for sinks that do not take it."""
    if sink.takes_unchanged:
        return arguments
    return tuple(list(_single(batch)) for batch in arguments)


def _single(batch: Iterable[Event]) -> Iterator[Event]:
    for event in batch:
        if isinstance(event, ArchivesUnchanged):
            yield from event.each()
        else:
            yield event
