"""End a run once it has received as many bytes as it may."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from crypto_lakehouse.collection.download.sidecar import SIDECAR_LIMIT_BYTES
from crypto_lakehouse.collection.work import Action, Work
from crypto_lakehouse.core.events import ArchiveFinished, ArchivesUnchanged, Event
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.protocols import Emit

__all__ = ["ByteBudget"]


@define
class ByteBudget:
    """Decides whether another archive may begin; archives that have begun may end.

    Once an archive is refused, all later ones are refused, too, so that a run ends at one place of
    its plan. The bytes of an archive and its sidecar count from its beginning if a listing says how
    many they are, and as they arrive otherwise. Files that are only checked count as they arrive.

    The budget reads the run's events, and so covers all worker processes. Retries count.

    Args:
        limit_bytes: How many body bytes the run may receive; None for no limit.
        meter: Counts the body bytes of the run as they arrive.
        with_sidecars: Whether the run fetches a sidecar with each zip.
    """

    limit_bytes: int | None
    meter: ByteMeter
    with_sidecars: bool = True
    _begin_bytes: int = field(init=False)
    _finished_bytes: int = field(init=False, default=0)
    _expected: dict[str, int] = field(init=False, factory=dict)
    _expected_bytes: int = field(init=False, default=0)
    _settled: int = field(init=False, default=0)
    _refused: Work | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self._begin_bytes = self.meter.received_bytes

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit."""
        return self.limit_bytes is not None

    @property
    def is_used(self) -> bool:
        """Whether an archive was refused."""
        return self._refused is not None

    def admit(self, work: Work) -> bool:
        """Whether an archive may begin; if so, its bytes are reserved."""
        if self.limit_bytes is None:
            return True
        size = self._known_size(work)
        reserved = self._finished_bytes + self._expected_bytes
        used = max(reserved, self._received_bytes)
        if self.is_used or used >= self.limit_bytes or reserved + size > self.limit_bytes:
            self._refused = self._refused or work
            return False
        self._expected[work.archive.key] = size
        self._expected_bytes += size
        return True

    @property
    def _received_bytes(self) -> int:
        return self.meter.received_bytes - self._begin_bytes

    def watching(self, emit: Emit) -> Emit:
        """Return an `emit` that passes events on, and counts what is finished."""
        if self.limit_bytes is None:
            return emit

        async def emit_and_count(events: Sequence[Event]) -> None:
            await emit(events)
            for event in events:
                if isinstance(event, ArchiveFinished):
                    self._settled += 1
                    self._finished_bytes += event.fetched_bytes
                    self._expected_bytes -= self._expected.pop(event.archive.key, 0)
                elif isinstance(event, ArchivesUnchanged):
                    self._settled += event.count

        return emit_and_count

    def reason(self, planned: int) -> str:
        """Say why the run ends, and what is left of a plan of so many archives."""
        left = plural(planned - self._settled, "archive")
        size = 0 if self._refused is None else self._known_size(self._refused)
        if self._refused is not None and size > (self.limit_bytes or 0):
            key = self._refused.archive.key
            return (
                f"`{key}` takes {size:,} bytes, more than `max_bytes` ({self.limit_bytes:,}) "
                f"allows for a whole run; raise it for the remaining {left}"
            )
        return (
            f"`max_bytes` ends the run: {self._received_bytes:,} of {self.limit_bytes:,} bytes "
            f"were received; run it again for the remaining {left}"
        )

    def _known_size(self, work: Work) -> int:
        """How many bytes an archive will take, as far as that is certain."""
        listed = work.planned.listed
        if listed is None or work.action not in {Action.FETCH, Action.FETCH_SIDECAR}:
            return 0
        # No more of a sidecar is read.
        sidecar = min(listed.sidecar_bytes, SIDECAR_LIMIT_BYTES + 1)
        if work.action is Action.FETCH_SIDECAR:
            return sidecar
        return listed.size_bytes + (sidecar if self.with_sidecars else 0)
