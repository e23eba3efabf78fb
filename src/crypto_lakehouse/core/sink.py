"""The protocols of sinks, the event consumers of a run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from crypto_lakehouse.core.events import Event

__all__ = ["AnySink", "PlainSink", "Sink", "SinkFunction"]


class PlainSink(Protocol):
    """An event consumer with the members that an application's sink needs.

    Only one task calls a sink, never concurrently. A sink that raises is dropped with a warning
    that names it, and the run goes on; if `required` is true, the run stops instead.
    """

    @property
    def name(self) -> str:
        """The name in messages."""
        ...

    @property
    def required(self) -> bool:
        """Whether the run stops if the sink fails."""
        ...

    async def handle(self, events: Sequence[Event]) -> None:
        """Take a batch of events, oldest first."""
        ...

    async def flush(self) -> None:
        """Write buffered events; called when no event has come for a while."""
        ...

    async def close(self) -> None:
        """Release resources; called once, after the last event."""
        ...


class Sink(PlainSink, Protocol):
    """A sink that says whether it takes the events of whole folders."""

    @property
    def takes_unchanged(self) -> bool:
        """Whether it takes `ArchivesUnchanged` events.

        If this is false, the sink gets the single `ArchiveFinished` events instead.
        """
        ...


SinkFunction = Callable[[Sequence[Event]], Awaitable[None] | None]
"""A function, sync or async, that takes a batch of events; a sync one blocks the event loop."""


AnySink = Sink | PlainSink | SinkFunction
"""What a run accepts as a sink."""
