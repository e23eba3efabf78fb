"""What a collection did not get, and whether a fill after it did; and sinks that serve both."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from attrs import define, field, frozen

from crypto_lakehouse.core.archive import Archive, Series
from crypto_lakehouse.core.events import ArchiveFinished, Event, FillFinished
from crypto_lakehouse.core.fills import FillVerdict
from crypto_lakehouse.core.sink import Sink
from crypto_lakehouse.core.verdicts import Verdict

__all__ = ["OpenHoles", "SharedSink"]

_LACKING = frozenset({Verdict.MISSING, Verdict.FAILED, Verdict.CORRUPT})


@define
class OpenHoles:
    """Remembers the archives that a collection did not get, and the days that were filled."""

    name: str = "holes"
    required: bool = True
    takes_unchanged = True
    _lacking: dict[Series, list[Archive]] = field(init=False, factory=dict)
    _filled: set[tuple[Series, date]] = field(init=False, factory=set)

    async def handle(self, events: Sequence[Event]) -> None:
        """Take a batch of events."""
        for event in events:
            if isinstance(event, ArchiveFinished):
                if event.verdict in _LACKING and event.is_problem:
                    self._lacking.setdefault(event.archive.series, []).append(event.archive)
            elif isinstance(event, FillFinished) and self._is_mended_by(event):
                self._filled.add((event.archive.series, event.archive.period.first_day))

    def _is_mended_by(self, event: FillFinished) -> bool:
        is_whole = event.verdict is FillVerdict.FILLED and event.complete
        return is_whole and event.archive.series in self._lacking

    def left(self) -> list[Archive]:
        """Return the archives of which a day is not filled."""
        return [
            archive
            for series, archives in self._lacking.items()
            for archive in archives
            if not all((series, day) in self._filled for day in _days(archive))
        ]

    async def flush(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing: another run goes on with it."""


def _days(archive: Archive) -> list[date]:
    first, last = archive.period.first_day.toordinal(), archive.period.last_day.toordinal()
    return [date.fromordinal(day) for day in range(first, last + 1)]


@frozen
class SharedSink:
    """Lets several runs use a sink one after another; the owner closes it at the end."""

    inner: Sink

    @property
    def name(self) -> str:
        """The name of the inner sink."""
        return self.inner.name

    @property
    def required(self) -> bool:
        """Whether the inner sink is required."""
        return self.inner.required

    @property
    def takes_unchanged(self) -> bool:
        """Whether the inner sink takes the events of whole folders."""
        return self.inner.takes_unchanged

    async def handle(self, events: Sequence[Event]) -> None:
        """Pass a batch on."""
        await self.inner.handle(events)

    async def flush(self) -> None:
        """Flush the inner sink."""
        await self.inner.flush()

    async def close(self) -> None:
        """Flush the inner sink; it stays open."""
        await self.inner.flush()
