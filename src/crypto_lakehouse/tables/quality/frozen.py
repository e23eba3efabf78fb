"""Finds columns that are frozen: they have one value in many rows while others change.

Values that may stand still by themselves are left alone. A price may: that of a stable pair, or one
of few digits, whose smallest step is many percent. So may every column of a thin symbol, whose
trades are alike, until there are many of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from crypto_lakehouse.core.archive import DataType
from crypto_lakehouse.tables.quality.archive_checks import Found
from crypto_lakehouse.tables.quality.findings import Severity
from crypto_lakehouse.tables.schema.schemas import TableSchema

__all__ = ["FROZEN_CHECK", "end_tally", "frozen_findings", "frozen_tally", "tally_of_ends"]

FROZEN_CHECK = "frozen"

_PRICE_BARS = frozenset(
    {DataType.INDEX_PRICE_KLINES, DataType.MARK_PRICE_KLINES, DataType.PREMIUM_INDEX_KLINES}
)

#: Moments with trades, or trades in bars, before all of them can hardly be on one side.
_MANY_TRADES = 1000
#: Bars with trades before one of their columns can be called frozen.
_MANY_BARS = 24
#: Rows of metrics, and bars of prices, before one of their columns can be called frozen.
_MANY_ROWS = 100
#: Columns of metrics that must change meanwhile.
_MANY_OTHERS = 3
#: Trades on one side, at either end of an archive and half of it, of which a flag is frozen.
_LONG = 2 * _MANY_TRADES

_METRICS = (
    "sum_open_interest",
    "sum_open_interest_value",
    "count_toptrader_long_short_ratio",
    "sum_toptrader_long_short_ratio",
    "count_long_short_ratio",
    "sum_taker_long_short_vol_ratio",
)

#: The price and the quantity of trades and aggTrades.
_TRADED = {DataType.TRADES: ("price", "qty"), DataType.AGG_TRADES: ("price", "quantity")}

_QUOTED = (("best_bid_price", "best_bid_qty"), ("best_ask_price", "best_ask_qty"))

#: Prices around 1 may be of a stable pair; a price with fewer digits may have a large step.
_PEGGED = (0.9, 1.1)
_FINE_DIGITS = 4

Tally = Mapping[str, Any]


def frozen_tally(schema: TableSchema) -> dict[str, pl.Expr]:
    """What to tally in each part of an archive; `tallies` merges parts by the end of a name."""
    kind = schema.data_type
    if kind is DataType.KLINES:
        return _of_bars(schema)
    if kind in _PRICE_BARS:
        return {"rows_sum": pl.len(), **_edges("low"), **_edges("high")}
    if kind is DataType.METRICS:
        counts = {f"{name}_sum": pl.col(name).count() for name in _METRICS}
        return counts | {key: each for name in _METRICS for key, each in _edges(name).items()}
    return {key: each for name in _flags(schema) for key, each in _edges(name).items()}


def end_tally(schema: TableSchema) -> dict[str, pl.Expr]:
    """What to tally besides; the ends of a part usually show it (`tally_of_ends`)."""
    kind = schema.data_type
    if kind is DataType.BOOK_TICKER:
        names = [name for side in _QUOTED for name in side]
        return {key: each for name in names for key, each in _edges(name).items()}
    if kind not in _TRADED:
        return {}
    tally = {key: each for name in _TRADED[kind] for key, each in _edges(name).items()}
    number, maker = pl.col(schema.key[0]), pl.col("is_buyer_maker")
    for side, ids in (("makers", number.filter(maker)), ("takers", number.filter(~maker))):
        tally |= {f"{side}_least": ids.min(), f"{side}_most": ids.max()}
    return tally


def tally_of_ends(values: Mapping[str, pl.Expr], rows: pl.DataFrame) -> Tally | None:
    """Tally only the first and last rows of a part, if no column is frozen in them.

    A column that changes there is not frozen in all rows, so its edges need not be exact. Those of
    ids on either side are exact if both sides are at both ends.
    """
    if rows.height <= 2 * _LONG:
        return None
    first, last = (some.select(**values).row(0, named=True)
                   for some in (rows.head(_LONG), rows.tail(_LONG)))  # fmt: skip
    is_known = None not in (*first.values(), *last.values()) and all(
        value != first[f"{name.removesuffix('_least')}_most"]
        for name, value in first.items()
        if name.endswith("_least")
    )
    if not is_known:
        return None
    return {name: (min if name.endswith("_least") else max)(first[name], last[name])
            for name in values}  # fmt: skip


def _edges(name: str) -> dict[str, pl.Expr]:
    return {f"{name}_least": pl.col(name).min(), f"{name}_most": pl.col(name).max()}


def _flags(schema: TableSchema) -> list[str]:
    names = {column.name for column in schema.columns}
    return [name for name in ("is_buyer_maker", "is_best_match") if name in names]


def _of_bars(schema: TableSchema) -> dict[str, pl.Expr]:
    active = pl.col("volume") > 0
    values = {
        "active_sum": active.sum(),
        "trades_sum": pl.col("count").sum(),
        "ranges_most": (active & (pl.col("high") > pl.col("low"))).any(),
        **_edges("low"),
        **_edges("high"),
    }
    amounts = {name: pl.col(name) for pair in _amounts(schema) for name in pair}
    amounts |= {f"other {taken}": pl.col(all_) - pl.col(taken) for all_, taken in _takers(schema)}
    for name, amount in amounts.items():
        traded = amount.filter(active)
        values |= {f"{name}_least": traded.min(), f"{name}_most": traded.max()}
    return values


def _quote(schema: TableSchema) -> str:
    names = {column.name for column in schema.columns}
    return "quote_volume" if "quote_volume" in names else "base_volume"


def _takers(schema: TableSchema) -> list[tuple[str, str]]:
    """The columns of volumes, each with that of what takers bought of it."""
    quote = _quote(schema)
    return [("volume", "taker_buy_volume"), (quote, f"taker_buy_{quote}")]


def _amounts(schema: TableSchema) -> list[tuple[str, str]]:
    """Columns that change, each with one that must change with it."""
    own = [("volume", "count"), ("count", "volume"), ("volume", _quote(schema))]
    return [*_takers(schema), *own]


def frozen_findings(schema: TableSchema, tally: Tally) -> Iterator[Found]:
    """Check whether a column has one value while others change.

    Args:
        schema: The table.
        tally: The tally of all rows of an archive; empty if it has none.
    """
    rows, frozen = _frozen(schema, tally) if tally else (0, [])
    if frozen:
        sentence = f"{{rows}} row[s] [changes|change], except for {', '.join(frozen)}"
        yield Found(FROZEN_CHECK, Severity.WARNING, rows, sentence)


def _frozen(schema: TableSchema, tally: Tally) -> tuple[int, list[str]]:
    """How many rows were compared, and what is frozen in them."""
    if schema.data_type is DataType.KLINES:
        rows = tally["active_sum"]
        return rows, [*_frozen_bars(schema, tally)] if rows >= _MANY_BARS else []
    if schema.data_type in _PRICE_BARS:
        rows, is_still = tally["rows_sum"], tally["low_least"] == tally["high_most"]
        names = [f"`open`, `high`, `low` and `close`, which are always {tally['low_least']}"]
        return rows, names if is_still and rows >= _MANY_ROWS else []
    if schema.data_type is DataType.METRICS:
        return max(tally[f"{name}_sum"] for name in _METRICS), [*_frozen_metrics(tally)]
    rows = tally["moments_sum"] + 1  # from one moment to the next
    if rows < _MANY_TRADES:
        return rows, []
    if schema.data_type is DataType.BOOK_TICKER:
        return rows, [*_frozen_quotes(tally)]
    return rows, [*_frozen_flags(schema, tally), *_frozen_trades(schema, tally)]


def _frozen_metrics(tally: Tally) -> Iterator[str]:
    moving = [name for name in _METRICS if not _still(tally, name)]
    for name in _METRICS:
        if (
            name not in moving
            and tally[f"{name}_sum"] >= _MANY_ROWS
            and len(moving) >= _MANY_OTHERS
        ):
            yield _always(tally, name)


def _frozen_quotes(tally: Tally) -> Iterator[str]:
    for (price, quantity), (other_price, other_quantity) in (_QUOTED, _QUOTED[::-1]):
        if _still(tally, price) and not _still(tally, other_price) and _is_fine(tally, price):
            yield _always(tally, price)
        moves = not _still(tally, price) and not _still(tally, other_quantity)
        if _still(tally, quantity) and moves:
            yield _always(tally, quantity)


def _frozen_trades(schema: TableSchema, tally: Tally) -> Iterator[str]:
    price, quantity = _TRADED[schema.data_type]
    if _still(tally, price) and not _still(tally, quantity) and _is_fine(tally, price):
        yield _always(tally, price)
    if _still(tally, quantity) and not _still(tally, price):
        yield _always(tally, quantity)


def _frozen_flags(schema: TableSchema, tally: Tally) -> Iterator[str]:
    for flag in _flags(schema):
        value = tally[f"{flag}_least"]
        # Trades at the best price are the rule, so that only the opposite is odd.
        if value == tally[f"{flag}_most"]:
            if not (flag == "is_best_match" and value):
                yield f"`{flag}`, which is always {str(value).lower()}"
        elif flag == "is_buyer_maker":
            yield from _frozen_end(tally)


def _frozen_end(tally: Tally) -> Iterator[str]:
    """Whether the buyers are makers, or are not, in all trades of a half of the archive."""
    first = min(tally["makers_least"], tally["takers_least"])
    last = max(tally["makers_most"], tally["takers_most"])
    least = max(_LONG, (last - first + 1) // 2)
    last_turn = min(tally["makers_most"], tally["takers_most"])
    if last - last_turn >= least:
        value = str(tally["makers_most"] == last).lower()
        yield f"`is_buyer_maker`, which is always {value} after id {last_turn}"
    first_turn = max(tally["makers_least"], tally["takers_least"])
    if first_turn - first >= least:
        value = str(tally["makers_least"] == first).lower()
        yield f"`is_buyer_maker`, which is always {value} before id {first_turn}"


def _frozen_bars(schema: TableSchema, tally: Tally) -> Iterator[str]:
    many = tally["trades_sum"] >= _MANY_TRADES
    for moving, name in _amounts(schema):
        value = tally[f"{name}_least"]
        if _still(tally, moving) or not _still(tally, name):
            if tally.get(f"other {name}_most") == 0 and many:
                yield f"`{name}`, which is always all of `{moving}`"
        elif name == "count":
            # One trade in each bar is possible, but then each bar has one price.
            if value > 1 or tally["ranges_most"]:
                yield _always(tally, name)
        elif many or (value > 0 and name != "volume"):  # a few trades may all be of the least size
            yield _always(tally, name)
    one_price = tally["low_least"] == tally["high_most"]
    if one_price and many and not _still(tally, "volume") and _is_fine(tally, "low"):
        yield f"prices, which are always {tally['low_least']}"


def _still(tally: Tally, name: str) -> bool:
    return bool(tally[f"{name}_least"] == tally[f"{name}_most"])


def _always(tally: Tally, name: str) -> str:
    return f"`{name}`, which is always {tally[f'{name}_least']}"


def _is_fine(tally: Tally, price: str) -> bool:
    """Whether a price should move: it has small steps, and is not that of a stable pair."""
    value = float(tally[f"{price}_least"])
    digits = f"{value:.12e}".partition("e")[0].replace(".", "").rstrip("0")
    return not _PEGGED[0] < value < _PEGGED[1] and len(digits) >= _FINE_DIGITS
