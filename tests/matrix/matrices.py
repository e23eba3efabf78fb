"""Made-up matrices, as a file in the current format can say them."""

from __future__ import annotations

import re
from datetime import date
from typing import TypeVar

from hypothesis import strategies as st

from crypto_lakehouse.core.archive import INTERVALS, DataType, Market, Partition
from crypto_lakehouse.core.data_types import PUBLISHED_TYPES
from crypto_lakehouse.matrix.current_format import key_pattern_of
from crypto_lakehouse.matrix.model import (
    HeaderEra,
    Matrix,
    MatrixRow,
    PartitionFacts,
    SymbolLife,
    TimeUnitEra,
)

__all__ = ["matrices", "rows", "symbols"]

_Value = TypeVar("_Value")

SYMBOLS = (
    "BTCUSDT",
    "BTCUSDT_240628",
    "BTCUSD_PERP",
    "币安人生USDT",
    "1INCHBTC",
    "ICPUSDT_SETTLED",
)
URLS = ("https://data.binance.vision", "http://127.0.0.1:8080/mirror")

days = st.dates(date(2017, 1, 1), date(2030, 12, 31))
texts = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=60).filter(
    str.strip
)
symbols = st.sampled_from(SYMBOLS) | st.from_regex(
    re.compile(r"[A-Z0-9]{1,20}", re.ASCII), fullmatch=True
)


def _unique(values: st.SearchStrategy[_Value], most: int) -> st.SearchStrategy[tuple[_Value, ...]]:
    return st.lists(values, max_size=most, unique=True).map(tuple)


@st.composite
def _facts(draw: st.DrawFn, data_type: DataType, state: str) -> PartitionFacts:
    chosen = draw(st.sets(st.sampled_from(INTERVALS), min_size=1))
    ordered = tuple(interval for interval in INTERVALS if interval in chosen)
    first = draw(days)
    ends = st.dates(first, date(2031, 12, 31))
    return PartitionFacts(
        intervals=ordered if data_type.has_interval else (),
        available_from=first,
        available_to=draw(ends if state != "live" else st.none() | ends),
        lag_days=draw(st.integers(0, 90)),
    )


@st.composite
def rows(draw: st.DrawFn, market: Market, data_type: DataType) -> MatrixRow:
    """One row that has no fault."""
    state = draw(st.sampled_from(["live", "retired", "removed"]))
    partitions = draw(st.sets(st.sampled_from(Partition), min_size=1))
    names = draw(_unique(symbols, 30))
    homes = {name: draw(st.none() | st.sampled_from(sorted(partitions))) for name in names}
    alone = {
        partition: tuple(name for name in names if homes[name] is partition)
        for partition in sorted(partitions)
    }
    starts = [None, *sorted(draw(st.sets(days, max_size=3)))]
    lives = st.builds(SymbolLife, available_from=st.none() | days)
    return MatrixRow(
        market=market,
        data_type=data_type,
        state=state,
        key_pattern=key_pattern_of(market, data_type),
        partitions={name: draw(_facts(data_type, state)) for name in sorted(partitions)},
        symbol_pattern=draw(st.sampled_from([r"[^\W_]+", r"[^\W_]+USD_(PERP|\d{6})"])),
        symbol_form=draw(st.sampled_from(["symbol", "pair"])),
        symbol_lives=draw(st.dictionaries(symbols, lives, max_size=3)),
        symbols=names,
        partition_symbols={partition: found for partition, found in alone.items() if found},
        header_eras=tuple(HeaderEra(since=day, header=draw(st.booleans())) for day in starts),
        time_unit_eras=(TimeUnitEra(since=None, unit=draw(st.sampled_from(["ms", "us"]))),),
        columns=draw(_unique(texts, 15)),
        sidecar_newline=draw(st.booleans()),
        notes=draw(_unique(texts, 3)),
    )


_PLACES = [(market, data_type) for market in Market for data_type in PUBLISHED_TYPES]


@st.composite
def matrices(draw: st.DrawFn) -> Matrix:
    """A matrix of a few rows."""
    places = draw(st.lists(st.sampled_from(_PLACES), unique=True, max_size=4))
    return Matrix(
        origin="made up",
        rows=tuple(draw(rows(*place)) for place in sorted(places, key=_PLACES.index)),
        source_url=draw(st.sampled_from(URLS)),
        listing_url=draw(st.none() | st.sampled_from(URLS)),
        publisher=draw(st.just("") | texts),
        observed=draw(st.none() | days),
    )
