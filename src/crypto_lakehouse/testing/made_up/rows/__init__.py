"""Made-up rows of each data type, one UTC day at a time.

A day's rows follow from the series and the day alone, so that a month's file is its days' files
joined, as in the archive. How many rows a day has:
`crypto_lakehouse.testing.made_up.generator`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from crypto_lakehouse.core.archive import DataType
from crypto_lakehouse.testing.made_up.rows.derivatives import (
    book_depth_rows,
    funding_rate_rows,
    liquidation_rows,
    metrics_rows,
)
from crypto_lakehouse.testing.made_up.rows.klines import kline_rows
from crypto_lakehouse.testing.made_up.rows.options import bvol_rows, eoh_rows
from crypto_lakehouse.testing.made_up.rows.trades import (
    agg_trade_rows,
    book_ticker_rows,
    trade_rows,
)
from crypto_lakehouse.testing.made_up.rows.values import Day

__all__ = ["ROWS_OF", "Day"]

#: Writes one day's rows, each ended by LF.
ROWS_OF: Mapping[DataType, Callable[[Day], str]] = {
    DataType.KLINES: kline_rows,
    DataType.INDEX_PRICE_KLINES: kline_rows,
    DataType.MARK_PRICE_KLINES: kline_rows,
    DataType.PREMIUM_INDEX_KLINES: kline_rows,
    DataType.TRADES: trade_rows,
    DataType.AGG_TRADES: agg_trade_rows,
    DataType.FUNDING_RATE: funding_rate_rows,
    DataType.BOOK_DEPTH: book_depth_rows,
    DataType.BOOK_TICKER: book_ticker_rows,
    DataType.METRICS: metrics_rows,
    DataType.LIQUIDATION_SNAPSHOT: liquidation_rows,
    DataType.BVOL_INDEX: bvol_rows,
    DataType.EOH_SUMMARY: eoh_rows,
}
