"""Bars made of trades, in SQL: by any interval, by volume, or by ticks.

Bars of a published interval equal the published klines exactly: count, volumes and prices.
Source: docs/archive-rows.md#checks-across-types.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from attrs import frozen

from crypto_lakehouse.core.archive import DataType, Market
from crypto_lakehouse.core.errors import QueryError
from crypto_lakehouse.tables.iceberg.catalog import EXACT

if TYPE_CHECKING:
    import duckdb

    from crypto_lakehouse.tables.lake.lake import Lake
    from crypto_lakehouse.tables.lake.time_range import Instant

__all__ = ["bars_of", "bars_sql"]

_INTERVAL = re.compile(r"(\d+)\s*(s|m|h|d|w|mo)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks", "mo": "months"}

#: Weeks of the archive begin on Monday; all other intervals are counted from the epoch.
_ORIGIN = {"w": "TIMESTAMPTZ '1970-01-05 00:00:00+00'"}

_VALUE = "price * quantity"

#: A product has the decimal places of both factors: decimal(38, 18) squared would leave two digits
#: before the point. Prices and quantities are published with at most eight decimal places.
_EXACT_VALUE = "CAST(price AS DECIMAL(38, 10)) * CAST(quantity AS DECIMAL(38, 8))"

Source = Literal["trades", "aggTrades"]

_SOURCES: dict[DataType, Source] = {DataType.TRADES: "trades", DataType.AGG_TRADES: "aggTrades"}


@frozen
class _Names:
    """The column names of a table of trades, and expressions on them."""

    order: str
    time: str
    quantity: str
    count: str
    other: str


def _names(market: Market, source: Source, *, exact: bool) -> _Names:
    if source == "trades":
        other = "base_qty" if market is Market.FUTURES_CM else "quote_qty"
        return _Names("id", "time", "qty", "1", other)
    # All trades of an aggregate have one price; those of coin-margined contracts give no value.
    other = "NULL" if market is Market.FUTURES_CM else _EXACT_VALUE if exact else _VALUE
    count = "last_trade_id - first_trade_id + 1"
    return _Names("agg_trade_id", "transact_time", "quantity", count, other)


def bars_sql(
    source: str,
    market: Market,
    kind: Source,
    *,
    interval: str | None = None,
    volume: float | None = None,
    ticks: int | None = None,
    exact: bool = False,
) -> str:
    """The query that makes bars. Give exactly one of `interval`, `volume` and `ticks`.

    Args:
        source: The table or view to read from, with the columns of `kind`.
        market: The market, on which the columns depend.
        kind: `trades` or `aggTrades`.
        interval: The length of a bar: `1m`, `90s`, `4h`, `1w`, `1mo`, and so on.
        volume: The volume of a bar, which ends with the trade that reaches the next multiple.
        ticks: The number of rows in a bar.
        exact: Whether the numbers are decimals.

    Raises:
        QueryError: None or several of the three are given, or one is not valid.
    """
    names = _names(market, kind, exact=exact)
    bucket = _bucket(names, interval, volume, ticks)
    return f"""
WITH ordered AS (
    SELECT symbol, "{names.time}" AS t, price AS p, {names.quantity} AS q, {names.order} AS n,
        {names.count} AS c, {names.other} AS o, is_buyer_maker AS sold, {bucket} AS bar
    FROM {source}
)
SELECT symbol, {"bar" if interval else "min(t)"} AS open_time,
    arg_min(p, n) AS open, max(p) AS high, min(p) AS low, arg_max(p, n) AS close,
    sum(q) AS volume, max(t) AS last_time, sum(o) AS quote_volume,
    CAST(sum(c) AS BIGINT) AS count,
    coalesce(sum(q) FILTER (NOT sold), 0) AS taker_buy_volume,
    coalesce(sum(o) FILTER (NOT sold), 0) AS taker_buy_quote_volume
FROM ordered GROUP BY symbol, bar ORDER BY symbol, min(n)"""


def _bucket(names: _Names, interval: str | None, volume: float | None, ticks: int | None) -> str:
    given = [each for each in (interval, volume, ticks) if each is not None]
    if len(given) != 1:
        raise QueryError("bars", "give exactly one of interval, volume and ticks")
    window = f"OVER (PARTITION BY symbol ORDER BY {names.order})"
    if interval is not None:
        match = _INTERVAL.fullmatch(interval)
        if match is None or not int(match[1]):
            raise QueryError(
                "bars",
                f"`{interval}` is not an interval; write 1m, 90s, 4h, 1d, 1w, 1mo or similar",
            )
        length = f"INTERVAL '{int(match[1])} {_UNITS[match[2]]}'"
        origin = f", {_ORIGIN[match[2]]}" if match[2] in _ORIGIN else ""
        return f'time_bucket({length}, "{names.time}"{origin})'
    if ticks is not None:
        if ticks < 1:
            raise QueryError("bars", f"ticks must be at least 1, not {ticks}")
        return f"(row_number() {window} - 1) // {int(ticks)}"
    if volume is None or not volume > 0:
        raise QueryError("bars", f"volume must be above 0, not {volume}")
    before = f"sum({names.quantity}) {window} - {names.quantity}"
    # A sum of floats may be slightly below a multiple; quantities have 8 decimal places.
    return f"CAST(floor(({before}) / {float(volume)!r} + 1e-9) AS BIGINT)"


def bars_of(
    lake: Lake,
    table: str,
    *,
    symbols: Iterable[str] | str,
    start: Instant | None = None,
    end: Instant | None = None,
    interval: str | None = None,
    volume: float | None = None,
    ticks: int | None = None,
) -> duckdb.DuckDBPyRelation:
    """Make bars of a lake's trades. Give exactly one of `interval`, `volume` and `ticks`.

    Args:
        lake: The lake.
        table: `spot.trades`, `futures_um.agg_trades`, and so on.
        symbols: Symbols and globs, one or several; bars are made for each symbol, and none for an
            empty list.
        start: The first instant or day.
        end: The end, as in `Lake.scan`.
        interval: The length of a bar.
        volume: The volume of a bar.
        ticks: The number of rows in a bar.

    Returns:
        A relation with the columns of klines, but with `last_time`, the time of the last trade,
        instead of `close_time`. For futures_cm, `quote_volume` is in the base asset.

    Raises:
        QueryError: There is no such table, it does not hold trades or has none of a symbol, or the
            arguments do not describe bars.
    """
    from crypto_lakehouse.tables.lake.connection import open_connection

    schema = lake.data_schema(table)
    if schema.data_type not in _SOURCES:
        raise QueryError(schema.name, "bars are made of tables of trades or aggTrades only")
    exact = lake.table(table).properties.get(EXACT) == "true"
    query = bars_sql(
        "selected_trades", schema.market, _SOURCES[schema.data_type],
        interval=interval, volume=volume, ticks=ticks, exact=exact,
    )  # fmt: skip
    scan = lake.scan(table, symbols=symbols, start=start, end=end)
    connection = open_connection(lake.catalog.place.folder)
    relation: duckdb.DuckDBPyRelation = scan.duckdb(connection).query("selected_trades", query)
    return relation
