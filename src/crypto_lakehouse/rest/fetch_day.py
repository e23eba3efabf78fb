"""Fetch one UTC day of one series, as the responses that have its rows."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

from attrs import evolve, frozen

from crypto_lakehouse.core.archive import DataType, Series
from crypto_lakehouse.core.errors import FillUnavailable
from crypto_lakehouse.rest.agg_trades import fetch_agg_trades
from crypto_lakehouse.rest.answers import Faulty, Row, shape_of
from crypto_lakehouse.rest.client import RestClient
from crypto_lakehouse.rest.endpoints import Endpoint, fill_endpoints, funding_info, why_not
from crypto_lakehouse.rest.fetched_day import FetchedDay, Span
from crypto_lakehouse.rest.kept_pages import KeptPage
from crypto_lakehouse.rest.usage import Usage
from crypto_lakehouse.segments.fill_rows import csv_rows
from crypto_lakehouse.segments.fill_segment import FillHeader, FillResponse

__all__ = ["STATISTICS_DAYS", "days_per_page", "fetch_day", "is_too_old"]

_DAY = timedelta(days=1)

#: How far open interest and ratios go back.
STATISTICS_DAYS = 30

#: A day is over so long after its end: what happened in it can be asked for by then. Open interest
#: and ratios come some minutes late.
_SETTLED = timedelta(seconds=60)
_STATISTICS_SETTLED = timedelta(minutes=15)

#: One page has the bars of so many days at most, and the fundings: each of them keeps the page.
_DAYS_AHEAD = 10
_FUNDING_AHEAD = timedelta(days=32)

#: Bars that are asked for on the day on which one begins, and how many days have one, at least.
_DAYS_OF_BARS = {"1w": 7, "1mo": 28}
_MONDAY = 0

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


@frozen
class _Asked:
    """One day of one series, and until when its rows can be asked for."""

    client: RestClient
    series: Series
    day: date
    now: datetime
    usage: Usage

    @property
    def start(self) -> datetime:
        return datetime.combine(self.day, time(), UTC)

    @property
    def end(self) -> datetime:
        """The beginning of the next day."""
        return self.start + _DAY


async def fetch_day(
    client: RestClient,
    series: Series,
    day: date,
    usage: Usage | None = None,
    *,
    now: datetime | None = None,
) -> FetchedDay:
    """Fetch the rows of a series and UTC day.

    Args:
        client: Asks the exchange.
        series: What is fetched.
        day: The day.
        usage: Counts the requests and their weight, also if they fail.
        now: Nothing later is fetched; the server's time by default. A later moment has no effect.

    Returns:
        The responses, to be closed. Bars that are not finished are not asked for; `complete` is
        false if the day may get further rows.

    Raises:
        FillUnavailable: The exchange does not have it, or not any more.
        UnknownSymbolError: The exchange does not know the symbol.
        BadAnswerError: An answer is damaged each time that it is asked for.
        SegmentError: Answers contradict each other.
        TransferError: A request failed.
        StoreError: The folder of temporary files cannot be written.
        HostRefusedError: The host refuses this machine; nothing more may be asked.
    """
    endpoints = fill_endpoints(series)
    if not endpoints:
        raise FillUnavailable(str(series), why_not(series))
    server_now = await client.now(series.market)
    asked = _Asked(
        client, series, day, min(server_now, now or server_now), Usage() if usage is None else usage
    )
    if is_too_old(series, day, server_now):
        raise FillUnavailable(
            str(series), f"the exchange has only the last {STATISTICS_DAYS} days, and not {day}"
        )
    if asked.now <= asked.start:
        return FetchedDay.empty()
    if series.data_type is DataType.AGG_TRADES:
        span = Span.of(asked.start, asked.end)
        settled = asked.now >= asked.end + _SETTLED
        return await fetch_agg_trades(
            client, series, endpoints[0], span, server_now, asked.usage, is_over=settled
        )
    if series.data_type is DataType.FUNDING_RATE:
        return await _funding(asked, endpoints[0])
    if series.data_type is DataType.METRICS:
        return await _statistics(asked, endpoints)
    return await _bars(asked, endpoints[0])


def is_too_old(series: Series, day: date, now: datetime) -> bool:
    """Whether the exchange does not have a day any more."""
    start = datetime.combine(day, time(), UTC)
    is_short = series.data_type is DataType.METRICS
    return is_short and start < now - timedelta(days=STATISTICS_DAYS)


def days_per_page(series: Series) -> int:
    """How many days that follow each other one page has; 1 if a day has a page or more."""
    if series.data_type is DataType.FUNDING_RATE:
        return _FUNDING_AHEAD // _DAY - 1
    if series.interval in _DAYS_OF_BARS:
        return _DAYS_OF_BARS[series.interval]
    length = _length(series.interval, date.min) if series.interval else _DAY
    if not series.data_type.has_interval or length > _DAY:
        return 1
    (endpoint,) = fill_endpoints(series)
    rows = _DAY // length
    return _days_of_bars(endpoint, rows) if endpoint.page_size(rows) == rows else 1


def _days_of_bars(endpoint: Endpoint, rows: int) -> int:
    """How many days with so many bars a page has for the weight of one day."""
    return min(endpoint.free_size(rows) // rows, _DAYS_AHEAD)


async def _bars(asked: _Asked, endpoint: Endpoint) -> FetchedDay:
    """Fetch the bars that open in the day and are finished."""
    if not _may_open(asked.series.interval or "", asked.day):
        return evolve(FetchedDay.empty(), complete=asked.now >= asked.end, none_due=True)
    length = _length(asked.series.interval or "", asked.day)
    last_open = min(asked.end - timedelta(milliseconds=1), asked.now - length)
    complete = asked.now >= max(asked.end, asked.start + length) + _SETTLED
    if last_open < asked.start:
        return FetchedDay.empty()
    # The open time of a bar: a page that has it serves until another bar is finished.
    last_open -= (last_open - asked.start) % length
    rows = max(1, -(-(asked.end - asked.start) // length))
    size = endpoint.page_size(rows)
    if size == rows and length <= _DAY:
        return await _bars_of_days(asked, endpoint, rows, length, last_open)
    step = length * size
    responses: list[FillResponse] = []
    found = 0
    start = asked.start
    while start <= last_open:
        end = min(start + step - timedelta(milliseconds=1), last_open)
        response, page = await _page(asked, endpoint, start, end, size)
        responses.append(response)
        found += len(page)
        start += step
    return FetchedDay(responses, found, complete, "", asked.series.interval == "3d")


async def _bars_of_days(
    asked: _Asked, endpoint: Endpoint, rows: int, length: timedelta, last_open: datetime
) -> FetchedDay:
    """Fetch the bars of a day in one page, with those of further days for the same weight."""
    days = _days_of_bars(endpoint, rows)
    end = min(asked.start + days * _DAY - timedelta(milliseconds=1), asked.now - length)
    complete = asked.now >= asked.end + _SETTLED
    response, page = await _kept(asked, endpoint, last_open, (asked.start, end), rows * days)
    return FetchedDay([response], len(page), complete, "")


def _may_open(interval: str, day: date) -> bool:
    """Whether a bar may open on a day; those of three days are taken to do so on each."""
    if interval == "1mo":
        return day.day == 1
    return interval != "1w" or day.weekday() == _MONDAY


def _length(interval: str, day: date) -> timedelta:
    """The length of a bar that opens on a day."""
    if interval == "1mo":
        return timedelta(days=calendar.monthrange(day.year, day.month)[1])
    return timedelta(seconds=int(interval[:-1]) * _UNITS[interval[-1]])


async def _funding(asked: _Asked, endpoint: Endpoint) -> FetchedDay:
    """Fetch the settlements of the day, and those beside it: the distances are the intervals."""
    last = min(asked.end + _DAY - timedelta(milliseconds=1), asked.now)
    wide = asked.start - _DAY, min(asked.start + _FUNDING_AHEAD, asked.now)
    response, page = await _kept(asked, endpoint, last, wide, endpoint.most)
    responses = [response]
    if len(page) == 1:
        info = funding_info(asked.series)
        market, usage = asked.series.market, asked.usage
        found = await asked.client.get(market, info, {}, None, bytes, usage=usage)
        responses.append(found[0])
    return _counted(asked, responses, asked.now >= asked.end + _SETTLED)


async def _statistics(asked: _Asked, endpoints: Sequence[Endpoint]) -> FetchedDay:
    """Fetch open interest and ratios, with the first of the next day: a day may be labelled so."""
    last = min(asked.end, asked.now)
    size = _DAY // timedelta(minutes=5) + 1
    responses = [
        (await _page(asked, endpoint, asked.start, last, size))[0] for endpoint in endpoints
    ]
    return _counted(asked, responses, asked.now >= asked.end + _STATISTICS_SETTLED)


def _counted(asked: _Asked, responses: list[FillResponse], complete: bool) -> FetchedDay:
    """Count the rows that few responses are joined to.

    Raises:
        SegmentError: They cannot be joined.
    """
    header = FillHeader(
        series=asked.series, day=asked.day, complete=complete, tool_version="", filled_at=asked.now
    )
    rows = sum(1 for _ in csv_rows(asked.series, header, responses))
    return FetchedDay(responses, rows, complete, "")


async def _kept(
    asked: _Asked,
    endpoint: Endpoint,
    last: datetime,
    wide: tuple[datetime, datetime],
    size: int,
) -> tuple[FillResponse, list[Row]]:
    """Return the rows of a span, out of a page of a wider one that is asked for only once.

    Args:
        asked: What is asked for.
        endpoint: Where.
        last: The end of the span, inclusive.
        wide: The beginning of both spans, and the end of the wider one, inclusive.
        size: The page size.

    Returns:
        The response, and its rows in the span.
    """
    client, series = asked.client, asked.series
    span = Span.of(wide[0], last)
    async with client.pages.turn(series):
        kept = client.pages.find(series, span)
        if kept is None:
            response, rows = await _page(asked, endpoint, *wide, size)
            kept = KeptPage(Span.of(*wide), response, rows)
            client.pages.keep(series, kept)
    return kept.response, kept.within(span)


async def _page(
    asked: _Asked, endpoint: Endpoint, start: datetime, end: datetime, size: int
) -> tuple[FillResponse, list[Row]]:
    """Ask for the rows between two times, both inclusive."""
    shape = shape_of(asked.series.data_type, endpoint.path, asked.series.symbol)
    span = Span.of(start, end)
    last_us = span.end_us + 999  # an end in milliseconds includes the whole of its last one

    def read(body: bytes) -> list[Row]:
        rows = shape.rows(body)
        for row in rows:
            if not span.start_us <= row.time_us <= last_us:
                raise Faulty(f"a row of {row.time_us} is not of the time that was asked for")
        return rows

    params = {"startTime": span.start_us // 1000, "endTime": span.end_us // 1000}
    return await asked.client.get(
        asked.series.market, endpoint, params, size, read, usage=asked.usage
    )
