"""Requirements of every sink, as pytest tests of an application's own sink."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.events import (
    ArchiveFinished,
    ArchiveRetried,
    ArchivesUnchanged,
    BodyStarted,
    Event,
    FolderListed,
    ListingRetried,
    RunFinished,
    RunNoted,
    RunStarted,
    RunWarned,
)
from crypto_lakehouse.core.object_facts import ObjectFacts
from crypto_lakehouse.core.sink import AnySink, Sink
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.sinks.checked import checked_sinks

__all__ = ["SinkSuite"]

_ARCHIVE = Archive.parse("data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2025-07-15.zip")
_NOON = datetime(2025, 7, 15, 12, tzinfo=UTC)


class SinkSuite:
    """Tests of a sink, which a subclass provides.

    No plugin for async tests is needed.

    Examples:
        >>> class TestMySink(SinkSuite):
        ...     def make_sink(self):
        ...         return MySink()
    """

    def make_sink(self) -> AnySink:
        """Make a sink; called once for each test."""
        raise NotImplementedError(
            f"{type(self).__name__} lacks `make_sink`, which must return a sink"
        )

    def test_a_run_takes_it(self) -> None:
        """It has all members that a run uses."""
        (sink,) = checked_sinks([self.make_sink()])
        assert sink.name
        assert isinstance(sink.required, bool)
        assert isinstance(sink.takes_unchanged, bool)

    def test_it_takes_every_event_of_a_run(self) -> None:
        """It accepts every kind of event, even those that it ignores."""
        asyncio.run(self._live([_events()]))

    def test_it_takes_events_one_by_one(self) -> None:
        """The run decides how events are grouped into batches."""
        asyncio.run(self._live([[event] for event in _events()]))

    def test_it_is_closed_without_an_event(self) -> None:
        """It accepts no events, as in a run that ends before it has planned."""
        asyncio.run(self._live([]))

    async def _live(self, batches: Sequence[Sequence[Event]]) -> None:
        sink: Sink
        (sink,) = checked_sinks([self.make_sink()])
        for batch in batches:
            await sink.handle(batch)
            await sink.flush()
        await sink.close()


def _events() -> list[Event]:
    """Return every kind of event."""
    unchanged = ArchiveFinished(archive=_ARCHIVE, verdict=Verdict.UNCHANGED)
    return [
        RunStarted(run_id="one", workflow="archive_collection", planned=len(Verdict), at=_NOON),
        RunNoted(message="a note"),
        RunWarned(message="a warning"),
        ListingRetried(prefix=_ARCHIVE.folder, attempt=1, wait_s=0.5, reason="it answered 503"),
        FolderListed(
            folder=_ARCHIVE.folder,
            first=_ARCHIVE.name,
            last=_ARCHIVE.name,
            archives=1,
            size_bytes=7,
            at=_NOON,
        ),
        BodyStarted(archive=_ARCHIVE, facts=ObjectFacts(size_bytes=7, etag='"e"')),
        ArchivesUnchanged(_ARCHIVE.folder, 1, lambda: iter([unchanged]), seen=True, size_bytes=7),
        ArchiveRetried(archive=_ARCHIVE, attempt=1, wait_s=0.5, reason="the source answered 503"),
        *(ArchiveFinished(archive=_ARCHIVE, verdict=verdict) for verdict in Verdict),
        RunFinished(run_id="one", status="partial", at=_NOON),
    ]
