"""Panels: equal to a plain model with pandas, and no value before its time."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.tables.sample_data import ingest, put

from crypto_lakehouse.core.archive import Archive, DataType, Market, Period, Series
from crypto_lakehouse.core.errors import QueryError
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.lake.panel import Panel
from crypto_lakehouse.tables.schema.schemas import schema_for

FIRST = date(2023, 12, 30)
DAYS = 4
BEGIN = datetime(2023, 12, 30, tzinfo=UTC)
HOUR, MINUTE, MS = timedelta(hours=1), timedelta(minutes=1), timedelta(milliseconds=1)

#: From which to which hour each symbol has rows: some are listed late, and some delisted.
LIVES = {"BTCUSDT": (0, 96), "ETHUSDT": (30, 96), "LUNAUSDT": (0, 50), "币安人生USDT": (40, 60)}

BARS, FUNDING, METRICS = "futures_um.klines", "futures_um.funding_rate", "futures_um.metrics"
FIELDS = {
    "close": f"{BARS}[1h].close",
    "count": f"{BARS}[1h].count",
    "rate": f"{FUNDING}.last_funding_rate",
    "settled": f"{FUNDING}.settled_at",
    "paid": f"{FUNDING}.known_at",
    "interest": f"{METRICS}.sum_open_interest",
    "ratio": f"{METRICS}.count_long_short_ratio",
}


def milliseconds(when: datetime) -> int:
    return (when - datetime(1970, 1, 1, tzinfo=UTC)) // MS


def hours_of(symbol: str) -> Iterator[datetime]:
    first, after = LIVES[symbol]
    yield from (BEGIN + number * HOUR for number in range(first, after))


def bar_lines(symbol: str, chance: random.Random) -> dict[date, list[str]]:
    """Bars of hours, a tenth of which are missing."""
    lines: dict[date, list[str]] = {}
    for opened in hours_of(symbol):
        price = round(chance.uniform(1, 9), 2)
        end = milliseconds(opened + HOUR) - 1
        line = f"{milliseconds(opened)},{price},{price},{price},{price},1,{end},{price},5,1,1,0\n"
        kept = lines.setdefault(opened.date(), [])
        if chance.random() > 0.1 or not kept:
            kept.append(line)
    return lines


def funding_lines(symbol: str, chance: random.Random) -> dict[date, list[str]]:
    """Rates up to 11 ms late, some twice, in months."""
    lines: dict[date, list[str]] = {}
    for opened in hours_of(symbol):
        if opened.hour % 8:
            continue
        late = chance.randrange(12)
        kept = lines.setdefault(opened.date().replace(day=1), [])
        for more in range(1 + (chance.random() < 0.2)):
            at = milliseconds(opened) + late + more
            kept.append(f"{at},8,{round(chance.uniform(-1, 1), 4)}\n")
    return lines


def metric_lines(symbol: str, chance: random.Random) -> dict[date, list[str]]:
    """Rows of five minutes: some missing, some late, some without a ratio."""
    lines: dict[date, list[str]] = {}
    for opened in hours_of(symbol):
        for minute in range(0, 60, 5):
            at = opened + minute * MINUTE + timedelta(seconds=chance.choice([0, 0, 0, 7]))
            if chance.random() < 0.3:
                continue
            ratio = "" if chance.random() < 0.2 else round(chance.random(), 3)
            interest = round(chance.uniform(1, 99), 2)
            text = f"{at:%Y-%m-%d %H:%M:%S},{symbol},{interest},1,1,1,{ratio},1\n"
            lines.setdefault(at.date(), []).append(text)
    return lines


MAKERS = {DataType.KLINES: bar_lines, DataType.FUNDING_RATE: funding_lines,
          DataType.METRICS: metric_lines}  # fmt: skip


def archives() -> Iterator[tuple[Archive, str]]:
    chance = random.Random(7)
    for data_type, make in MAKERS.items():
        for symbol in LIVES:
            for day, lines in make(symbol, chance).items():
                is_month = data_type is DataType.FUNDING_RATE
                period = Period.month(day) if is_month else Period.day(day)
                interval = "1h" if data_type is DataType.KLINES else None
                series = Series(Market.FUTURES_UM, data_type, symbol, interval)
                names = [each.published for each in schema_for(*series_type(series)).columns]
                yield Archive(series, period), ",".join(names) + "\n" + "".join(lines)


def series_type(series: Series) -> tuple[Market, DataType]:
    return series.market, series.data_type


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    root = tmp_path_factory.mktemp("panels")
    catalog = LakeCatalog(root / "lake", create=True)
    sources = [put(root, archive, text) for archive, text in archives()]
    # Two commits: a symbol has several files, in an order that says nothing about their times.
    ingest(catalog, sources[1::2])
    ingest(catalog, sources[::2])
    catalog.close()
    with Lake.open(root / "lake") as opened:
        yield opened


@pytest.fixture(scope="module")
def tables(lake: Lake) -> dict[str, pd.DataFrame]:
    """All rows, with the time when each was known."""
    found = {name: lake.scan(name).pandas() for name in (BARS, FUNDING, METRICS)}
    assert {name: frame["symbol"].nunique() for name, frame in found.items()} == dict.fromkeys(
        found, len(LIVES)
    )
    found[BARS]["known_at"] = found[BARS]["close_time"] + pd.Timedelta(MS)
    found[FUNDING]["known_at"] = found[FUNDING]["calc_time"]
    found[FUNDING]["settled_at"] = found[FUNDING]["calc_time"].dt.floor("h")
    found[METRICS]["known_at"] = found[METRICS]["create_time"]
    return found


def modelled(rows: pd.DataFrame, column: str, grid: list[datetime], age: timedelta) -> list[Any]:
    """The column of one symbol at each time: a plain search of all rows."""
    found = []
    rows = rows.sort_values("known_at")
    for when in grid:
        known = rows[rows["known_at"] <= when]
        is_there = len(known) and when - known["known_at"].iloc[-1] < age
        value = known[column].iloc[-1] if is_there else None
        found.append(None if pd.isna(value) else value)
    return found


STEPS = {"15m": 15 * MINUTE, "1h": HOUR, "4h": 4 * HOUR, "1d": 24 * HOUR}
DUE = {BARS: HOUR, FUNDING: timedelta(hours=8, seconds=1), METRICS: 10 * MINUTE}
NAMES = st.sampled_from([*LIVES, "*USDT", "BTC*", "?UNA*"])


@settings(max_examples=examples(25), deadline=None)
@given(
    labels=st.lists(st.sampled_from([*FIELDS]), min_size=1, max_size=4, unique=True),
    every=st.sampled_from([*STEPS]),
    symbols=st.none() | NAMES | st.lists(NAMES, min_size=1, max_size=3),
    first=st.integers(-5, 90),
    length=st.integers(1, 30),
    minutes=st.sampled_from([0, 1, 59]),
    age=st.sampled_from([None, 3 * MINUTE, HOUR, 20 * HOUR]),
)
def test_a_panel_is_the_plain_model(
    lake: Lake,
    tables: dict[str, pd.DataFrame],
    labels: list[str],
    every: str,
    symbols: list[str] | str | None,
    first: int,
    length: int,
    minutes: int,
    age: timedelta | None,
) -> None:
    start, end = BEGIN + first * HOUR + minutes * MINUTE, BEGIN + (first + length) * HOUR + HOUR
    step = STEPS[every]
    grid = [BEGIN + number * 15 * MINUTE for number in range(-40, 600)]
    grid = [each for each in grid if start <= each < end and not (each - BEGIN) % step]
    wanted = ["*"] if symbols is None else [symbols] if isinstance(symbols, str) else symbols
    chosen = sorted(each for each in LIVES if any(fnmatchcase(each, one) for one in wanted))
    model: dict[str, dict[str, list[Any]]] = {}
    unknown = set()
    for label in labels:
        table, _, column = FIELDS[label].replace("[1h]", "").rpartition(".")
        stands = age or max(DUE[table], step)
        rows = {symbol: tables[table][tables[table]["symbol"] == symbol] for symbol in chosen}
        model[label] = {symbol: modelled(rows[symbol], column, grid, stands) for symbol in chosen}
        at = [modelled(rows[symbol], "known_at", grid, stands) for symbol in chosen]
        if all(value is None for column in at for value in column):
            unknown.add(table)
    asked: dict[str, Any] = {"every": every, "symbols": symbols, "start": start, "end": end,
                             "max_age": age}  # fmt: skip
    columns = {label: FIELDS[label] for label in labels}
    if unknown or not grid:
        with pytest.raises(QueryError) as refused:
            lake.panel(columns, **asked)
        assert not grid or any(each in str(refused.value) for each in unknown)
        return
    panel = lake.panel(columns, **asked)
    assert (panel.labels, panel.symbols) == (tuple(labels), tuple(chosen))
    assert panel.times.to_list() == grid
    long = panel.polars()
    assert long.columns == ["symbol", "time", *labels]
    wide = panel.pandas()
    assert list(wide.columns) == [(label, each) for label in labels for each in chosen]
    for label in labels:
        matrix = panel.polars(label)
        for symbol in chosen:
            assert matrix[symbol].to_list() == model[label][symbol], (label, symbol)
            assert long.filter(symbol=symbol)[label].to_list() == model[label][symbol]
            values = [None if pd.isna(each) else each for each in wide[label, symbol]]
            assert values == model[label][symbol]


def test_a_rate_is_known_after_its_hour_and_a_bar_once_it_has_ended(lake: Lake) -> None:
    wanted = {"rate": FIELDS["rate"], "settled": FIELDS["settled"], "paid": FIELDS["paid"],
              "opened": f"{BARS}[1h].open_time"}  # fmt: skip
    start = BEGIN + 8 * HOUR
    panel = lake.panel(wanted, every="1h", symbols="BTCUSDT", start=start, end=start + 2 * HOUR)
    settled, paid = panel.polars("settled")["BTCUSDT"], panel.polars("paid")["BTCUSDT"]
    assert settled.to_list()[1] == BEGIN + 8 * HOUR
    for when, known in zip(panel.times, paid, strict=True):
        assert known <= when
    if paid[1] > start:  # it was late, as nearly all are
        assert settled.to_list()[0] == BEGIN
    for when, opened in zip(panel.times, panel.polars("opened")["BTCUSDT"], strict=True):
        assert opened is None or opened == when - HOUR


def test_a_symbol_has_no_value_after_its_last_row(lake: Lake) -> None:
    columns = {"close": FIELDS["close"], "rate": FIELDS["rate"]}
    panel = lake.panel(columns, every="1h", start=BEGIN, end=BEGIN + 96 * HOUR)
    luna = panel.polars("close")["LUNAUSDT"]
    assert luna[40:51].null_count() < 11
    assert luna[51:].null_count() == 45
    assert panel.polars("rate")["LUNAUSDT"][57:].null_count() == 39  # eight hours after the 48th
    assert panel.polars("close")["ETHUSDT"][:31].null_count() == 31
    longer = lake.panel(columns, every="1h", max_age={"close": "20h"}, start=BEGIN,
                        end=BEGIN + 96 * HOUR)  # fmt: skip
    assert longer.polars("close")["LUNAUSDT"][51:60].null_count() == 0
    assert longer.polars("rate").equals(panel.polars("rate"))


def test_by_default_the_times_are_those_that_all_tables_have(lake: Lake) -> None:
    columns = {label: FIELDS[label] for label in ("close", "rate", "interest")}
    panel = lake.panel(columns, every="1h", symbols="BTCUSDT")
    # The first bar has ended; the last rate was known at 88:00, and a few milliseconds.
    assert [panel.times[0], panel.times[-1]] == [BEGIN + HOUR, BEGIN + 88 * HOUR]
    assert repr(panel) == (
        "<Panel of close, rate, interest: 1 symbol, 2023-12-30 01:00:00+00:00 to "
        "2024-01-02 16:00:00+00:00, 88 times>"
    )


def test_returns_are_between_two_known_values(lake: Lake) -> None:
    panel = lake.panel({"close": FIELDS["close"]}, every="1h", start=BEGIN, end=BEGIN + 96 * HOUR)
    close = panel.pandas("close")
    for periods in (1, 5):
        plain = panel.returns("close", periods=periods).pandas("returns")
        pd.testing.assert_frame_equal(plain, close / close.shift(periods) - 1)
        log = panel.returns("close", periods=periods, log=True).pandas("returns")
        pd.testing.assert_frame_equal(log, (close / close.shift(periods)).map(math.log))
    zero = pl.DataFrame({"A": [0.0, 1.0, -1.0, None, 2.0]})
    made = Panel(pl.Series("time", range(5)), {"x": zero})
    assert made.returns("x").values["returns"]["A"].to_list() == [None, None, -2.0, None, None]
    assert made.returns("x", log=True).values["returns"]["A"].to_list() == [None] * 5


def ask(lake: Lake, columns: dict[str, str] | None = None, **asked: Any) -> Panel:
    return lake.panel(columns or {"close": FIELDS["close"]}, **{"every": "1h", **asked})


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "an empty universe": ({"symbols": []}, "no symbol is selected; name some, or leave"),
    "an absent symbol": (
        {"symbols": ["BTCUSDT", "ETHUSD", "X*"]},
        r"no rows of `ETHUSD` \(did you mean `ETHUSDT`\?\), `X\*` in futures_um.klines\[1h\]; it",
    ),
    "a day that does not exist": ({"start": "2024-02-30"}, "`2024-02-30` is not a day"),
    "no common time": (
        {"start": "2024-03-01"}, "the types have no common time: rows of .* are known from .* to",
    ),
    "no row in the time": (
        {"start": "2024-03-01", "end": "2024-03-02"},
        r"no row of `futures_um.klines\[1h\]` is known from .*: those of these symbols are known",
    ),
    "no symbol of one table": (
        {"columns": {"c": "spot.klines[1h].close"}}, "no table `spot.klines`",
    ),
    "no column": ({"columns": {"c": f"{BARS}.clos"}}, "no column 'clos'; it has symbol"),
    "nothing": ({"columns": {"x": ""}}, "`` of `x` is not a column; write"),
    "no mapping": ({"columns": ["spot.klines.close"]}, "no column is named; give some: {"),
    "a label of the frames": (
        {"columns": {"time": FIELDS["close"]}}, "`time` cannot be the label of a column; choose an",
    ),
    "a step of ages": ({"every": "3000000d"}, "`every` is `3000000d`, and must be a length"),
    "an age without end": ({"max_age": timedelta.max}, "at most 36,500 days: 90s, 15m, 8h, 1d or"),
    "the last day": (
        {"start": "9999-12-31T23:30", "end": "9999-12-31"}, "no multiple of `every`, 1:00:00, is",
    ),
    "a time before all": (
        {"start": "0001-01-01T00:00+05:00"}, r"`0001-01-01 00:00:00\+05:00` is not within the",
    ),
    "no bars so long": (
        {"columns": {"c": f"{BARS}.close"}, "every": "90m"},
        r"no bars are as long as a step of the panel, 1:30:00; name their interval, as `futures_um",
    ),
    "a month has no length": (
        {"columns": {"c": f"{BARS}.close"}, "every": "31d"}, "no bars are as long as a step of",
    ),
    "no such bars": (
        {"columns": {"c": f"{BARS}.close"}, "every": "4h"}, "no rows of interval `4h`; it has 1h",
    ),
    "no interval": ({"columns": {"c": f"{BARS}[7h].close"}}, "no interval `7h`; allowed: 1s, 1m"),
    "an interval too many": (
        {"columns": {"c": f"{FUNDING}[1h].last_funding_rate"}}, r"has no intervals; leave `\[1h\]`",
    ),
    "a settlement of bars": (
        {"columns": {"c": f"{BARS}[1h].settled_at"}}, "`settled_at` is a column of funding rates",
    ),
    "too much": (
        {"every": "1s", "start": "1900-01-01", "end": "2200-01-01"},
        r"it would have [\d,]+ times of 4 symbols in 1 column; choose a longer step",
    ),
    "an age of nothing": ({"max_age": {"clos": "1h"}}, r"no column `clos` \(did you mean `close`"),
    "a wrong age": ({"max_age": "soon"}, "`max_age` is `soon`, and must be a length of time"),
    "no step": ({"start": "2024-01-01T00:01", "end": "2024-01-01T00:59"}, "no multiple of `every`"),
}  # fmt: skip


@pytest.mark.parametrize(("asked", "words"), BAD.values(), ids=BAD)
def test_bad_input_gets_a_sentence_with_what_to_do(
    lake: Lake, asked: dict[str, Any], words: str
) -> None:
    with pytest.raises(QueryError, match=words):
        ask(lake, **asked)


def test_a_panel_says_what_it_does_not_have(lake: Lake) -> None:
    panel = ask(lake, {"close": FIELDS["close"], "settled": FIELDS["settled"]})
    with pytest.raises(QueryError, match=r"no column `clos` \(did you mean `close`\?\); it has cl"):
        panel.polars("clos")
    with pytest.raises(QueryError, match="`settled` has no numbers, and so no returns"):
        panel.returns("settled")
    with pytest.raises(QueryError, match="`periods` is 0, and must be at least 1"):
        panel.returns("close", periods=0)
