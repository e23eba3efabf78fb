"""The checks of each data type: what is bad, how much it matters, and the sentence to report.

Source: the checks in docs/archive-rows.md#data-types, and docs/archive-faults.md#wrong-content.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from crypto_lakehouse.core.archive import DataType, Market
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.messages import allowed_values
from crypto_lakehouse.tables.quality.bar_checks import bar_checks, index_bar_checks
from crypto_lakehouse.tables.quality.findings import Policy, Severity
from crypto_lakehouse.tables.quality.frozen import FROZEN_CHECK
from crypto_lakehouse.tables.quality.row_check import (
    MINUTE,
    RowCheck,
    id_continuity_check,
    microseconds,
    not_positive,
    period_check,
    positive_check,
    residual,
    step_of_column,
    time_order_check,
)
from crypto_lakehouse.tables.quality.seams import SEAM_CHECKS
from crypto_lakehouse.tables.schema.schemas import TableSchema

__all__ = ["CHECK_NAMES", "checked_policies", "checks_of"]

_HOUR = 60 * MINUTE


def _trades(*, worth: bool) -> tuple[RowCheck, ...]:
    # The worth of a trade is rounded, so that of a very small one may be zero; contracts are whole,
    # and no coin is worth so much that one of them rounds to none of it.
    bad_worth = residual("quote_qty") if worth else not_positive("base_qty")
    checks = (
        id_continuity_check("id"),
        time_order_check("time"),
        period_check("time"),
        positive_check(
            not_positive("price", "qty") | bad_worth,
            "{rows} trade[s] [has|have] a price, quantity or worth that is negative or too "
            "near to zero, "
            "for example {example}",
        ),
    )
    if not worth:
        return checks
    product = pl.col("price").cast(pl.Float64) * pl.col("qty").cast(pl.Float64)
    stated = pl.col("quote_qty").cast(pl.Float64)
    return (
        *checks,
        RowCheck(
            name="worth",
            severity=Severity.WARNING,
            # Eight digits behind the point are published; a millionth is above any rounding.
            bad=(product - stated).abs() > 1e-6 * stated.abs() + 1e-6,
            sentence="{rows} trade[s] [is|are] worth something else than price times quantity, "
            "for example {example}",
        ),
    )


def _agg_trades() -> tuple[RowCheck, ...]:
    first, last = pl.col("first_trade_id"), pl.col("last_trade_id")
    return (
        id_continuity_check("agg_trade_id"),
        RowCheck(
            name="trade_id_continuity",
            severity=Severity.WARNING,
            bad=~pl.col("_first") & (first != last.shift(1) + 1),
            sentence="{rows} aggregate[s] [does|do] not begin where the one before ended, "
            "for example {example}",
            is_hole=True,
            source="binance-public-data#190, #378",
        ),
        RowCheck(
            name="trade_id_order",
            severity=Severity.ERROR,
            bad=first > last,
            sentence="{rows} aggregate[s] [ends|end] before [it begins|they begin], "
            "for example {example}",
        ),
        time_order_check("transact_time"),
        period_check("transact_time"),
        positive_check(
            not_positive("price", "quantity"),
            "{rows} aggregate[s] [has|have] a price or quantity that is not above zero, "
            "for example {example}",
        ),
    )


def _funding() -> tuple[RowCheck, ...]:
    # Settlements are stamped some milliseconds late.
    minute = microseconds("calc_time") // MINUTE
    passed = pl.when(~pl.col("_first")).then(minute - minute.shift(1))
    hours = pl.col("funding_interval_hours")
    return (
        RowCheck(
            name="interval",
            severity=Severity.WARNING,
            bad=~hours.is_in([1, 2, 4, 8]),
            sentence="{rows} settlement[s] [has|have] an unusual interval, for example {example}",
        ),
        RowCheck(
            name="continuity",
            severity=Severity.WARNING,
            bad=(passed != hours * 60) & (passed != hours.shift(1) * 60),
            sentence="{rows} settlement[s] [does|do] not follow the one before by "
            "[its|their] interval, "
            "for example {example}",
            is_hole=True,
        ),
        RowCheck(
            name="lateness",
            severity=Severity.INFO,
            bad=microseconds("calc_time") % _HOUR > 1_000_000,
            sentence="{rows} settlement[s] [is|are] more than a second from the full hour, "
            "for example {example}",
        ),
        period_check("calc_time"),
    )


def _metrics() -> tuple[RowCheck, ...]:
    values = (
        "sum_open_interest",
        "sum_open_interest_value",
        "count_toptrader_long_short_ratio",
        "sum_toptrader_long_short_ratio",
        "count_long_short_ratio",
        "sum_taker_long_short_vol_ratio",
    )
    five = 5 * MINUTE
    return (
        RowCheck(
            name="continuity",
            severity=Severity.WARNING,
            bad=step_of_column("create_time") > five,
            weight=step_of_column("create_time") // five - 1,
            sentence="{rows} period[s] of five minutes [is|are] missing, [|the first "
            "]before {example}",
            is_hole=True,
        ),
        RowCheck(
            name="alignment",
            severity=Severity.WARNING,
            bad=microseconds("create_time") % five != 0,
            sentence="{rows} row[s] [is|are] not at a multiple of five minutes, "
            "for example {example}",
        ),
        RowCheck(
            name="blanks",
            severity=Severity.INFO,
            bad=pl.any_horizontal(pl.col(*values).is_null()),
            sentence="{rows} row[s] [has|have] a blank, which is NULL in the table, "
            "for example {example}",
        ),
        positive_check(
            # Without positions or takers' purchases an open interest or a ratio is zero.
            residual(*values),
            "{rows} row[s] [has|have] a negative or impossibly small open interest or ratio, "
            "for example {example}",
        ),
        period_check("create_time", end_included=True),
    )


def _depth() -> tuple[RowCheck, ...]:
    same = ~pl.col("_first") & (microseconds("timestamp") == microseconds("timestamp").shift(1))
    percentage, amount = pl.col("percentage"), pl.col("depth")
    bids = same & (percentage < 0) & (amount > amount.shift(1))
    asks = same & (percentage.shift(1) > 0) & (amount < amount.shift(1))
    return (
        RowCheck(
            name="cumulative",
            severity=Severity.WARNING,
            bad=bids | asks,
            sentence="{rows} band[s] [holds|hold] less than the narrower band inside [it|them], "
            "for example {example}",
        ),
        positive_check(
            residual("depth", "notional"),
            "{rows} band[s] [holds|hold] less than nothing, or impossibly little, "
            "for example {example}",
        ),
        period_check("timestamp"),
    )


_SPREAD = RowCheck(
    name="spread",
    severity=Severity.WARNING,
    bad=pl.col("best_bid_price") >= pl.col("best_ask_price"),
    sentence="{rows} quote[s] [bids|bid] as much as [it asks|they ask], or more, "
    "for example {example}",
)


def _ticker() -> tuple[RowCheck, ...]:
    return (
        _SPREAD,
        period_check("transaction_time"),
        positive_check(
            _bad_side("best_bid_price", "best_bid_qty")
            | _bad_side("best_ask_price", "best_ask_qty"),
            "{rows} quote[s] [has|have] a price or quantity that is not above zero, "
            "for example {example}; "
            "both are zero if that side of the book is empty",
        ),
    )


def _bad_side(price: str, quantity: str) -> pl.Expr:
    """Whether a side of the book has a price without a quantity, or impossible ones."""
    empty = (pl.col(price) == 0) & (pl.col(quantity) == 0)
    return not_positive(price, quantity) & ~empty


def _liquidations() -> tuple[RowCheck, ...]:
    return (
        period_check("time"),
        positive_check(
            # An order that is not filled has no average price, and one at the market no price; the
            # price of a limit order is its limit.
            not_positive("original_quantity")
            | residual("price", "average_price", "last_fill_quantity", "accumulated_fill_quantity")
            | (pl.col("order_status") == "FILLED") & not_positive("average_price")
            | (pl.col("order_type") == "LIMIT") & not_positive("price"),
            "{rows} order[s] [has|have] a quantity that is not above zero, a negative price or no "
            "limit, or [was|were] filled at none, "
            "for example {example}",
        ),
    )


def _volatility() -> tuple[RowCheck, ...]:
    second = 1_000_000
    return (
        RowCheck(
            name="continuity",
            severity=Severity.WARNING,
            bad=step_of_column("calc_time") > 2 * second,
            weight=(step_of_column("calc_time") + second // 2) // second - 1,
            sentence="{rows} value[s] of a second [is|are] missing, [|the first ]before {example}",
            is_hole=True,
        ),
        positive_check(
            not_positive("index_value"),
            "{rows} value[s] [is|are] not above zero, for example {example}",
        ),
        period_check("calc_time"),
    )


_OPTION_AMOUNTS = (
    "open", "high", "low", "close", "volume_contracts", "volume_usdt", "best_bid_price",
    "best_ask_price", "best_bid_qty", "best_ask_qty", "mark_price", "openinterest_contracts",
    "openinterest_usdt",
)  # fmt: skip


def _options() -> tuple[RowCheck, ...]:
    return (
        RowCheck(
            name="hour",
            severity=Severity.ERROR,
            bad=~pl.col("hour").is_between(0, 23),
            sentence="{rows} row[s] [is|are] of no hour of the day, for example {example}",
        ),
        RowCheck(
            name="price_bounds",
            severity=Severity.ERROR,
            bad=pl.col("low") > pl.col("high"),
            sentence="{rows} row[s] [has|have] a low above [its|their] high, for example {example}",
        ),
        positive_check(
            # A contract without trades or quotes has zeros or blanks.
            residual(*_OPTION_AMOUNTS)
            | (pl.col("volume_contracts") > 0) & not_positive("open", "high", "low", "close"),
            "{rows} row[s] [has|have] a negative or impossibly small price, volume or open "
            "interest, or contracts traded at no price, "
            "for example {example}",
        ),
        RowCheck(
            name="period",
            severity=Severity.ERROR,
            bad=(pl.col("date").cast(pl.Datetime("us")).cast(pl.Int64) < pl.col("_from"))
            | (pl.col("date").cast(pl.Datetime("us")).cast(pl.Int64) >= pl.col("_to")),
            sentence="{rows} row[s] [lies|lie] outside the period in the archive's name, "
            "for example {example}",
        ),
    )


_CHECKS: Mapping[DataType, tuple[RowCheck, ...]] = {
    DataType.KLINES: bar_checks(),
    DataType.INDEX_PRICE_KLINES: index_bar_checks(),
    DataType.MARK_PRICE_KLINES: index_bar_checks(),
    DataType.PREMIUM_INDEX_KLINES: index_bar_checks(signed=True),
    DataType.TRADES: _trades(worth=True),
    DataType.AGG_TRADES: _agg_trades(),
    DataType.FUNDING_RATE: _funding(),
    DataType.METRICS: _metrics(),
    DataType.BOOK_DEPTH: _depth(),
    DataType.BOOK_TICKER: _ticker(),
    DataType.LIQUIDATION_SNAPSHOT: _liquidations(),
    DataType.BVOL_INDEX: _volatility(),
    DataType.EOH_SUMMARY: _options(),
}

_OF_MARKET: Mapping[tuple[Market, DataType], tuple[RowCheck, ...]] = {
    (Market.FUTURES_CM, DataType.KLINES): bar_checks("base_volume"),
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
    FROZEN_CHECK,
    *SEAM_CHECKS,
)

CHECK_NAMES = tuple(
    sorted({*_WHOLE, *(check.name for checks in _CHECKS.values() for check in checks)})
)

#: Checks whose bad rows may be dropped, because another row is the same.
_DROPPABLE = frozenset({"duplicates", "doubled_rows"})


def checks_of(schema: TableSchema) -> tuple[RowCheck, ...]:
    """The row-wise checks of a table."""
    if schema.recorded:
        quotes = (_SPREAD,) if schema.data_type is DataType.BOOK_TICKER else ()
        return (*quotes, period_check(schema.time))
    market = _OF_MARKET.get((schema.market, schema.data_type))
    return market or _CHECKS[schema.data_type]


def checked_policies(given: Mapping[str, str]) -> dict[str, Policy]:
    """Parse the policies for findings, by check.

    Raises:
        ConfigurationError: Some check or policy is unknown, `drop` is given for a check of rows
            that are not repeated, or `quarantine` for a check of several archives; all such
            problems are named.
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
            problems.append(Problem(path, f"`drop` is only for checks of repeated rows: {can}"))
        elif text == Policy.QUARANTINE and check in SEAM_CHECKS:
            # What would be quarantined depends on the order of ingestion.
            reason = "`quarantine` is not for a check of several archives; it is only reported"
            problems.append(Problem(path, reason))
        else:
            policies[check] = Policy(text)
    if problems:
        raise ConfigurationError(problems)
    return policies
