"""Keep the recorded books proven: fetch snapshots, and say where each book begins and breaks.

The first diffs of a stream wait for a snapshot, as the diffs behind a break do. Another one is
fetched from time to time, so that a reader has to replay the diffs of that time only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from anyio.abc import TaskGroup
from attrs import define, field

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.errors import HostRefusedError, TransferError
from crypto_lakehouse.live.books import BookStep
from crypto_lakehouse.live.depth import BookBreak, DepthFollower
from crypto_lakehouse.live.line import LiveTimes
from crypto_lakehouse.live.snapshots import SNAPSHOT_LEVELS, Snapshot, SnapshotFetcher
from crypto_lakehouse.live.streams import LiveStream

__all__ = ["BookKeeper", "BookReceiver"]

#: How long a book waits at most before a snapshot that failed is asked for again, in seconds.
_LONGEST_WAIT_S = 60.0


class BookReceiver(Protocol):
    """Takes what becomes of books."""

    def got_snapshot(self, stream: LiveStream, snapshot: Snapshot) -> None:
        """A snapshot came."""
        ...

    def book_began(self, stream: LiveStream, update_id: int) -> None:
        """A book is proven from an update id on."""
        ...

    def book_broke(self, stream: LiveStream, broken: BookBreak) -> None:
        """A book ended."""
        ...


@define(eq=False)
class _Kept:
    """One book.

    Attributes:
        next_at: When another snapshot is due though the book is proven.
        not_before: No snapshot is asked for before.
        failures: How often in turn none came.
        cause: Why the book is not proven, as far as that is known.
    """

    stream: LiveStream
    follower: DepthFollower
    next_at: float = 0.0
    not_before: float = 0.0
    failures: int = 0
    cause: str = "no snapshot has come yet"

    @property
    def needs_one(self) -> bool:
        """Whether diffs wait for a snapshot."""
        return not self.follower.book.is_proven and self.follower.book.waiting is not None


@define(eq=False)
class BookKeeper:
    """Keeps the books of a recording.

    Args:
        fetcher: Fetches snapshots; None to fetch none, so that books are not proven.
        receiver: Takes what becomes of the books.
        every_s: How often a book gets another snapshot, in seconds.
        times: Where the time comes from.
    """

    fetcher: SnapshotFetcher | None
    receiver: BookReceiver
    every_s: float
    times: LiveTimes
    _books: dict[LiveStream, _Kept] = field(init=False, factory=dict)
    _busy: set[Market] = field(init=False, factory=set)

    def keep(self, stream: LiveStream, follower: DepthFollower) -> None:
        """Keep one more book."""
        self._books[stream] = _Kept(stream, follower)

    def look(self, tasks: TaskGroup) -> None:
        """Report breaks, and begin to fetch the snapshots that are due; for once a second."""
        self.report_breaks()
        for market in {stream.market for stream in self._books} - self._busy:
            if due := self._due(market):
                self._busy.add(market)
                tasks.start_soon(self._fetch_all, market, due)

    def report_breaks(self) -> None:
        """Report the books that broke since the last time."""
        for kept in self._books.values():
            for each in kept.follower.breaks:
                self.receiver.book_broke(kept.stream, each)
            kept.follower.breaks.clear()

    async def finish(self) -> None:
        """Fetch the snapshots for which diffs wait, once."""
        for kept in tuple(self._books.values()):
            if kept.needs_one:
                await self._fetch(kept)

    def remove(self, streams: Iterable[LiveStream]) -> Iterator[tuple[LiveStream, int, int, str]]:
        """Keep some books no more.

        Yields:
            Each stream whose last diffs have no book: their first and last id, and why.
        """
        for stream in [each for each in streams if each in self._books]:
            kept = self._books.pop(stream)
            waiting = kept.follower.book.waiting
            if waiting is not None:
                yield stream, *waiting, kept.cause

    def _due(self, market: Market) -> list[_Kept]:
        """All books that need a snapshot now; else one whose time is over.

        One in a second uses half of the host's limit at most, and the rest is for other requests.
        """
        if self.fetcher is None:
            return []
        now = self.times.local()
        books = [kept for kept in self._books.values() if kept.stream.market is market]
        needed = [kept for kept in books if kept.needs_one and now >= kept.not_before]
        over = (k for k in books if k.follower.book.is_proven and now >= k.next_at)
        return needed or [kept for kept, _ in zip(over, range(1), strict=False)]

    async def _fetch_all(self, market: Market, due: list[_Kept]) -> None:
        for kept in due:
            await self._fetch(kept)
        self._busy.discard(market)

    async def _fetch(self, kept: _Kept) -> None:
        if self.fetcher is None:
            return
        try:
            snapshot = await self.fetcher.fetch(kept.stream)
        except (TransferError, HostRefusedError) as error:
            kept.cause, kept.failures = str(error), kept.failures + 1
            wait_s = min(2.0**kept.failures, _LONGEST_WAIT_S)
            kept.not_before = kept.next_at = self.times.local() + wait_s
            return
        self.receiver.got_snapshot(kept.stream, snapshot)
        self._begin(kept, snapshot)

    def _begin(self, kept: _Kept, snapshot: Snapshot) -> None:
        book, now = kept.follower.book, self.times.local()
        was_proven = book.is_proven
        step = book.snapshot(snapshot.value, limit=SNAPSHOT_LEVELS)
        kept.failures, kept.next_at, kept.not_before = 0, now + self.every_s, now
        if step is BookStep.APPLIED and not was_proven:
            self.receiver.book_began(kept.stream, snapshot.value["lastUpdateId"])
        elif step is BookStep.OLD and not was_proven:
            kept.cause = "the snapshots are older than the diffs"
