"""Candles and funding rates for Freqtrade: the files of `user_data/data/binance`.

A pair has one file for each timeframe, so a new day rewrites it; the others stay as they are.
Source: freqtrade/data/history/datahandlers of Freqtrade 2026.9.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from attrs import frozen

from crypto_lakehouse.core.data_types import DataType, Market
from crypto_lakehouse.core.symbols import ContractType, traits_of
from crypto_lakehouse.tables.export.files import HashingFile
from crypto_lakehouse.tables.export.targets import Target
from crypto_lakehouse.tables.export.units import Unit

__all__ = ["TARGETS"]

_MILLISECONDS = pa.timestamp("ms", tz="UTC")

_PRICES = ("open", "high", "low", "close")

#: The names of the kinds of candles in the names of files; spot candles have none.
_KINDS = {
    DataType.KLINES: "futures",
    DataType.MARK_PRICE_KLINES: "mark",
    DataType.INDEX_PRICE_KLINES: "index",
    DataType.PREMIUM_INDEX_KLINES: "premiumIndex",
    DataType.FUNDING_RATE: "funding_rate",
}

#: Freqtrade looks for funding rates under this timeframe, whatever their hours are.
_FUNDING_TIMEFRAME = "1h"


@frozen
class _Freqtrade(Target):
    def refusal(self, unit: Unit) -> str | None:
        market = unit.schema.market
        if market not in (Market.SPOT, Market.FUTURES_UM):
            return "Freqtrade trades spot and USD-margined futures only"
        traits = traits_of(unit.symbol, market)
        if traits.contract not in (None, ContractType.PERPETUAL):
            return "Freqtrade trades perpetual contracts only"
        return None if traits.quote else "its name does not show its quote asset"

    def path(self, unit: Unit) -> str:
        """As `BTC_USDT-1h.feather`, or `futures/BTC_USDT_USDT-1h-mark.feather`."""
        traits = traits_of(unit.symbol, unit.schema.market)
        pair = f"{traits.base}_{traits.quote}"
        timeframe = (unit.interval or _FUNDING_TIMEFRAME).replace("mo", "Mo")
        if unit.schema.market is Market.SPOT:
            return f"{pair}-{timeframe}.feather"
        kind = _KINDS[unit.schema.data_type]
        return f"futures/{pair}_{traits.quote}-{timeframe}-{kind}.feather"

    def columns(self, unit: Unit) -> tuple[str, ...]:
        if unit.schema.data_type is DataType.FUNDING_RATE:
            return ("calc_time", "last_funding_rate")
        volume = ("volume",) if unit.schema.data_type is DataType.KLINES else ()
        return ("open_time", *_PRICES, *volume)

    def write(
        self, unit: Unit, form: str, batches: Iterator[pa.RecordBatch], file: HashingFile
    ) -> None:
        first = _candles(next(batches))
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        stream: Any = file
        with pa.ipc.new_file(stream, first.schema, options=options) as writer:
            writer.write_batch(first)
            for batch in batches:
                writer.write_batch(_candles(batch))


def _candles(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The columns that Freqtrade reads: times in milliseconds, numbers as float64."""
    times, *numbers = batch.columns
    columns = {"date": pc.cast(times, _MILLISECONDS, safe=False)}
    floats = [pc.cast(each, pa.float64()) for each in numbers]
    if len(floats) == 1:
        return pa.record_batch({**columns, "funding_rate": floats[0]})
    if len(floats) == len(_PRICES):  # prices without volume
        floats.append(pa.repeat(pa.scalar(0.0), batch.num_rows))
    return pa.record_batch({**columns, **dict(zip((*_PRICES, "volume"), floats, strict=True))})


TARGETS = {"freqtrade": _Freqtrade(name="freqtrade", data_types=tuple(_KINDS))}
