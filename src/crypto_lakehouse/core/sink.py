"""What a run asks of those who listen to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from crypto_lakehouse.core.events import Event

__all__ = ["AnySink", "PlainSink", "Sink", "SinkFunction"]


class PlainSink(Protocol):
    """A listener to a run: all that an application's own sink needs.

    A sink is called by one task only, never concurrently. A sink that raises is dropped and
    named in a warning, and the run goes on; where `required` is true, the run stops instead.
    """

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    @property
    def required(self) -> bool:
        """Whether the run stops where the sink fails."""
        ...

    async def handle(self, events: Sequence[Event]) -> None:
        """Take a batch of events, oldest first."""
        ...

    async def flush(self) -> None:
        """Called when no event has come for a while."""
        ...

    async def close(self) -> None:
        """Called once, after the last event."""
        ...


class Sink(PlainSink, Protocol):
    """A sink that says whether it takes the events of whole folders as they are."""

    @property
    def takes_unchanged(self) -> bool:
        """Whether it is handed `ArchivesUnchanged` events.

        Where it is false, the sink is handed the `ArchiveFinished` events that they stand for.
        """
        ...


SinkFunction = Callable[[Sequence[Event]], Awaitable[None] | None]
"""A function, sync or async, that takes a batch of events; a sync one blocks the event loop."""


AnySink = Sink | PlainSink | SinkFunction
"""What a run takes as a sink."""
