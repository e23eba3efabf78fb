"""A day that is fetched has the rows of its archive, or fails by name."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, date, datetime
from typing import Any

import pytest
from attrs import evolve, frozen
from tests.rest.virtual_time import rest_client

from crypto_lakehouse import rest
from crypto_lakehouse.core.archive import Archive, DataType, Market, Period, Series
from crypto_lakehouse.core.errors import (
    BadAnswerError,
    BodyTooLarge,
    ConnectionFailed,
    ExchangeRefused,
    FillUnavailable,
    ServerError,
    TransferError,
    UnknownSymbolError,
)
from crypto_lakehouse.rest import FetchedDay, RestClient, Usage, days_per_page
from crypto_lakehouse.segments.fill_rows import csv_rows
from crypto_lakehouse.segments.fill_segment import FillHeader, FillResponse
from crypto_lakehouse.testing import (
    ArchiveServer,
    ExchangeServer,
    GivenTrades,
    Instrument,
    Tape,
    faults,
)
from crypto_lakehouse.testing.faults import Fault
from crypto_lakehouse.testing.objects.responses import ServerResponse

SPOT, UM, CM, _ = Market
TYPES = DataType
DAY, TODAY = date(2026, 5, 7), date(2026, 5, 8)
LONG_AGO = date(2026, 3, 1)

SERIES = [
    Series(SPOT, TYPES.KLINES, "BTCUSDT", "1m"),
    Series(SPOT, TYPES.KLINES, "BTCUSDT", "1d"),
    Series(SPOT, TYPES.AGG_TRADES, "BTCUSDT"),
    Series(UM, TYPES.KLINES, "BTCUSDT", "1m"),
    Series(UM, TYPES.AGG_TRADES, "BTCUSDT"),
    Series(UM, TYPES.MARK_PRICE_KLINES, "BTCUSDT", "1h"),
    Series(UM, TYPES.INDEX_PRICE_KLINES, "BTCUSDT", "4h"),
    Series(UM, TYPES.PREMIUM_INDEX_KLINES, "BTCUSDT", "5m"),
    Series(UM, TYPES.FUNDING_RATE, "BTCUSDT"),
    Series(UM, TYPES.METRICS, "BTCUSDT"),
    Series(CM, TYPES.KLINES, "BTCUSD_PERP", "15m"),
    Series(CM, TYPES.INDEX_PRICE_KLINES, "BTCUSD", "1h"),
    Series(CM, TYPES.AGG_TRADES, "BTCUSD_PERP"),
    Series(CM, TYPES.FUNDING_RATE, "BTCUSD_PERP"),
    Series(CM, TYPES.METRICS, "BTCUSD_PERP"),
]
SPOT_AGGS, UM_AGGS, METRICS = SERIES[2], SERIES[4], SERIES[9]


async def fetch_day(
    client: RestClient, series: Series, day: date, usage: Usage | None = None, **given: Any
) -> FetchedDay:
    """Fetch a day, whose responses are then in memory."""
    with closing(await rest.fetch_day(client, series, day, usage, **given)) as fetched:
        return evolve(fetched, responses=list(fetched.responses))


def lines(series: Series, day: date, responses: Iterable[FillResponse]) -> list[str]:
    """The rows that a segment of these responses has."""
    header = FillHeader(
        series=series, day=day, complete=True, tool_version="", filled_at=datetime.now(UTC)
    )
    return [line.decode().rstrip("\n") for line in csv_rows(series, header, responses)]


def archived(exchange: ExchangeServer, series: Series, day: date) -> list[str]:
    """The rows of the day in the archive of the same tape."""
    is_monthly = series.data_type is TYPES.FUNDING_RATE
    archive = Archive(series, Period.month(day) if is_monthly else Period.day(day))
    archives = ArchiveServer(generate=False)
    exchange.publish(archives, archive.key)
    with zipfile.ZipFile(io.BytesIO(archives.read(archive.key))) as packed:
        text = packed.read(archive.member).decode().splitlines()
    rows = [line for line in text if line[0].isdigit()]
    return [line for line in rows if not is_monthly or day_of(line) == day]


def day_of(line: str) -> date:
    return datetime.fromtimestamp(int(line.partition(",")[0]) / 1000, UTC).date()


def comparable(series: Series, rows: list[str]) -> list[str]:
    """The times of metrics: the endpoints have their ratios with fewer digits."""
    is_short = series.data_type is TYPES.METRICS
    booleans = [row.replace("True", "true").replace("False", "false") for row in rows]
    return [row.partition(",")[0] if is_short else row for row in booleans]


async def check(
    client: RestClient,
    exchange: ExchangeServer,
    series: Series,
    day: date,
    usage: Usage | None = None,
) -> FetchedDay:
    fetched = await fetch_day(client, series, day, usage)
    rows = lines(series, day, fetched.responses)
    assert comparable(series, rows) == comparable(series, archived(exchange, series, day))
    assert fetched.rows == len(rows)
    assert fetched.complete
    is_trades = series.data_type is TYPES.AGG_TRADES
    assert fetched.proven_by == ("ids" if is_trades else "")
    return fetched


@pytest.mark.parametrize("series", SERIES, ids=str)
async def test_its_rows_are_those_of_the_archive(series: Series) -> None:
    async with ExchangeServer() as exchange, rest_client(exchange) as client:
        usage = Usage()
        fetched = await check(client, exchange, series, DAY, usage)
        asked, used = len(exchange.requests), exchange.used_weight(series.market)
        assert (usage.requests, usage.weight) == (asked - 1, used - 1)  # and one for the time
        if series.data_type not in {TYPES.METRICS, TYPES.AGG_TRADES}:  # 30 days; and see below
            await check(client, exchange, series, LONG_AGO)
        assert exchange.count(status=200) == len(exchange.requests)
        assert {response.status for response in fetched.responses} == {200}


@pytest.mark.parametrize("series", SERIES, ids=str)
async def test_a_day_that_is_not_over_has_its_finished_rows(series: Series) -> None:
    async with ExchangeServer() as exchange, rest_client(exchange) as client:
        exchange.clock.advance(0.7)
        fetched = await fetch_day(client, series, TODAY)
        assert not fetched.complete
        assert not fetched.proven_by
        rows = comparable(series, lines(series, TODAY, fetched.responses))
        whole = comparable(series, archived(exchange, series, TODAY))
        assert rows == whole[: len(rows)] or series.data_type is TYPES.FUNDING_RATE
        assert len(rows) == fetched.rows
        part = 0 if series.interval == "1d" else 0.5
        assert part * len(whole) - 1 <= len(rows) <= part * len(whole) + 1
        again = await fetch_day(client, series, date(2026, 5, 9))
        assert (again.responses, again.rows, again.complete) == ([], 0, False)


async def test_nothing_is_fetched_beyond_the_moment_that_is_given() -> None:
    async with ExchangeServer() as exchange, rest_client(exchange) as client:
        now = datetime(2026, 5, 7, 6, tzinfo=UTC)
        fetched = await fetch_day(client, SERIES[0], DAY, now=now)
        assert (fetched.rows, fetched.complete) == (360, False)


async def test_days_in_turn_are_not_searched_again() -> None:
    """The first trade of a day is found by time, or by few guesses; that of the next is known."""
    async with ExchangeServer() as exchange, rest_client(exchange) as client:
        first = await fetch_day(client, UM_AGGS, LONG_AGO)
        assert len(exchange.requests) - len(first.responses) <= 8
        before = len(exchange.requests)
        second = await check(client, exchange, UM_AGGS, date(2026, 3, 2))
        assert len(exchange.requests) - before == len(second.responses)


@pytest.mark.parametrize(
    ("series", "pages"), [(SERIES[1], 1), (SERIES[5], 3), (SERIES[8], 1), (SERIES[10], 10)], ids=str
)
async def test_a_page_with_the_rows_of_several_days_is_asked_for_once(
    series: Series, pages: int
) -> None:
    async with ExchangeServer() as exchange, rest_client(exchange) as client:
        for number in range(10):
            fetched = await check(client, exchange, series, date(2026, 4, 10 + number))
            assert len(fetched.responses) == 1
        assert exchange.count(f"*/{series.data_type}") == pages == -(-10 // days_per_page(series))
        before = exchange.count()
        last = await fetch_day(client, series, TODAY)
        exchange.clock.advance(86_400)
        assert (await check(client, exchange, series, TODAY)).rows > last.rows
        assert exchange.count() > before


async def test_a_page_serves_until_another_bar_is_finished() -> None:
    async with ExchangeServer() as exchange, rest_client(exchange) as client:
        for number in (5, 6, 7):
            await check(client, exchange, SERIES[1], date(2026, 5, number))
            exchange.clock.advance(1)
        assert exchange.count("*/klines") == 1


async def test_days_that_are_fetched_at_once_share_a_page_too() -> None:
    async with ExchangeServer() as exchange, rest_client(exchange) as client:
        async with asyncio.TaskGroup() as group:
            for number in range(10):
                group.create_task(check(client, exchange, SERIES[8], date(2026, 4, 10 + number)))
        assert exchange.count("*/fundingRate") == 1


async def test_the_first_day_of_a_symbol_has_no_neighbour() -> None:
    async with ExchangeServer() as exchange, rest_client(exchange) as client:
        for series in (SPOT_AGGS, UM_AGGS):
            fetched = await fetch_day(client, series, date(2026, 1, 1))
            assert fetched.complete
            assert fetched.rows == len(archived(exchange, series, date(2026, 1, 1)))
            before = await fetch_day(client, series, date(2025, 12, 31))
            assert (before.rows, before.complete, before.proven_by) == (0, True, "")


@frozen
class LosesRow(Fault):
    """Leaves out a row of a page, so that its ids have a gap."""

    def spoil(self, answer: ServerResponse) -> ServerResponse:
        import json

        from attrs import evolve

        from crypto_lakehouse.testing.objects.objects import BytesContent

        rows = json.loads(answer.content.read(0, answer.content.size))
        if len(rows) < 1000:
            return answer
        del rows[500]
        return evolve(answer, content=BytesContent(json.dumps(rows).encode()))


async def test_a_short_page_does_not_end_a_day_that_is_over() -> None:
    async with ExchangeServer() as exchange, rest_client(exchange) as client:
        whole = await check(client, exchange, SPOT_AGGS, DAY)
        rows = json.loads(next(iter(whole.responses)).body)
        start = datetime.combine(DAY, datetime.min.time(), UTC)
        client.next_ids[SPOT_AGGS, int(start.timestamp()) * 1_000_000] = rows[1]["a"]
        short = faults.Status(200, body=json.dumps(rows[:10]).encode())
        exchange.inject("spot/api/v3/aggTrades", short)
        again = await check(client, exchange, SPOT_AGGS, DAY)
        assert (again.rows, len(again.responses)) == (whole.rows, len(whole.responses) + 1)


async def test_ids_with_a_gap_prove_nothing() -> None:
    async with ExchangeServer() as exchange, rest_client(exchange) as client:
        exchange.inject("*aggTrades", LosesRow(), endless=True)
        fetched = await fetch_day(client, SPOT_AGGS, DAY)
        assert fetched.proven_by == ""
        assert fetched.rows < len(archived(exchange, SPOT_AGGS, DAY))


async def test_an_uneven_history_is_searched_in_few_requests() -> None:
    """A trade an hour for three months, with 20,000 in one hour: guesses by time go wrong."""
    instrument = Instrument.of(UM, "BTCUSDT")
    begin, hour = 1_767_225_600_000_000, 3_600_000_000
    times = [begin + number * hour for number in range(24 * 120)]
    at = 24 * 60 + 12
    times[at:at] = [begin + (at - 1) * hour + number * 100_000 for number in range(1, 20_000)]
    prices = ("50000.00", "50010.00")
    trades = GivenTrades.of(
        instrument,
        [(number, each, prices[number % 2], "0.5", False) for number, each in enumerate(times)],
    )
    tape = Tape([instrument], trades={(UM, "BTCUSDT"): trades})
    async with ExchangeServer(tape) as exchange, rest_client(exchange) as client:
        for day in (date(2026, 1, 2), date(2026, 3, 1), date(2026, 3, 3), date(2026, 4, 30)):
            client.next_ids.clear()
            before = len(exchange.requests)
            fetched = await fetch_day(client, UM_AGGS, day)
            assert fetched.rows == sum(
                datetime.fromtimestamp(each / 1e6, UTC).date() == day for each in times
            )
            assert len(exchange.requests) - before - len(fetched.responses) <= 12
            assert fetched.proven_by == ("ids" if day != date(2026, 4, 30) else "")


async def test_the_only_settlement_of_a_new_symbol_has_its_interval() -> None:
    instrument = Instrument.of(UM, "BTCUSDT")
    tape = Tape([instrument], start=datetime(2026, 5, 8, 7, tzinfo=UTC))
    async with ExchangeServer(tape) as exchange, rest_client(exchange) as client:
        fetched = await fetch_day(client, SERIES[8], TODAY)
        (row,) = lines(SERIES[8], TODAY, fetched.responses)
        assert row.split(",")[1] == "8"
        assert len(fetched.responses) == 2


async def test_bars_of_a_month_and_a_week_are_on_the_day_that_they_open() -> None:
    month, week = (Series(UM, TYPES.KLINES, "BTCUSDT", interval) for interval in ("1mo", "1w"))
    async with ExchangeServer() as exchange, rest_client(exchange) as client:
        assert (await fetch_day(client, month, date(2026, 4, 1))).rows == 1
        assert (await fetch_day(client, month, date(2026, 5, 1))).complete is False
        for number in range(27, 30):
            fetched = await fetch_day(client, week, date(2026, 4, number))
            assert (fetched.rows, fetched.complete) == (number == 27, True)


@pytest.mark.parametrize("series", SERIES, ids=str)
async def test_a_symbol_that_is_unknown_is_asked_for_once(series: Series) -> None:
    other = Series(
        series.market,
        series.data_type,
        "NOSUCHUSD_PERP" if series.symbol.endswith("_PERP") else "NOSUCHUSDT",
        series.interval,
    )
    async with ExchangeServer() as exchange, rest_client(exchange) as client:
        with pytest.raises(UnknownSymbolError, match="NOSUCH"):
            await fetch_day(client, other, DAY)
        assert exchange.count(status=400) == 1


async def test_what_the_exchange_does_not_have_is_not_asked_for() -> None:
    async with ExchangeServer() as exchange, rest_client(exchange) as client:
        with pytest.raises(FillUnavailable, match="30 days"):
            await fetch_day(client, METRICS, LONG_AGO)
        with pytest.raises(FillUnavailable, match="without a key"):
            await fetch_day(client, Series(SPOT, TYPES.TRADES, "BTCUSDT"), DAY)
        assert exchange.count() == exchange.count("*/time")


FAULTS: list[tuple[Series, Fault, type[TransferError], str]] = [
    (SERIES[3], faults.MalformedJson(), BadAnswerError, "it is no JSON"),
    (SERIES[3], faults.PlainNumbers(), BadAnswerError, "row 1: the field 2 is .*decimal as text"),
    (SERIES[3], faults.MissingField(11), BadAnswerError, "row 480: it has 11 fields, and not 12"),
    (SERIES[3], faults.TimeBack(), BadAnswerError, "row 480: its time"),
    (SERIES[3], faults.RepeatedId(), BadAnswerError, "row 480: two rows have the id"),
    (SPOT_AGGS, faults.MissingField("p"), BadAnswerError, "the field `p` is missing"),
    (SPOT_AGGS, faults.MissingField("m"), BadAnswerError, "the field `m` is missing"),
    (SPOT_AGGS, faults.RepeatedId(), BadAnswerError, "two rows have the id"),
    (SPOT_AGGS, faults.PlainNumbers(), BadAnswerError, "the field `p` is .*decimal as text"),
    (SERIES[8], faults.MissingField("fundingRate"), BadAnswerError, "`fundingRate` is missing"),
    (METRICS, faults.TimeBack(), BadAnswerError, "its time"),
    (SERIES[3], faults.Status(200, body=b"{}"), BadAnswerError, "no list of rows"),
    (SERIES[3], faults.Status(200, body=b"[7]"), BadAnswerError, "row 1: it is `7`, and no row"),
    (SERIES[3], faults.Status(200, body=b'["\xff"]'), BadAnswerError, "it is no JSON"),
    (SERIES[3], faults.Status(503), ServerError, "503"),
    (SERIES[3], faults.Reset(), ConnectionFailed, "127.0.0.1"),
    (SERIES[3], faults.Status(200, body=b" " * (17 << 20)), BodyTooLarge, "no page of rows"),
    (SERIES[3], faults.Status(400, body=b'{"code":-1130,"msg":"a"}'), ExchangeRefused, "-1130: a"),
    (SERIES[3], faults.Status(404), ExchangeRefused, "404"),
]  # fmt: skip


@pytest.mark.parametrize(("series", "fault", "kind", "text"), FAULTS)
async def test_a_bad_answer_is_asked_for_again_and_then_refused_by_name(
    series: Series, fault: Fault, kind: type[TransferError], text: str
) -> None:
    async with ExchangeServer() as exchange, rest_client(exchange, retries=2) as client:
        await client.now(series.market)
        before = len(exchange.requests)
        exchange.inject("*", fault, endless=True)
        with pytest.raises(kind, match=text) as caught:
            await fetch_day(client, series, DAY)
        assert len(exchange.requests) - before in (range(3, 6) if kind.transient else {1})
        if isinstance(caught.value, BadAnswerError):
            assert caught.value.body
        exchange.heal()
        await check(client, exchange, series, DAY)


@pytest.mark.parametrize("series", [SERIES[3], UM_AGGS, SERIES[8]], ids=str)
async def test_any_mixture_of_faults_gives_the_rows_or_a_name(series: Series) -> None:
    async with ExchangeServer() as exchange:
        right = archived(exchange, series, DAY)
        outcomes: list[Any] = []
        for seed in range(12):
            exchange.heal()
            exchange.inject("*", faults.random_json_faults(seed, seed))
            async with rest_client(exchange) as client:
                try:
                    fetched = await fetch_day(client, series, DAY)
                except TransferError as error:
                    outcomes.append(str(error))
                else:
                    assert lines(series, DAY, fetched.responses) == right
                    outcomes.append(True)
        assert True in outcomes
        assert len(set(outcomes)) > 1


async def test_bad_times_of_the_server_are_refused() -> None:
    async with ExchangeServer() as exchange, rest_client(exchange, retries=1) as client:
        exchange.inject("*/time", faults.Status(200, body=b'{"serverTime":"now"}'), endless=True)
        with pytest.raises(BadAnswerError, match="no time of the server"):
            await client.now(SPOT)


async def test_no_other_host_is_asked() -> None:
    async with ExchangeServer() as exchange, rest_client(exchange) as client:
        await client.now(SPOT)
        exchange.inject("spot*klines", faults.Redirect(exchange.url(UM) + "/fapi/v1/klines"))
        with pytest.raises(TransferError, match="redirect"):
            await fetch_day(client, SERIES[0], DAY)
        assert exchange.count("futures*") == 0
