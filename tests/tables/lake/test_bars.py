"""Bars made of trades equal the published ones, and a plain model of any others."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tables.sample_data import ingest, put

from crypto_lakehouse.core.archive import Archive, DataType, Market, Period, Series
from crypto_lakehouse.core.errors import QueryError
from crypto_lakehouse.tables import Lake, bars_of
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.ingest.ingestion import IngestSettings

DAY = date(2024, 5, 6)  # a Monday
BEGIN = datetime(2024, 5, 6, tzinfo=UTC)
SYMBOL = {Market.SPOT: "BTCUSDT", Market.FUTURES_UM: "BTCUSDT", Market.FUTURES_CM: "BTCUSD_PERP"}


@frozen
class Trade:
    id: int
    at_ms: int
    price: Decimal
    quantity: Decimal
    other: Decimal
    sold: bool


def made_trades(draws: list[tuple[int, int, int, bool]], market: Market) -> list[Trade]:
    """Trades in the order of their ids, from gaps in ms, prices in cents, quantities, sides."""
    at, found = int(BEGIN.timestamp() * 1000), []
    for number, (gap, cents, size, sold) in enumerate(draws):
        at += gap
        price = Decimal(cents) / 100
        quantity = Decimal(size) if market is Market.FUTURES_CM else Decimal(size) / 1000
        coins = (quantity * 100 / price).quantize(Decimal("1e-8"))
        other = coins if market is Market.FUTURES_CM else price * quantity
        found.append(Trade(1000 + number, at, price, quantity, other, sold))
    return found


def trades_text(trades: list[Trade], market: Market) -> str:
    best = ",True" if market is Market.SPOT else ""
    return "".join(
        f"{each.id},{each.price},{each.quantity},{each.other},{each.at_ms},"
        f"{str(each.sold).lower()}{best}\n"
        for each in trades
    )


def aggregates(trades: list[Trade]) -> list[list[Trade]]:
    """Trades of one instant, price and side together, as the venue does."""
    found: list[list[Trade]] = []
    for each in trades:
        last = found[-1][-1] if found else None
        if last and (last.at_ms, last.price, last.sold) == (each.at_ms, each.price, each.sold):
            found[-1].append(each)
        else:
            found.append([each])
    return found


def aggregates_text(trades: list[Trade], market: Market) -> str:
    best = ",True" if market is Market.SPOT else ""
    return "".join(
        f"{number},{some[0].price},{sum(each.quantity for each in some)},{some[0].id},"
        f"{some[-1].id},{some[0].at_ms},{str(some[0].sold).lower()}{best}\n"
        for number, some in enumerate(aggregates(trades))
    )


def bars(trades: list[Trade], step_ms: int) -> Iterator[tuple[int, list[Trade]]]:
    groups: dict[int, list[Trade]] = {}
    for each in trades:
        groups.setdefault(each.at_ms // step_ms * step_ms, []).append(each)
    yield from sorted(groups.items())


def totals(some: list[Trade]) -> tuple[Any, ...]:
    bought = [each for each in some if not each.sold]
    return (
        some[0].price,
        max(each.price for each in some),
        min(each.price for each in some),
        some[-1].price,
        sum(each.quantity for each in some),
        sum(each.other for each in some),
        len(some),
        sum((each.quantity for each in bought), Decimal(0)),
        sum((each.other for each in bought), Decimal(0)),
    )


def klines_text(trades: list[Trade], step_ms: int) -> str:
    lines = []
    for opened, some in bars(trades, step_ms):
        first, high, low, last, volume, other, count, bought, bought_other = totals(some)
        lines.append(
            f"{opened},{first},{high},{low},{last},{volume},{opened + step_ms - 1},{other},"
            f"{count},{bought},{bought_other},0\n"
        )
    return "".join(lines)


DRAWS = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 1, 900, 40_000, 200_000, 3_000_000]),
        st.integers(1_000_000, 1_000_300),
        st.integers(1, 50),
        st.booleans(),
    ),
    min_size=1,
    max_size=25,
)

COLUMNS = ("open", "high", "low", "close", "volume", "quote_volume", "count",
           "taker_buy_volume", "taker_buy_quote_volume")  # fmt: skip


def lake_of(root: Path, market: Market, trades: list[Trade]) -> Lake:
    series = Series(market, DataType.TRADES, SYMBOL[market])
    archive = Archive(series, Period.day(DAY))
    of_aggregates = evolve(archive, series=evolve(series, data_type=DataType.AGG_TRADES))
    sources = [
        put(root, archive, trades_text(trades, market)),
        put(root, of_aggregates, aggregates_text(trades, market)),
    ]
    for interval, step in (("1m", 60_000), ("1h", 3_600_000)):
        kline = Archive(Series(market, DataType.KLINES, SYMBOL[market], interval), Period.day(DAY))
        sources.append(put(root, kline, klines_text(trades, step)))
    catalog = LakeCatalog(root / "lake", create=True)
    told = ingest(catalog, sources, IngestSettings(exact=True))
    assert {each.state for each in told} == {"ingested"}
    return Lake(catalog)


@pytest.mark.parametrize("market", list(SYMBOL))
@settings(max_examples=8, deadline=None)
@given(draws=DRAWS)
def test_bars_of_trades_are_the_published_ones(
    market: Market, draws: list[tuple[int, int, int, bool]], tmp_path_factory: Any
) -> None:
    trades = made_trades(draws, market)
    with lake_of(tmp_path_factory.mktemp("bars"), market, trades) as lake:
        quote = "base_volume" if market is Market.FUTURES_CM else "quote_volume"
        names = ["open_time", *COLUMNS]
        published_names = [name.replace("quote_volume", quote) if market is Market.FUTURES_CM
                           else name for name in names]  # fmt: skip
        for interval in ("1m", "1h"):
            scan = lake.scan(f"{market}.klines", interval=interval, columns=published_names)
            published = scan.polars().sort("open_time").collect().rows()
            kinds = ["trades"] if market is Market.FUTURES_CM else ["trades", "agg_trades"]
            for kind in kinds:
                made = bars_of(
                    lake, f"{market}.{kind}", symbols=SYMBOL[market], interval=interval
                ).to_arrow_table()
                assert list(zip(*(made[name].to_pylist() for name in names), strict=True)) == [
                    tuple(row) for row in published
                ]


@pytest.mark.parametrize(
    ("interval", "first"),
    [("1d", BEGIN), ("1w", BEGIN), ("1mo", datetime(2024, 5, 1, tzinfo=UTC)), ("90s", BEGIN)],
)
def test_bars_of_other_lengths_begin_where_they_must(
    interval: str, first: datetime, tmp_path: Path
) -> None:
    trades = made_trades([(10, 1_000_000, 5, True), (100_000, 1_000_100, 5, False)], Market.SPOT)
    with lake_of(tmp_path, Market.SPOT, trades) as lake:
        made = bars_of(lake, "spot.trades", symbols=["BTCUSDT"], interval=interval)
        times = made.to_arrow_table()["open_time"].to_pylist()
    wanted = [first, first + timedelta(seconds=90)] if interval == "90s" else [first]
    assert times == wanted


@settings(max_examples=8, deadline=None)
@given(draws=DRAWS, volume=st.integers(1, 200), ticks=st.integers(1, 7))
def test_volume_and_tick_bars_are_those_of_a_plain_model(
    draws: list[tuple[int, int, int, bool]], volume: int, ticks: int, tmp_path_factory: Any
) -> None:
    trades = made_trades(draws, Market.SPOT)
    size = Decimal(volume) / 1000
    groups: dict[int, list[Trade]] = {}
    before = Decimal(0)
    for each in trades:
        groups.setdefault(int(before / size), []).append(each)
        before += each.quantity
    with lake_of(tmp_path_factory.mktemp("own"), Market.SPOT, trades) as lake:
        made = bars_of(lake, "spot.trades", symbols="BTCUSDT", volume=float(size))
        rows = made.to_arrow_table()
        assert list(zip(*(rows[name].to_pylist() for name in COLUMNS), strict=True)) == [
            totals(some) for some in groups.values()
        ]
        made = bars_of(lake, "spot.trades", symbols="BTCUSDT", ticks=ticks).to_arrow_table()
    parts = [trades[at : at + ticks] for at in range(0, len(trades), ticks)]
    assert list(zip(*(made[name].to_pylist() for name in COLUMNS), strict=True)) == [
        totals(some) for some in parts
    ]
    assert made["open_time"].to_pylist() == [
        datetime.fromtimestamp(some[0].at_ms / 1000, UTC) for some in parts
    ]


@pytest.mark.parametrize(
    ("table", "asked", "words"),
    [
        ("spot.klines", {"interval": "1m"}, "made of tables of trades or aggTrades"),
        ("spot.trades", {}, "give exactly one of interval, volume and ticks"),
        ("spot.trades", {"interval": "1m", "ticks": 5}, "give exactly one of"),
        ("spot.trades", {"interval": "1y"}, "`1y` is not an interval"),
        ("spot.trades", {"interval": "0m"}, "`0m` is not an interval"),
        ("spot.trades", {"ticks": 0}, "ticks must be at least 1, not 0"),
        ("spot.trades", {"volume": -1.0}, "volume must be above 0, not -1.0"),
        ("spot.trades", {"volume": float("nan")}, "volume must be above 0, not nan"),
    ],
)
def test_bars_that_cannot_be(table: str, asked: dict[str, Any], words: str, tmp_path: Path) -> None:
    trades = made_trades([(1, 100, 1, True)], Market.SPOT)
    with lake_of(tmp_path, Market.SPOT, trades) as lake, pytest.raises(QueryError) as refused:
        bars_of(lake, table, symbols="BTCUSDT", **asked)
    assert words in str(refused.value)
