"""A sink that remembers what it is handed, and events for it."""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from crypto_lakehouse.core.errors import StoreError
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
