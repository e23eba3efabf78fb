"""Fetch a day of aggTrades by their ids, and prove it by those of its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from anyio import to_thread
from attrs import define, field, frozen

from crypto_lakehouse.core.archive import Series
from crypto_lakehouse.core.errors import FillUnavailable
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.rest.answers import Faulty, Row, shape_of
from crypto_lakehouse.rest.client import RestClient
from crypto_lakehouse.rest.endpoints import API_OF, Endpoint
from crypto_lakehouse.rest.fetched_day import FetchedDay, Span
from crypto_lakehouse.rest.usage import Usage
from crypto_lakehouse.segments.fill_segment import MOST_BYTES, FillResponse
from crypto_lakehouse.segments.kept_responses import KeptResponses

__all__ = ["LARGEST_DAY_BYTES", "fetch_agg_trades"]

#: The lines of a day; a segment has room for the header besides.
LARGEST_DAY_BYTES = MOST_BYTES - (1 << 20)

#: aggTrades between two times of futures span less than an hour.
_WINDOW = timedelta(hours=1)

_Page = tuple[FillResponse, list[Row]]


async def fetch_agg_trades(
    client: RestClient,
    series: Series,
    endpoint: Endpoint,
    span: Span,
    now: datetime,
    usage: Usage,
    *,
    is_over: bool,
) -> FetchedDay:
    """Fetch the aggTrades from a time up to, and without, another.

    Pages follow each other by id. The first begins with the last trade before the span and the last
    one ends behind it, as far as there are such trades: if all ids are contiguous, none is missing.

    Args:
        client: Asks the exchange.
        series: Whose trades.
        endpoint: Its endpoint.
        span: From its start up to its end.
        now: The server's time.
        usage: Counts the requests.
        is_over: Whether nothing more can happen in the span.
    """
    search = _Search(client, series, endpoint, span, now, usage)
    found = await search.first_id()
    seen = _Seen(span)
    kept = KeptResponses()
    try:
        if found is not None:
            await _keep_pages(search, max(found - 1, 0), seen, kept, is_over=is_over)
    except BaseException:
        kept.close()
        raise
    if seen.after is not None:
        client.next_ids[series, span.end_us] = seen.after.key
    return FetchedDay(
        kept, seen.inside, seen.after is not None or is_over, "ids" if seen.is_proven else ""
    )


async def _keep_pages(
    search: _Search, from_id: int, seen: _Seen, kept: KeptResponses, *, is_over: bool
) -> None:
    """Fetch page after page, up to a trade behind the span or the newest one."""
    while True:
        response, rows = await search.by_id(from_id)
        if rows:
            seen.add(rows)
            await to_thread.run_sync(kept.add, response)
        if kept.text_bytes > LARGEST_DAY_BYTES:
            raise FillUnavailable(
                response.url, f"the day has more than {LARGEST_DAY_BYTES} bytes, too many to keep"
            )
        is_newest = len(rows) < search.endpoint.most
        # That the newest trade of a day that is over came is known if none follows it.
        if seen.after is not None or not rows or (is_newest and not is_over):
            return
        from_id = rows[-1].key + 1


@define
class _Seen:
    """What the rows of all pages say of a span; the rows themselves are not kept."""

    span: Span
    inside: int = field(init=False, default=0)
    after: Row | None = field(init=False, default=None)
    _meets_before: bool = field(init=False, default=False)
    _is_contiguous: bool = field(init=False, default=True)
    _last: Row | None = field(init=False, default=None)

    def add(self, rows: Sequence[Row]) -> None:
        """Take the rows of the next page."""
        span, first = self.span, rows[0]
        if self._last is None:
            self._meets_before = first.time_us < span.start_us or first.key == 0
        else:
            self._is_contiguous &= first.key == self._last.key + 1
        self._is_contiguous &= all(row.key - first.key == at for at, row in enumerate(rows))
        self.inside += sum(span.start_us <= row.time_us < span.end_us for row in rows)
        if self.after is None:
            self.after = next((row for row in rows if row.time_us >= span.end_us), None)
        self._last = rows[-1]

    @property
    def is_proven(self) -> bool:
        """Whether no id is missing between a trade before the span and one behind it."""
        return self._is_contiguous and self._meets_before and self.after is not None


@frozen
class _Known:
    """An id and a time: the trades from this id on are not before the time, or one is."""

    id: int
    time_us: int


@frozen
class _Search:
    """Finds the first trade of a span."""

    client: RestClient
    series: Series
    endpoint: Endpoint
    span: Span
    now: datetime
    usage: Usage

    async def first_id(self) -> int | None:
        """The id of the first trade that is not before the span; None if there is none yet."""
        known = self.client.next_ids.get((self.series, self.span.start_us))
        if known is not None:
            return known
        by_time = await self._first_by_time()
        if by_time is not None:
            return by_time
        newest = await self._ask({}, 1, 0)
        if not newest or newest[-1].time_us < self.span.start_us:
            return None
        oldest = await self._ask({"fromId": 0}, 1, 0)
        if not oldest or oldest[0].time_us >= self.span.start_us:
            return oldest[0].key if oldest else newest[-1].key
        return await self._between(_known(oldest[0]), _known(newest[-1]))

    async def by_id(self, from_id: int) -> _Page:
        """Fetch a page from an id on."""
        return await self._page({"fromId": from_id}, self.endpoint.most, from_id)

    async def _first_by_time(self) -> int | None:
        """Ask by time, where the exchange allows it; None if that finds nothing."""
        history = API_OF[self.series.market].agg_history
        start_us = self.span.start_us
        params = {"startTime": start_us // 1000}
        if history is not None:
            now_us = Span.of(self.now - history, self.now).start_us
            if start_us < now_us:
                return None
            params["endTime"] = (start_us + _WINDOW // timedelta(microseconds=1)) // 1000 - 1
        rows = await self._ask(params, 1, 0)
        return next((row.key for row in rows if row.time_us >= start_us), None)

    async def _between(self, before: _Known, after: _Known) -> int:
        """Find the first id whose time is not before the span, between two that are known.

        The place is guessed as if trades were spread evenly; each third guess halves the rest, so
        that no distribution of trades takes many.
        """
        most = self.endpoint.most
        step = 0
        while after.id - before.id > 1:
            step += 1
            width = after.id - before.id
            part = (self.span.start_us - before.time_us) / (after.time_us - before.time_us)
            guess = before.id + (width // 2 if step % 3 == 0 else int(width * part))
            guess = min(max(guess - most // 2, before.id + 1), after.id - 1)
            rows = await self._ask({"fromId": guess}, most, guess)
            late = next((row for row in rows if row.time_us >= self.span.start_us), None)
            if late is None and rows:
                before = _known(rows[-1])
            elif not rows or late is rows[0]:
                after = _Known(guess, after.time_us if not rows else rows[0].time_us)
            elif late is not None:
                return late.key
        return after.id

    async def _ask(self, params: dict[str, int], limit: int, least_id: int) -> Sequence[Row]:
        return (await self._page(params, limit, least_id))[1]

    async def _page(self, params: dict[str, int], limit: int, least_id: int) -> _Page:
        shape = shape_of(self.series.data_type, self.endpoint.path, self.series.symbol)

        def read(body: bytes) -> list[Row]:
            rows = shape.rows(body)
            if rows and rows[0].key < least_id:
                raise Faulty(f"it begins with the id {rows[0].key}, before {least_id}")
            if len(rows) > limit:
                raise Faulty(f"it has {plural(len(rows), 'row')}, more than {limit}")
            return rows

        market, usage = self.series.market, self.usage
        return await self.client.get(market, self.endpoint, params, limit, read, usage=usage)


def _known(row: Row) -> _Known:
    return _Known(row.key, row.time_us)
