"""End a run whose source is down, instead of waiting for each of its archives to fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field

from crypto_lakehouse.core.events import ArchiveFinished, Event
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.protocols import Emit

__all__ = ["CircuitBreaker"]

#: The breaker opens after this many archives in a row that found the source unavailable.
ARCHIVES_IN_A_ROW = 20


@define
class CircuitBreaker:
    """Opens once no request has succeeded for many archives in a row.

    It reads the run's events, and so sees the archives of all worker processes. An archive that
    needed no request neither counts nor ends the row. Any success ends it: a response (404 is one)
    from either source, or bytes of a body that is still arriving.

    Args:
        on_open: Called once, with the reason.
        meter: Counts the body bytes of the run as they arrive.
        archives_in_a_row: How many archives must fail.
    """

    on_open: Callable[[str], None]
    meter: ByteMeter
    archives_in_a_row: int = ARCHIVES_IN_A_ROW
    _failed: int = field(init=False, default=0)
    _received_bytes: int = field(init=False, default=0)

    def watching(self, emit: Emit) -> Emit:
        """Return an `emit` that passes events on, and then counts them."""

        async def emit_and_count(events: Sequence[Event]) -> None:
            await emit(events)
            for event in events:
                if isinstance(event, ArchiveFinished) and event.requests:
                    self._count(event)

        return emit_and_count

    def _count(self, event: ArchiveFinished) -> None:
        if not event.unavailable or self.meter.received_bytes != self._received_bytes:
            self._failed, self._received_bytes = 0, self.meter.received_bytes
        if not event.unavailable:
            return
        self._failed += 1
        if self._failed == self.archives_in_a_row:
            self.on_open(
                f"the source is unavailable: {self._failed} archives in a row failed without one "
                f"successful request ({event.reason}); run it again later, the remaining archives "
                "were not tried"
            )
