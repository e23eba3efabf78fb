"""Fill one UTC day of a series: fetch it, and store what was answered as a segment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, date, datetime
from functools import partial

import anyio
from anyio import to_thread
from attrs import define, evolve, field

from crypto_lakehouse.core.acknowledged import Acknowledged
from crypto_lakehouse.core.archive import Archive, DataType, Market, Period, Series
from crypto_lakehouse.core.errors import (
    BadAnswerError,
    FillUnavailable,
    SegmentError,
    TransferError,
    UnknownSymbolError,
)
from crypto_lakehouse.core.events import FillFinished
from crypto_lakehouse.core.fills import FillRow, FillVerdict, segment_of
from crypto_lakehouse.core.messages import shown
from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.core.protocols import Store
from crypto_lakehouse.rest import FetchedDay, Usage
from crypto_lakehouse.segments.fill_segment import FillHeader
from crypto_lakehouse.segments.kept_responses import temporary_file
from crypto_lakehouse.version import __version__
from crypto_lakehouse.workflows.new_segment import store_segment, write_segment

__all__ = ["DayFiller", "is_acknowledged", "known_days"]

#: The beginning of the reason of days of a symbol that the exchange does not know.
_UNKNOWN_SYMBOL = "the exchange does not know the symbol"

_NO_ROWS = "the exchange has no rows of this day"

#: Days of trades that are fetched at once: each is in a temporary file until it is whole.
_LARGE_DAYS = 2


def known_days(
    series: Series,
    days: Iterator[date],
    rows: Mapping[str, FillRow],
    stored: Callable[[Archive], FileStat | None],
    *,
    retry: bool = False,
    again: bool = False,
) -> Iterator[tuple[Archive, FillRow | None]]:
    """Yield the segment of each day, and its row if there is nothing to ask for.

    Args:
        series: The series.
        days: Its days.
        rows: What the ledger knows of its segments, by name.
        stored: Returns size and mark of a segment; None if it or its sidecar is not there.
        retry: Whether what was not to be had is asked for once more.
        again: Whether what is there is asked for once more.
    """
    unavailable = [row for row in rows.values() if row.verdict is FillVerdict.UNAVAILABLE]
    unknown = next((row for row in unavailable if row.reason.startswith(_UNKNOWN_SYMBOL)), None)
    for day in days:
        segment = segment_of(series, day)
        row = rows.get(segment.name)
        if row is not None and row.is_final:
            yield segment, (row if not again and row.describes(stored(segment)) else None)
        elif retry:
            yield segment, None
        elif row is not None and row.verdict is FillVerdict.UNAVAILABLE:
            yield segment, row
        else:
            yield segment, unknown


def is_acknowledged(acknowledged: Acknowledged, segment: Archive) -> bool:
    """Whether the user knows that the archive of a segment's day or month is missing or damaged."""
    day = segment.period.first_day
    periods = (Period.day(day), Period.month(day))
    return any(acknowledged.holds(Archive(segment.series, each).key) for each in periods)


_Feed = tuple[Market, DataType, str]


def _feed(series: Series) -> _Feed:
    return series.market, series.data_type, series.symbol


@define
class DayFiller:
    """Fills days, and says what became of each.

    Args:
        fetch: Fetches a series' day, and counts what that uses.
        store: Keeps the segments.
        acknowledged: The archives that the user knows to be missing or damaged.
        hint: Returns what else a symbol may be, for a message; empty if nothing is near.
        now: The machine's time, in UTC.
    """

    fetch: Callable[[Series, date, Usage], Awaitable[FetchedDay]]
    store: Store
    acknowledged: Acknowledged
    hint: Callable[[Series], str]
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _unknown: dict[_Feed, str] = field(init=False, factory=dict)
    _heard: set[_Feed] = field(init=False, factory=set)
    _asking: dict[_Feed, anyio.Lock] = field(init=False, factory=dict)
    _large: anyio.Semaphore = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._large = anyio.Semaphore(_LARGE_DAYS)

    async def fill(self, segment: Archive) -> tuple[FillFinished, TransferError | None]:
        """Fill the day of a segment.

        Returns:
            The verdict, and the error if there was one.

        Raises:
            HostRefusedError: The host refuses this machine; nothing more may be asked.
            StoreError: The segment cannot be stored.
        """
        feed = _feed(segment.series)
        if feed not in self._heard:  # if the symbol is unknown, one request is enough
            async with self._asking.setdefault(feed, anyio.Lock()):
                if feed not in self._heard:
                    result = await self._fill(segment)
                    self._heard.add(feed)
                    self._asking.pop(feed, None)
                    return result
        if reason := self._unknown.get(feed):
            return self._lacking(segment, FillVerdict.UNAVAILABLE, reason), None
        return await self._fill(segment)

    async def _fill(self, segment: Archive) -> tuple[FillFinished, TransferError | None]:
        usage = Usage()
        result, error = await self._judged(segment, usage)
        return evolve(result, requests=usage.requests, weight=usage.weight), error

    async def _judged(
        self, segment: Archive, usage: Usage
    ) -> tuple[FillFinished, TransferError | None]:
        series = segment.series
        try:
            if series.data_type is DataType.AGG_TRADES:
                async with self._large:
                    return await self._filled(segment, usage), None
            return await self._filled(segment, usage), None
        except UnknownSymbolError as error:
            reason = f"{_UNKNOWN_SYMBOL} `{shown(error.symbol)}`{self.hint(series)}"
            self._unknown[_feed(series)] = reason
            return self._lacking(segment, FillVerdict.UNAVAILABLE, reason), error
        except FillUnavailable as error:
            return self._lacking(segment, FillVerdict.UNAVAILABLE, error.reason), error
        except BadAnswerError as error:
            note = {"verdict": str(FillVerdict.FAILED), "reason": error.reason, "url": error.url}
            await self.store.quarantine(f"{segment.key}.answer", error.body, note)
            return self._lacking(segment, FillVerdict.FAILED, str(error)), error
        except SegmentError as error:  # a day that is too large for a segment
            return self._lacking(segment, FillVerdict.FAILED, str(error)), None
        except TransferError as error:
            return self._lacking(segment, FillVerdict.FAILED, str(error)), error

    async def _filled(self, segment: Archive, usage: Usage) -> FillFinished:
        with closing(await self.fetch(segment.series, segment.period.first_day, usage)) as fetched:
            return await self._stored(segment, fetched)

    async def _stored(self, segment: Archive, fetched: FetchedDay) -> FillFinished:
        at = self.now()
        result = FillFinished(
            archive=segment,
            verdict=FillVerdict.FILLED,
            rows=fetched.rows,
            complete=fetched.complete,
            proven_by=fetched.proven_by,
            at=at,
        )
        if not fetched.rows and (fetched.none_due or not (fetched.responses or fetched.complete)):
            return result  # no bar begins on the day, or none is finished yet
        if fetched.complete and not fetched.rows and not fetched.proven_by:
            return self._lacking(segment, FillVerdict.UNAVAILABLE, _NO_ROWS)
        header = FillHeader(
            series=segment.series,
            day=segment.period.first_day,
            complete=fetched.complete,
            proven_by=fetched.proven_by,
            tool_version=__version__,
            filled_at=at,
        )
        with temporary_file() as file:
            written = partial(write_segment, file, header, fetched.responses)
            size, sha256 = await to_thread.run_sync(written)
            stat = await store_segment(self.store, segment, file, size, sha256)
        return evolve(result, size_bytes=size, mark=stat.mark, sha256=sha256)

    def _lacking(self, segment: Archive, verdict: FillVerdict, reason: str) -> FillFinished:
        return FillFinished(
            archive=segment,
            verdict=verdict,
            reason=reason,
            at=self.now(),
            acknowledged=is_acknowledged(self.acknowledged, segment),
        )
