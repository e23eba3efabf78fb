"""The rows of a filled day are those of its archive; what does not fit is refused by name."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from tests.segments.responses import DAY, ask, day_responses, header, series

from crypto_lakehouse.core.archive import Archive, DataType, Market, Period, Series
from crypto_lakehouse.core.errors import SegmentError
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.segments.fill_rows import FILLED_TYPES, csv_rows
from crypto_lakehouse.segments.fill_segment import FillResponse
from crypto_lakehouse.tables.schema.schemas import load_schemas
from crypto_lakehouse.testing import ArchiveServer, ExchangeServer, faults

SPOT, UM, CM, _ = Market
TYPES = DataType

SERIES = [
    series(SPOT, TYPES.KLINES, "BTCUSDT", "1m"),
    series(SPOT, TYPES.AGG_TRADES, "BTCUSDT"),
    series(UM, TYPES.KLINES, "BTCUSDT", "1h"),
    series(UM, TYPES.MARK_PRICE_KLINES, "BTCUSDT", "1h"),
    series(UM, TYPES.INDEX_PRICE_KLINES, "BTCUSDT", "1h"),
    series(UM, TYPES.PREMIUM_INDEX_KLINES, "BTCUSDT", "1h"),
    series(CM, TYPES.INDEX_PRICE_KLINES, "BTCUSD", "1h"),
    series(UM, TYPES.FUNDING_RATE, "BTCUSDT"),
    series(CM, TYPES.FUNDING_RATE, "BTCUSD_PERP"),
    series(UM, TYPES.METRICS, "BTCUSDT"),
    series(CM, TYPES.METRICS, "BTCUSD_PERP"),
]
KLINES, AGGS, FUNDING, METRICS = SERIES[2], SERIES[1], SERIES[7], SERIES[9]


@pytest.fixture(scope="module")
def server() -> Iterator[ExchangeServer]:
    with ExchangeServer() as running:
        yield running


def published(server: ExchangeServer, of: Series) -> list[str]:
    """The lines of the archive that has the day, without a header and without other days."""
    monthly = of.data_type is DataType.FUNDING_RATE
    archive = Archive(of, Period.month(DAY) if monthly else Period.day(DAY))
    archives = ArchiveServer(generate=False)
    server.publish(archives, archive.key)
    with zipfile.ZipFile(io.BytesIO(archives.read(archive.key))) as packed:
        lines = packed.read(archive.member).decode().splitlines()
    row = load_matrix().row(of.market, of.data_type)
    assert row is not None
    if lines[0] == ",".join(row.columns):
        lines = lines[1:]
    begin = int(datetime(2026, 5, 7, tzinfo=UTC).timestamp()) * 1000
    is_there = range(begin, begin + 86_400_000)
    return [line for line in lines if not monthly or int(line.split(",")[0]) in is_there]


def rows(of: Series, responses: list[FillResponse], day: date = DAY) -> list[str]:
    made = [line.decode() for line in csv_rows(of, header(of, day), responses)]
    assert all(line.endswith("\n") for line in made)
    return [line.removesuffix("\n") for line in made]


def is_rounded(text: str, exact: str) -> bool:
    """Whether a number is another one without its last digits."""
    places = -int(Decimal(text).as_tuple().exponent)
    return abs(Decimal(text) - Decimal(exact)) < Decimal(1).scaleb(-places)


@pytest.mark.parametrize("of", SERIES, ids=str)
def test_a_filled_day_has_the_rows_of_its_archive(server: ExchangeServer, of: Series) -> None:
    made, wanted = rows(of, day_responses(server, of)), published(server, of)
    assert len(wanted) > 2
    if of.data_type is not DataType.METRICS:
        assert made == wanted
        return
    # The endpoints give ratios with four places, and the archive with eight.
    assert [line.split(",")[:2] for line in made] == [line.split(",")[:2] for line in wanted]
    for one, other in zip(made, wanted, strict=True):
        pairs = zip(one.split(",")[2:], other.split(",")[2:], strict=True)
        assert all(is_rounded(text, exact) for text, exact in pairs), (one, other)


def test_a_row_has_the_fields_of_its_table(server: ExchangeServer) -> None:
    schemas = load_schemas()
    assert {of.data_type for of in SERIES} == FILLED_TYPES
    for of in SERIES:
        columns = [c for c in schemas[of.market, of.data_type].columns if not c.optional]
        line = rows(of, day_responses(server, of, hours=1))[0]
        assert len(line.split(",")) == len(columns)


def test_times_before_2025_are_in_milliseconds_if_they_came_so() -> None:
    bar = [1577836800000, *["1.0"] * 5, 1577836859999, "0", 1, "0", "0", "0"]
    of = series(SPOT, TYPES.KLINES, "BTCUSDT", "1m")
    found = rows(of, [response("/api/v3/klines", [bar])], date(2020, 1, 1))
    assert found == ["1577836800000,1.0,1.0,1.0,1.0,1.0,1577836859999,0,1,0,0,0"]


def test_the_unfinished_bar_is_left_out(server: ExchangeServer) -> None:
    today = DAY + timedelta(days=1)  # it is noon
    responses = day_responses(server, KLINES, today, hours=13)
    assert len(json.loads(responses[0].body)) == 13
    made = rows(KLINES, responses, today)
    assert len(made) == 12
    # A bar whose last instant is the server's time less one has ended.
    late = evolve(responses[0], server_time=datetime(2026, 5, 8, 13, tzinfo=UTC))
    assert len(rows(KLINES, [late], today)) == 13
    with pytest.raises(SegmentError, match="no server time"):
        rows(KLINES, [evolve(late, server_time=None)], today)


def test_the_month_that_begins_on_the_day_is_its_bar(server: ExchangeServer) -> None:
    of = series(UM, TYPES.KLINES, "BTCUSDT", "1mo")
    server_time = datetime(2026, 6, 1, tzinfo=UTC)
    bar = [1777593600000, *["1.0"] * 5, 1780271999999, "0", 1, "0", "0", "0"]
    params = {"symbol": "BTCUSDT", "interval": "1M"}
    one = evolve(response("/fapi/v1/klines", [bar], **params), server_time=server_time)
    assert len(rows(of, [one], date(2026, 5, 1))) == 1
    assert rows(of, [one], date(2026, 5, 2)) == []
    early = evolve(one, server_time=server_time - timedelta(seconds=1))
    assert rows(of, [early], date(2026, 5, 1)) == []


def response(path: str, body: Any, **params: str) -> FillResponse:
    return FillResponse(
        url=f"https://exchange.example{path}",
        params=params,
        received_at=datetime(2026, 5, 8, 12, tzinfo=UTC),
        server_time=datetime(2026, 5, 8, 12, tzinfo=UTC),
        status=200,
        body=body if isinstance(body, str) else json.dumps(body),
    )


NOON = 1778155200000


def agg(number: int, time: int = NOON, **changes: Any) -> dict[str, Any]:
    row = {"a": number, "p": "1.50", "q": "2", "f": number, "l": number, "T": time, "m": True}
    return {name: each for name, each in (row | changes).items() if each is not ...}


def aggs(*found: dict[str, Any], **params: str) -> FillResponse:
    return response("/fapi/v1/aggTrades", list(found), **params)


UM_AGGS = series(UM, TYPES.AGG_TRADES, "BTCUSDT")


@pytest.mark.parametrize(
    ("responses", "reason"),
    [
        ([aggs(agg(1, p=1.5))], "response 1 (`aggTrades`): row 1: `p` is the number 1.5, not a"),
        ([aggs(agg(1, q=2))], "`q` is the number 2, not a decimal"),
        ([aggs(agg(1, p="1,5"))], "`p` is the text `1,5`"),
        ([aggs(agg(1, p="1\n"))], "`p` is the text"),
        ([aggs(agg(1, p=""))], "`p` is the text ``"),
        ([aggs(agg(1, p=None))], "`p` is `None`"),
        ([aggs(agg(1, p=[]))], "`p` is a list or an object"),
        ([aggs(agg(1, p=...))], "`p` is missing"),
        ([aggs(agg(1, T=...))], "`T` is missing"),
        ([aggs(agg(1, T=float(NOON)))], "`T` is the number 1778155200000.0, not a whole number"),
        ([aggs(agg(1, f="1"))], "`f` is the text `1`, not a whole number"),
        ([aggs(agg(True))], "`a` is `True`"),
        ([aggs(agg(-1))], "`a` is the number -1"),
        ([aggs(agg(1, m=1))], "`m` is the number 1, not true or false"),
        ([aggs(agg(1), agg(2, NOON - 1))], "row 2: its time, 1778155199999, goes back"),
        ([aggs(agg(2), agg(1))], "row 2: its id, 1, goes back: 2 is before it"),
        ([aggs(agg(1), agg(1, p="3"))], "another row before it has the same id, 1"),
        ([aggs(agg(1)), aggs(agg(1, p="3"))], "another response has another row with the id 1"),
        ([aggs(agg(5)), aggs(agg(6)), aggs(agg(5))], "its first id, 5, is before an earlier"),
        ([aggs(agg(1), agg(2, NOON * 1000))], "is in another unit"),
        ([aggs(agg(1), symbol="ETHUSDT")], "the request's `symbol` is `ETHUSDT`, not `BTCUSDT`"),
        ([response("/fapi/v1/aggTrades", "[1")], "not JSON"),
        ([response("/fapi/v1/aggTrades", "[NaN]")], "not a finite number"),
        ([response("/fapi/v1/aggTrades", {})], "the body is not a list"),
        ([response("/fapi/v1/aggTrades", [7])], "`a` is missing"),
        ([response("/fapi/v1/klines", [])], "`aggTrades` are not made of this endpoint"),
        ([evolve(aggs(), status=400)], "its status is 400"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(responses: list[FillResponse], reason: str) -> None:
    with pytest.raises(SegmentError) as refused:
        rows(UM_AGGS, responses)
    assert reason in refused.value.reason
    assert refused.value.key == (
        "rest/futures/um/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2026-05-07.jsonl.zst"
    )


def test_other_types_are_refused_by_name() -> None:
    trades = series(UM, TYPES.TRADES, "BTCUSDT")
    with pytest.raises(SegmentError, match="no segment can hold `trades`"):
        rows(trades, [])
    for bar, reason in ((["1"], "1 field instead of 12"), (7, "0 fields instead of 12")):
        with pytest.raises(SegmentError, match=reason):
            rows(KLINES, [response("/fapi/v1/klines", [bar])])
    for place, path, reason in [
        ({"symbol": "X"}, "openInterestHist", "`symbol` is the text `X`, not `BTCUSDT`"),
        ({"symbol": "BTCUSDT", "timestamp": 1}, "openInterestHist", "no whole second"),
        ({}, "ticker", "not made of this endpoint"),
    ]:
        with pytest.raises(SegmentError, match=reason):
            rows(METRICS, [response(f"/futures/data/{path}", [place])])


@given(st.sets(st.integers(1, 5)), st.integers(0, 3))
def test_pages_may_overlap(cuts: set[int], overlap: int) -> None:
    trades = [agg(number, NOON + number) for number in range(6)]
    bounds = [0, *sorted(cuts), 6]
    pages = [aggs(*trades[begin : end + overlap]) for begin, end in pairwise(bounds)]
    found = rows(UM_AGGS, [*pages, aggs(trades[5], trades[5])])
    assert found == rows(UM_AGGS, [aggs(*trades)])
    assert len(found) == 6


def test_hours_to_the_next_settlement_follow_from_what_there_is() -> None:
    def funding(*hours: float) -> FillResponse:
        begin = NOON - 12 * 3_600_000
        return response("/fapi/v1/fundingRate", [
            {"symbol": "BTCUSDT", "fundingTime": begin + int(hour * 3_600_000) + 3,
             "fundingRate": "-0.0001"} for hour in hours
        ])  # fmt: skip

    def info(hours: Any, symbol: str = "BTCUSDT") -> FillResponse:
        row = {"symbol": symbol, "fundingIntervalHours": hours}
        return response("/fapi/v1/fundingInfo", [row])

    def hours_of(*responses: FillResponse) -> list[str]:
        return [line.split(",")[1] for line in rows(FUNDING, [*responses])]

    assert hours_of(funding(0, 8, 16, 24)) == ["8", "8", "8"]
    assert hours_of(funding(0, 8, 12, 16)) == ["8", "4", "4", "4"]
    assert hours_of(funding(0, 8, 16), info(4)) == ["8", "8", "4"]
    assert hours_of(info(1), funding(0)) == ["1"]
    assert hours_of(funding(-8, 0)) == ["8"]
    assert hours_of(funding()) == []
    with pytest.raises(SegmentError, match="the hours to the next settlement are not known"):
        hours_of(funding(0), info(4, "ETHUSDT"))


def test_metrics_are_joined_and_what_is_lacking_is_blank() -> None:
    def of(path: str, *found: dict[str, Any]) -> FillResponse:
        stamped = [{"symbol": "BTCUSDT", "timestamp": NOON} | row for row in found]
        return response(f"/futures/data/{path}", stamped)

    ratio = of("globalLongShortAccountRatio", {"longShortRatio": "1.5"})
    takers = of("takerlongshortRatio", {"buySellRatio": "2", "timestamp": NOON + 300_000})
    assert rows(METRICS, [ratio, takers, ratio]) == [
        "2026-05-07 12:00:00,BTCUSDT,,,,,1.5,",
        "2026-05-07 12:05:00,BTCUSDT,,,,,,2",
    ]
    other = of("globalLongShortAccountRatio", {"longShortRatio": "1.6"})
    with pytest.raises(SegmentError, match="another row has the same time"):
        rows(METRICS, [ratio, other])
    with pytest.raises(SegmentError, match="goes back"):
        rows(METRICS, [of("takerlongshortRatio", *[
            {"buySellRatio": "2", "timestamp": NOON - each} for each in (0, 1000)
        ])])  # fmt: skip


def test_volumes_without_sales_have_no_ratio() -> None:
    row = {"pair": "BTCUSD", "takerBuyVol": "10", "takerSellVol": "0", "timestamp": NOON}
    other = row | {"takerSellVol": "3", "timestamp": NOON + 300_000}
    found = rows(SERIES[10], [response("/futures/data/takerBuySellVol", [row, other])])
    assert [line.rpartition(",")[2] for line in found] == ["", "3.33333333"]


@pytest.mark.parametrize(
    "fault",
    [faults.MalformedJson(), faults.PlainNumbers(), faults.TimeBack(), faults.RepeatedId()],
    ids=repr,
)
@pytest.mark.parametrize("of", [KLINES, AGGS, FUNDING], ids=str)
def test_the_faults_of_an_exchange_are_refused(
    server: ExchangeServer, of: Series, fault: faults.Fault
) -> None:
    server.inject(f"{of.market}/*{of.data_type}", fault)
    try:
        responses = day_responses(server, of)
    finally:
        server.heal()
    with pytest.raises(SegmentError, match=r"response 1 "):
        rows(of, responses)


def test_a_missing_field_is_refused(server: ExchangeServer) -> None:
    fields: list[tuple[Series, int | str]] = [(KLINES, 3), (AGGS, "M"), (FUNDING, "fundingRate")]
    for of, field in fields:
        server.inject(f"{of.market}/*{of.data_type}", faults.MissingField(field))
        responses = day_responses(server, of)
        with pytest.raises(SegmentError, match=r"missing|11 fields instead of 12"):
            rows(of, responses)


def test_an_error_of_the_exchange_is_no_empty_day(server: ExchangeServer) -> None:
    refused = ask(server, UM, "/fapi/v1/klines", symbol="NONEUSDT", interval="1h")
    of = series(UM, TYPES.KLINES, "NONEUSDT", "1h")
    with pytest.raises(SegmentError, match="its status is 400"):
        rows(of, [refused])
