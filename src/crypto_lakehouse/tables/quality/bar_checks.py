"""The checks of klines and of the klines of index, mark and premium prices.

Source: the checks in docs/archive-rows.md#data-types.
"""

from __future__ import annotations

import polars as pl

from crypto_lakehouse.tables.quality.findings import Severity
from crypto_lakehouse.tables.quality.row_check import (
    RowCheck,
    microseconds,
    not_positive,
    period_check,
    positive_check,
    remainder,
    residual,
    step_of_column,
)
from crypto_lakehouse.tables.reading.sniff import MICROSECONDS_SINCE

__all__ = ["bar_checks", "index_bar_checks"]

_PRICES = ("open", "high", "low", "close")


def bar_checks(quote: str = "quote_volume") -> tuple[RowCheck, ...]:
    """The checks of klines, whose bars are made of trades.

    Args:
        quote: The column of the volume that is not `volume`.
    """
    positive = positive_check(
        not_positive(*_PRICES)
        | residual("volume", quote)
        | remainder("taker_buy_volume", f"taker_buy_{quote}")
        | (pl.col("count") < 0),
        "{rows} bar[s] [has|have] a price that is not above zero, or a negative or "
        "impossibly small "
        "volume, for example {example}",
    )
    bars = (*_time_checks(), _price_bounds(), positive, period_check("open_time"))
    return (*bars, *_volume_checks(quote))


def index_bar_checks(*, signed: bool = False) -> tuple[RowCheck, ...]:
    """The checks of klines of an index, which have no volume.

    Args:
        signed: Whether the index is a premium, which may be zero or negative.
    """
    fillers = pl.col("volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume")
    filler = RowCheck(
        name="fillers",
        severity=Severity.WARNING,
        bad=pl.any_horizontal(fillers != 0),
        sentence="{rows} bar[s] of an index [has|have] a volume, for example {example}",
    )
    checks = (*_time_checks(), _price_bounds(), period_check("open_time"), filler)
    if signed:
        return checks
    sentence = "{rows} bar[s] [has|have] a price that is not above zero, for example {example}"
    return (*checks, positive_check(not_positive(*_PRICES), sentence))


def _time_checks() -> tuple[RowCheck, ...]:
    opened, step = microseconds("open_time"), pl.col("_step")
    closed = microseconds("close_time")
    short = opened + step - closed
    in_microseconds = (short == 1) & (closed >= MICROSECONDS_SINCE)  # whatever the open time is in
    return (
        RowCheck(
            name="continuity",
            severity=Severity.WARNING,
            bad=step_of_column("open_time") > step,
            weight=step_of_column("open_time") // step - 1,
            sentence="{rows} bar[s] [is|are] missing between others, [|the first ]before {example}",
            is_hole=True,
        ),
        RowCheck(
            name="alignment",
            severity=Severity.WARNING,
            bad=(opened - pl.col("_origin")) % step != 0,
            sentence="{rows} bar[s] [does|do] not begin at a multiple of [its|their] interval, "
            "for example {example}",
            source="binance-public-data#14, #77",
        ),
        RowCheck(
            name="close_time",
            severity=Severity.WARNING,
            bad=(short != pl.col("_tick")) & ~in_microseconds,
            sentence="{rows} bar[s] [does|do] not close just before the next one opens, "
            "for example {example}",
            source="binance-public-data#14, #77",
        ),
    )


def _price_bounds() -> RowCheck:
    low, high = pl.col("low"), pl.col("high")
    return RowCheck(
        name="price_bounds",
        severity=Severity.ERROR,
        bad=(low > pl.min_horizontal("open", "close", "high"))
        | (high < pl.max_horizontal("open", "close")),
        sentence="{rows} bar[s] [has|have] a low above, or a high below, [its|their] other prices, "
        "for example {example}",
    )


def _volume_checks(quote: str) -> tuple[RowCheck, ...]:
    taker_quote = f"taker_buy_{quote}"
    return (
        RowCheck(
            name="taker_bounds",
            severity=Severity.ERROR,
            bad=(pl.col("taker_buy_volume") < 0)
            | (pl.col("taker_buy_volume") > pl.col("volume"))
            | (pl.col(taker_quote) < 0)
            | (pl.col(taker_quote) > pl.col(quote)),
            sentence="{rows} bar[s] [says|say] that takers bought less than nothing or more "
            "than all, "
            "for example {example}",
        ),
        RowCheck(
            name="empty_bars",
            severity=Severity.WARNING,
            bad=(pl.col("count") == 0) != (pl.col("volume") == 0),
            sentence="{rows} bar[s] [has|have] trades without volume, or volume without trades, "
            "for example {example}",
        ),
    )
