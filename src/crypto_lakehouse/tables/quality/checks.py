"""The checks of each data type, declared: what is bad, how much it matters, what to say.

A check is a Polars expression that is true on bad rows. Besides the columns of its type it may
use what `inspector` adds: `_step` (length of a bar in microseconds; NULL for months), `_origin`
(where multiples of it begin), `_from` and `_to` (the archive's period), `_tick` (the archive's
time unit, in microseconds), and `_first` (the first row of an archive, which has none before it).

Source: the checks in docs/archive-rows.md#data-types, and docs/archive-faults.md#wrong-content.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
from attrs import field, frozen

from crypto_lakehouse.core.archive import DataType, Market
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.messages import allowed_values
from crypto_lakehouse.tables.quality.findings import Policy, Severity
from crypto_lakehouse.tables.schema.schemas import TableSchema

__all__ = ["CHECK_NAMES", "Check", "checked_policies", "checks_of"]

_HOUR = 3_600_000_000
_MINUTE = 60_000_000


@frozen(kw_only=True)
class Check:
    """One check.

    Attributes:
        name: Its name; several types may have a check of one name.
        severity: How much a finding matters.
        bad: True on bad rows; NULL counts as good.
        weight: How much a bad row counts, as the rows that are missing before it; None is one.
        sentence: What is said; `{rows}` is the weight, `{example}` where it is first so.
        policy: What is done about it where nothing else is configured.
        is_hole: Whether it is about absent rows, which an outage of the venue may explain.
        source: Where the defect is known from.
    """

    name: str
    severity: Severity
    bad: pl.Expr = field(eq=False)
    sentence: str
    weight: pl.Expr | None = field(default=None, eq=False)
    policy: Policy = Policy.REPORT
    is_hole: bool = False
    source: str = ""


def _us(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Int64)


def _step(name: str) -> pl.Expr:
    """What the column grew by since the row before; NULL on an archive's first row."""
    value = _us(name)
    return pl.when(~pl.col("_first")).then(value - value.shift(1))


def _period(time: str, *, end_included: bool = False) -> Check:
    when = _us(time)
    after = when > pl.col("_to") if end_included else when >= pl.col("_to")
    return Check(
        name="period",
        severity=Severity.ERROR,
        bad=(when < pl.col("_from")) | after,
        sentence="{rows} rows lie outside the period that the archive is named after, as {example}",
    )


def _time_order(time: str) -> Check:
    return Check(
        name="time_order",
        severity=Severity.WARNING,
        bad=_step(time) < 0,
        sentence="{rows} rows are earlier than the row before them, in the order of ids, "
        "as {example}",
    )


def _id_step(name: str) -> Check:
    return Check(
        name="id_continuity",
        severity=Severity.WARNING,
        bad=_step(name) > 1,
        weight=_step(name) - 1,
        sentence="{rows} ids are missing, the first before {example}; single ones are "
        "the venue's own",
        is_hole=True,
        source="binance-public-data#363, #378",
    )


def _bars(*, traded: bool, quote: str = "quote_volume") -> tuple[Check, ...]:
    opened, step = _us("open_time"), pl.col("_step")
    low, high = pl.col("low"), pl.col("high")
    of_all = (
        Check(
            name="continuity",
            severity=Severity.WARNING,
            bad=_step("open_time") > step,
            weight=_step("open_time") // step - 1,
            sentence="{rows} bars are missing between others, the first before {example}",
            is_hole=True,
        ),
        Check(
            name="alignment",
            severity=Severity.WARNING,
            bad=(opened - pl.col("_origin")) % step != 0,
            sentence="{rows} bars do not begin at a multiple of their interval, as {example}",
            source="binance-public-data#14, #77",
        ),
        Check(
            name="close_time",
            severity=Severity.WARNING,
            bad=_us("close_time") != opened + step - pl.col("_tick"),
            sentence="{rows} bars do not close just before the next one opens, as {example}",
            source="binance-public-data#14, #77",
        ),
        Check(
            name="price_bounds",
            severity=Severity.ERROR,
            bad=(low > pl.min_horizontal("open", "close", "high"))
            | (high < pl.max_horizontal("open", "close")),
            sentence="{rows} bars have a low above, or a high below, their other prices, "
            "as {example}",
        ),
        _period("open_time"),
    )
    if not traded:
        fillers = pl.col("volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume")
        filler = Check(
            name="fillers",
            severity=Severity.WARNING,
            bad=pl.any_horizontal(fillers != 0),
            sentence="{rows} bars of an index have a volume, as {example}",
        )
        return (*of_all, filler)
    taker_quote = f"taker_buy_{quote}"
    return (
        *of_all,
        Check(
            name="taker_bounds",
            severity=Severity.ERROR,
            bad=(pl.col("taker_buy_volume") < 0)
            | (pl.col("taker_buy_volume") > pl.col("volume"))
            | (pl.col(taker_quote) < 0)
            | (pl.col(taker_quote) > pl.col(quote)),
            sentence="{rows} bars say that takers bought less than nothing or more than all, "
            "as {example}",
        ),
        Check(
            name="empty_bars",
            severity=Severity.WARNING,
            bad=(pl.col("count") == 0) != (pl.col("volume") == 0),
            sentence="{rows} bars have trades without volume, or volume without trades, "
            "as {example}",
        ),
    )


def _trades(*, worth: bool) -> tuple[Check, ...]:
    checks = (_id_step("id"), _time_order("time"), _period("time"))
    if not worth:
        return checks
    product = pl.col("price").cast(pl.Float64) * pl.col("qty").cast(pl.Float64)
    stated = pl.col("quote_qty").cast(pl.Float64)
    return (
        *checks,
        Check(
            name="worth",
            severity=Severity.WARNING,
            # Eight digits behind the point are published; a millionth is above any rounding.
            bad=(product - stated).abs() > 1e-6 * stated.abs() + 1e-6,
            sentence="{rows} trades are worth something else than price times quantity, "
            "as {example}",
        ),
    )


def _agg_trades() -> tuple[Check, ...]:
    first, last = pl.col("first_trade_id"), pl.col("last_trade_id")
    return (
        _id_step("agg_trade_id"),
        Check(
            name="trade_id_continuity",
            severity=Severity.WARNING,
            bad=~pl.col("_first") & (first != last.shift(1) + 1),
            sentence="{rows} aggregates do not begin where the one before ended, as {example}",
            is_hole=True,
            source="binance-public-data#190, #378",
        ),
        Check(
            name="trade_id_order",
            severity=Severity.ERROR,
            bad=first > last,
            sentence="{rows} aggregates end before they begin, as {example}",
        ),
        _time_order("transact_time"),
        _period("transact_time"),
    )


def _funding() -> tuple[Check, ...]:
    # Settlements are stamped some milliseconds late.
    minute = _us("calc_time") // _MINUTE
    passed = pl.when(~pl.col("_first")).then(minute - minute.shift(1))
    hours = pl.col("funding_interval_hours")
    return (
        Check(
            name="interval",
            severity=Severity.WARNING,
            bad=~hours.is_in([1, 2, 4, 8]),
            sentence="{rows} settlements have an unusual interval, as {example}",
        ),
        Check(
            name="continuity",
            severity=Severity.WARNING,
            bad=(passed != hours * 60) & (passed != hours.shift(1) * 60),
            sentence="{rows} settlements do not follow the one before by their interval, "
            "as {example}",
            is_hole=True,
        ),
        Check(
            name="lateness",
            severity=Severity.INFO,
            bad=_us("calc_time") % _HOUR > 1_000_000,
            sentence="{rows} settlements are more than a second from the full hour, as {example}",
        ),
        _period("calc_time"),
    )


def _metrics() -> tuple[Check, ...]:
    values = pl.col(
        "sum_open_interest",
        "sum_open_interest_value",
        "count_toptrader_long_short_ratio",
        "sum_toptrader_long_short_ratio",
        "count_long_short_ratio",
        "sum_taker_long_short_vol_ratio",
    )
    five = 5 * _MINUTE
    return (
        Check(
            name="continuity",
            severity=Severity.WARNING,
            bad=_step("create_time") > five,
            weight=_step("create_time") // five - 1,
            sentence="{rows} periods of five minutes are missing, the first before {example}",
            is_hole=True,
        ),
        Check(
            name="alignment",
            severity=Severity.WARNING,
            bad=_us("create_time") % five != 0,
            sentence="{rows} rows are not at a multiple of five minutes, as {example}",
        ),
        Check(
            name="blanks",
            severity=Severity.INFO,
            bad=pl.any_horizontal(values.is_null()),
            sentence="{rows} rows have a blank, which is NULL in the table, as {example}",
        ),
        Check(
            name="positive",
            severity=Severity.ERROR,
            bad=pl.any_horizontal(values < 0),
            sentence="{rows} rows have a negative open interest or ratio, as {example}",
        ),
        _period("create_time", end_included=True),
    )


def _depth() -> tuple[Check, ...]:
    same = ~pl.col("_first") & (_us("timestamp") == _us("timestamp").shift(1))
    percentage, amount = pl.col("percentage"), pl.col("depth")
    bids = same & (percentage < 0) & (amount > amount.shift(1))
    asks = same & (percentage.shift(1) > 0) & (amount < amount.shift(1))
    return (
        Check(
            name="cumulative",
            severity=Severity.WARNING,
            bad=bids | asks,
            sentence="{rows} bands hold less than the narrower band inside them, as {example}",
        ),
        Check(
            name="positive",
            severity=Severity.ERROR,
            bad=(amount < 0) | (pl.col("notional") < 0),
            sentence="{rows} bands hold less than nothing, as {example}",
        ),
        _period("timestamp"),
    )


def _ticker() -> tuple[Check, ...]:
    return (
        Check(
            name="spread",
            severity=Severity.WARNING,
            bad=pl.col("best_bid_price") >= pl.col("best_ask_price"),
            sentence="{rows} quotes bid as much as they ask, or more, as {example}",
        ),
        _period("transaction_time"),
    )


def _volatility() -> tuple[Check, ...]:
    second = 1_000_000
    return (
        Check(
            name="continuity",
            severity=Severity.WARNING,
            bad=_step("calc_time") > 2 * second,
            weight=(_step("calc_time") + second // 2) // second - 1,
            sentence="{rows} values of a second are missing, the first before {example}",
            is_hole=True,
        ),
        Check(
            name="positive",
            severity=Severity.ERROR,
            bad=pl.col("index_value") <= 0,
            sentence="{rows} values are not above zero, as {example}",
        ),
        _period("calc_time"),
    )


def _options() -> tuple[Check, ...]:
    return (
        Check(
            name="hour",
            severity=Severity.ERROR,
            bad=~pl.col("hour").is_between(0, 23),
            sentence="{rows} rows are of no hour of the day, as {example}",
        ),
        Check(
            name="price_bounds",
            severity=Severity.ERROR,
            bad=pl.col("low") > pl.col("high"),
            sentence="{rows} rows have a low above their high, as {example}",
        ),
        Check(
            name="period",
            severity=Severity.ERROR,
            bad=(pl.col("date").cast(pl.Datetime("us")).cast(pl.Int64) < pl.col("_from"))
            | (pl.col("date").cast(pl.Datetime("us")).cast(pl.Int64) >= pl.col("_to")),
            sentence="{rows} rows lie outside the period that the archive is named after, "
            "as {example}",
        ),
    )


_CHECKS: Mapping[DataType, tuple[Check, ...]] = {
    DataType.KLINES: _bars(traded=True),
    DataType.INDEX_PRICE_KLINES: _bars(traded=False),
    DataType.MARK_PRICE_KLINES: _bars(traded=False),
    DataType.PREMIUM_INDEX_KLINES: _bars(traded=False),
    DataType.TRADES: _trades(worth=True),
    DataType.AGG_TRADES: _agg_trades(),
    DataType.FUNDING_RATE: _funding(),
    DataType.METRICS: _metrics(),
    DataType.BOOK_DEPTH: _depth(),
    DataType.BOOK_TICKER: _ticker(),
    DataType.LIQUIDATION_SNAPSHOT: (_period("time"),),
    DataType.BVOL_INDEX: _volatility(),
    DataType.EOH_SUMMARY: _options(),
}

_OF_MARKET: Mapping[tuple[Market, DataType], tuple[Check, ...]] = {
    (Market.FUTURES_CM, DataType.KLINES): _bars(traded=True, quote="base_volume"),
    (Market.FUTURES_CM, DataType.TRADES): _trades(worth=False),
}

#: Checks of a whole archive; `archive_checks` and `inspector` say how they are made.
_WHOLE = (
    "order",
    "duplicates",
    "doubled_rows",
    "coverage",
    "label_shift",
    "bands",
    "frozen_bands",
)

CHECK_NAMES = tuple(
    sorted({*_WHOLE, *(check.name for checks in _CHECKS.values() for check in checks)})
)

#: Only of these rows can be dropped, as another row says the same.
_DROPPABLE = frozenset({"duplicates", "doubled_rows"})


def checks_of(schema: TableSchema) -> tuple[Check, ...]:
    """The row-wise checks of a table."""
    market = _OF_MARKET.get((schema.market, schema.data_type))
    return market or _CHECKS[schema.data_type]


def checked_policies(given: Mapping[str, str]) -> dict[str, Policy]:
    """Read what to do about findings, by check.

    Raises:
        ConfigurationError: Unknown checks or policies, or rows to drop that no other repeats;
            all are named.
    """
    problems: list[Problem] = []
    policies: dict[str, Policy] = {}
    for check, text in given.items():
        path = f"$.policies.{check}"
        if check not in CHECK_NAMES:
            problems.append(Problem(path, f"no such check; {allowed_values(check, CHECK_NAMES)}"))
        elif text not in tuple(Policy):
            reason = f"no policy `{text}`; {allowed_values(text, tuple(Policy))}"
            problems.append(Problem(path, reason))
        elif text == Policy.DROP and check not in _DROPPABLE:
            can = ", ".join(sorted(_DROPPABLE))
            problems.append(Problem(path, f"only repeated rows can be dropped: {can}"))
        else:
            policies[check] = Policy(text)
    if problems:
        raise ConfigurationError(problems)
    return policies
