"""The symbols and intervals of a scan: globs, an empty list, and what the table does not have."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.tables.sample_data import archive_of, bars, days, ingest, put

from crypto_lakehouse.core.archive import Archive, DataType, Market
from crypto_lakehouse.core.errors import LakeError, QueryError
from crypto_lakehouse.tables import Lake, bars_of, load_schemas
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog

FIRST = date(2023, 12, 29)
BARS, FUNDING, TRADES = "spot.klines", "futures_um.funding_rate", "spot.trades"
#: Each symbol of the bars with its intervals.
HELD = {
    "BTCUSDT": ("1h", "4h"),
    "BTCBUSD": ("4h",),
    "ETHUSDT": ("1h",),
    "ETHBTC": ("1mo",),
    "币安人生USDT": ("1h", "4h"),
}
#: Many names, so that they are not compared one by one.
MANY = [f"S{number:02d}USDT" for number in range(30)]


def of_symbol(name: str, symbol: str) -> Archive:
    market, data_type = next(key for key, each in load_schemas().items() if each.name == name)
    made = archive_of(load_schemas()[Market(market), DataType(data_type)])
    return evolve(made, series=evolve(made.series, symbol=symbol))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    root = tmp_path_factory.mktemp("selected")
    archives = [
        bars(day, symbol, interval)
        for symbol, intervals in HELD.items()
        for interval in intervals
        for day in ([date(2023, 12, 1)] if interval == "1mo" else days(FIRST, 4))
    ]
    archives += [bars(FIRST, symbol, "12h") for symbol in MANY]
    archives += [of_symbol(FUNDING, symbol) for symbol in ("BTCUSDT", "ETHUSDT", "ETHBTC")]
    archives.append(of_symbol(TRADES, "BTCUSDT"))
    catalog = LakeCatalog(root / "lake", create=True)
    ingest(catalog, [put(root, archive) for archive in archives])
    # The table without partitions by symbol gets a second file, with a symbol of its own.
    ingest(catalog, [put(root, of_symbol(FUNDING, "XRPUSDT"))])
    catalog.close()
    with Lake.open(root / "lake") as opened:
        yield opened


@pytest.fixture(scope="module")
def whole(lake: Lake) -> dict[str, pl.DataFrame]:
    return {name: lake.scan(name).polars().collect() for name in (BARS, FUNDING)}


NAMES = st.sampled_from(
    [*HELD, "XRPUSDT", "NONE", "btcusdt", "BTC*", "*USDT", "?TH*", "[BE]T*", "*", "X*", "Z*"]
)


@settings(max_examples=examples(120), deadline=None)
@given(
    name=st.sampled_from([BARS, FUNDING]),
    symbols=st.none() | NAMES | st.lists(NAMES, max_size=4) | st.just(MANY),
    interval=st.sampled_from([None, "1h", "4h", "1mo", "1M", "2h"]),
    first=st.none() | st.integers(-1, 5),
)
def test_a_scan_is_the_whole_table_filtered_in_the_same_way(
    lake: Lake,
    whole: dict[str, pl.DataFrame],
    name: str,
    symbols: list[str] | str | None,
    interval: str | None,
    first: int | None,
) -> None:
    rows = whole[name]
    start = None if first is None else FIRST + timedelta(days=first)
    asked: dict[str, Any] = {"symbols": symbols, "start": start}
    if name == BARS and interval is not None:
        asked["interval"] = interval
        rows = rows.filter(pl.col("interval") == interval.replace("1M", "1mo"))
    there = set(rows["symbol"])
    wanted = [symbols] if isinstance(symbols, str) else symbols
    absent = [each for each in wanted or () if not any(fnmatchcase(one, each) for one in there)]
    if absent or (not there and wanted != []):
        with pytest.raises(QueryError) as refused:
            lake.scan(name, **asked)
        text = str(refused.value)
        assert all(f"`{each}`" in text for each in absent[:20]) or not there
        assert there or f"no rows of interval `{interval}`" in text
        return
    chosen = {each for each in there if any(fnmatchcase(each, one) for one in wanted or ())}
    rows = rows if wanted is None else rows.filter(pl.col("symbol").is_in(list(chosen)))
    if start is not None:
        rows = rows.filter(pl.col("open_time" if name == BARS else "calc_time") >= start)
    scan = lake.scan(name, **asked)
    found = scan.polars().collect()
    assert sorted(map(repr, found.rows())) == sorted(map(repr, rows.rows()))
    assert scan.arrow().read_all().num_rows == scan.duckdb().to_arrow_table().num_rows == len(rows)
    if name == BARS:
        assert scan.pruning.rows <= rows.height or start is not None


@pytest.mark.parametrize(
    ("name", "asked", "words"),
    [
        (BARS, {"symbols": "BTCUSD"}, "no rows of `BTCUSD` (did you mean `BTCUSDT`?); it has 35"),
        (BARS, {"symbols": ""}, "no rows of ``;"),
        (BARS, {"symbols": "BTC*,ETH*"}, "no rows of `BTC*,ETH*`"),
        (BARS, {"symbols": ["etc*"]}, "no rows of `etc*`"),
        (
            BARS,
            {"symbols": ["BTCUSDT", "BTCBUSD", "NONE"], "interval": "1h"},
            "no rows of interval `1h` of `BTCBUSD`",
        ),
        (BARS, {"interval": "7m"}, "no interval `7m`; allowed: 1s, 1m, 3m"),
        (BARS, {"interval": "2h"}, "no rows of interval `2h`; it has 1h, 4h, 12h, 1mo"),
        (BARS, {"interval": "2h", "symbols": "BTCUSD"}, "1mo; no rows of `BTCUSD` (did you mean"),
        (BARS, {"symbols": ["BTCUSDT", 7]}, "`7` is int; give each symbol, and one interval, as"),
        (BARS, {"interval": ["1h"]}, "`['1h']` is list; give"),
        (BARS, {"symbols": [f"N{n}" for n in range(25)]}, "`N19`, and 5 more; it has 35 symbols"),
        (FUNDING, {"symbols": ["SOLUSDT"]}, "it has BTCUSDT, ETHBTC, ETHUSDT, XRPUSDT"),
        (FUNDING, {"symbols": ["BTCUSDT"], "interval": "1h"}, "the table has no intervals"),
        (FUNDING, {"symbols": "SOL*"}, "no rows of `SOL*`; it has BTCUSDT, ETHBTC"),
        ("spot.kline", {}, "no table `spot.kline` (did you mean `spot.klines`?); it has fut"),
        ("spot.kline", {}, "it has futures_um.funding_rate, lakehouse.archives, spot.kl"),
        ("spot.metrics", {}, "no table `spot.metrics`; it has"),
        ("spot.aggTrades", {}, "no table `spot.agg_trades` (did"),
        ("klines", {}, "no table `klines` (did you mean `spot.klines`?)"),
        ("", {}, "no table ``; it has"),
        ("lakehouse.archives", {}, "not a table of a data type; read it with `sql`"),
    ],
)
def test_what_a_table_does_not_have_is_named(
    lake: Lake, name: str, asked: dict[str, Any], words: str
) -> None:
    with pytest.raises(QueryError) as refused:
        lake.scan(name, **asked)
    assert words in str(refused.value)
    assert refused.value.exit_code == 2
    if "interval" not in asked:
        with pytest.raises(QueryError) as refused:
            bars_of(lake, name, interval="1m", **{"symbols": [], **asked})
        assert words in str(refused.value) or "bars are made of tables of trades" in str(
            refused.value
        )


def test_bars_are_made_of_symbols_that_are_there(lake: Lake) -> None:
    made = bars_of(lake, TRADES, symbols=["BTC*"], interval="1h").to_arrow_table()
    assert set(made["symbol"].to_pylist()) == {"BTCUSDT"}
    with pytest.raises(QueryError, match=r"no rows of `ETHUSDT`.*; it has BTCUSDT"):
        bars_of(lake, TRADES, symbols=["BTCUSDT", "ETHUSDT"], interval="1h")
    assert bars_of(lake, TRADES, symbols=[], ticks=5).to_arrow_table().num_rows == 0


def test_a_symbol_is_known_from_the_snapshot_that_is_read(tmp_path: Path) -> None:
    catalog = LakeCatalog(tmp_path / "lake", create=True)
    ingest(catalog, [put(tmp_path, bars(FIRST))])
    with Lake.open(tmp_path / "lake") as lake:
        (before,) = lake.snapshots(BARS)
        moment = before.at + timedelta(milliseconds=1)
        ingest(catalog, [put(tmp_path, bars(FIRST, "ETHUSDT"))])
        assert lake.scan(BARS, symbols="ETHUSDT").polars().collect().height == 24
        with pytest.raises(QueryError, match=r"no rows of `ETHUSDT`.*; it has BTCUSDT"):
            lake.scan(BARS, symbols="ETHUSDT", as_of=moment)
        every = lake.scan(BARS, symbols="*USDT", as_of=moment)
        assert every.polars().collect()["symbol"].unique().to_list() == ["BTCUSDT"]
    catalog.close()


def test_a_table_without_rows_says_so(tmp_path: Path) -> None:
    catalog = LakeCatalog(tmp_path / "lake", create=True)
    catalog.table_for(load_schemas()[Market.SPOT, DataType.KLINES], exact=False)
    with Lake.open(tmp_path / "lake") as lake:
        assert lake.scan(BARS).polars().collect().height == 0
        assert lake.scan(BARS, symbols=[], interval="1h").polars().collect().height == 0
        for asked in ({"symbols": "BTCUSDT"}, {"interval": "1h"}, {"symbols": ["*"]}):
            with pytest.raises(QueryError, match="the table has no rows yet"):
                lake.scan(BARS, **asked)
    catalog.close()


def test_a_file_that_is_gone_is_an_error_of_the_lake(tmp_path: Path) -> None:
    catalog = LakeCatalog(tmp_path / "lake", create=True)
    ingest(catalog, [put(tmp_path, of_symbol(FUNDING, "BTCUSDT"))])
    with Lake.open(tmp_path / "lake") as lake:
        _, (file,) = lake.data_files(FUNDING)
        Path(file.file_path.removeprefix("file://")).unlink()
        with pytest.raises(LakeError):
            lake.scan(FUNDING, symbols="BTCUSDT")
    catalog.close()


@pytest.mark.parametrize("symbols", ["BTCUSD", "BTCUSD_PERP", ["BTCUSD_PERP", "BTCUSD_240628"],
                                     "BTCUSD_*", "B*_PERP"])  # fmt: skip
def test_a_contract_selects_the_rows_that_are_stored_under_its_pair(
    tmp_path: Path, symbols: list[str] | str
) -> None:
    name = "futures_cm.index_price_klines"
    catalog = LakeCatalog(tmp_path / "lake", create=True)
    ingest(catalog, [put(tmp_path, of_symbol(name, each)) for each in ("BTCUSD", "ETHUSD")])
    catalog.close()
    with Lake.open(tmp_path / "lake") as opened:
        rows = opened.scan(name, symbols=symbols).polars().collect()
        assert set(rows["symbol"]) == {"BTCUSD"}
        with pytest.raises(QueryError, match="ADAUSD"):
            opened.scan(name, symbols=["ADAUSD_PERP"])
        with pytest.raises(QueryError, match=r"no rows of `BTCUSD_NEXT\*`"):
            opened.scan(name, symbols=["BTCUSD_NEXT*"])
