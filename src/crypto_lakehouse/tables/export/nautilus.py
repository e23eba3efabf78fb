"""Bars and trades for NautilusTrader: the files of its `ParquetDataCatalog`.

The catalog takes prices and quantities as whole numbers of 16 bytes, with 16 decimal places, and
the engine refuses bars and trades whose precision is not that of the instrument. So the precision
is measured: the least number of decimal places that all prices, or quantities, of an instrument
have.
Source: nautilus_trader/persistence/catalog/parquet.py and backtest/engine.pyx of 1.221 and 1.231.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, cast

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from attrs import frozen

from crypto_lakehouse.core.data_types import DataType, Market
from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.tables.export.files import HashingFile
from crypto_lakehouse.tables.export.plain import write_parquet
from crypto_lakehouse.tables.export.targets import Target
from crypto_lakehouse.tables.export.units import Unit

__all__ = ["TARGETS", "step_of"]

_UNITS = {"s": "SECOND", "m": "MINUTE", "h": "HOUR", "d": "DAY", "w": "WEEK", "mo": "MONTH"}

#: The exchange publishes no more decimal places.
_MOST_DECIMALS = 8

#: Decimal places and bytes of a number in a file.
_SCALE, _BYTES = 16, 16

#: The largest numbers that the catalog takes.
_LARGEST = {"price": 17_014_118_346_046, "size": 34_028_236_692_093}

_BARS = {"open": "price", "high": "price", "low": "price", "close": "price", "volume": "size"}
_TRADES = {"price": "price", "qty": "size"}


@frozen
class _Nautilus(Target):
    """Bars have the time of their end, at which they are known."""

    def path(self, unit: Unit) -> str:
        """As `data/bar/BTCUSDT.BINANCE-1-HOUR-LAST-EXTERNAL/FIRST_LAST.parquet`."""
        first, last = (_file_time(_known_at(unit, time)) for time in unit.first_and_last())
        kind, name = ("trade_tick", _instrument(unit))
        if unit.interval:
            kind, name = "bar", _bar_type(unit)
        return f"data/{kind}/{name}/{first}_{last}.parquet"

    def columns(self, unit: Unit) -> tuple[str, ...]:
        if unit.interval:
            return ("open_time", *_BARS)
        return (unit.scan.time_column, "id", *_TRADES, "is_buyer_maker")

    def measure(self, unit: Unit, batches: Iterable[pa.RecordBatch]) -> str:
        """The decimal places of prices and of quantities, as `2,5`."""
        found = {"price": 0, "size": 0}
        for batch in batches:
            for name, kind in _numbers(unit).items():
                found[kind] = _decimals(batch[name], found[kind])
        return f"{found['price']},{found['size']}"

    def forms(self, measured: Mapping[str, str], units: Iterable[Unit]) -> dict[str, str]:
        """The precision of each instrument, for each of its units."""
        by_instrument: dict[str, list[tuple[int, ...]]] = defaultdict(list)
        units = [*units]
        for unit in units:
            places = tuple(map(int, measured[unit.name].split(",")))
            by_instrument[_instrument(unit)].append(places)
        most = {
            name: ",".join(str(max(places)) for places in zip(*found, strict=True))
            for name, found in by_instrument.items()
        }
        return {unit.name: most[_instrument(unit)] for unit in units}

    def write(
        self, unit: Unit, form: str, batches: Iterator[pa.RecordBatch], file: HashingFile
    ) -> None:
        price, size = form.split(",")
        known = {"instrument_id": _instrument(unit)}
        known |= {"bar_type": _bar_type(unit)} if unit.interval else {}
        known |= {"price_precision": price, "size_precision": size}
        places = {"price": int(price), "size": int(size)}
        made = (_rows(unit, batch, places) for batch in batches)
        write_parquet((each.replace_schema_metadata(known) for each in made), file)


def _numbers(unit: Unit) -> dict[str, str]:
    return _BARS if unit.interval else _TRADES


def _instrument(unit: Unit) -> str:
    """As the adapter for Binance names it: `BTCUSDT`, `BTCUSDT-PERP`, `BTCUSD-PERP`."""
    symbol = unit.symbol.removesuffix("_PERP")
    is_future = unit.schema.market in (Market.FUTURES_UM, Market.FUTURES_CM)
    is_perpetual = is_future and "_" not in symbol
    return f"{symbol}{'-PERP' if is_perpetual else ''}.BINANCE"


def _bar_type(unit: Unit) -> str:
    return f"{_instrument(unit)}-{step_of(str(unit.interval))}-LAST-EXTERNAL"


def step_of(interval: str) -> str:
    """The step and the unit of bars, as the catalog names them.

    Examples:
        >>> step_of("15m"), step_of("1mo")
        ('15-MINUTE', '1-MONTH')
    """
    letters = interval.lstrip("0123456789")
    return f"{interval.removesuffix(letters)}-{_UNITS[letters]}"


def _known_at(unit: Unit, time: datetime) -> datetime:
    if not unit.interval:
        return time
    moment = pl.Series([time], dtype=pl.Datetime("us", "UTC")).dt.offset_by(unit.interval)
    return cast("datetime", moment.item())


def _file_time(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H-%M-%S}-{time.microsecond:06}000Z"


def _decimals(values: Any, least: int) -> int:
    """The least number of decimal places, from `least` on, that all values have."""
    floats = pc.cast(values, pa.float64())
    for places in range(least, _MOST_DECIMALS):
        factor = 10.0**places
        # Not by Polars, which multiplies by the reciprocal instead of dividing.
        rounded = pc.divide(pc.round(pc.multiply(floats, factor)), factor)
        if pc.all(pc.equal(rounded, floats)).as_py():
            return places
    return _MOST_DECIMALS


def _rows(unit: Unit, batch: pa.RecordBatch, places: Mapping[str, int]) -> pa.RecordBatch:
    """Rows as the catalog takes them."""
    fixed = {
        name: _fixed(unit, batch[name], kind, places[kind]) for name, kind in _numbers(unit).items()
    }
    times = pl.Series(batch.column(0))
    if unit.interval:
        times = times.dt.offset_by(unit.interval)
        columns: dict[str, Any] = fixed
    else:
        columns = {
            "price": fixed["price"],
            "size": fixed["qty"],
            # The aggressor is the buyer, 1, or the seller, 2.
            "aggressor_side": (pl.Series(batch["is_buyer_maker"]).cast(pl.UInt8) + 1).to_arrow(),
            "trade_id": pc.cast(batch["id"], pa.string()),
        }
    known_at = times.dt.epoch("ns").cast(pl.UInt64).to_arrow()
    columns = {**columns, "ts_event": known_at, "ts_init": known_at}
    fields = [pa.field(name, each.type, nullable=False) for name, each in columns.items()]
    return pa.record_batch([*columns.values()], schema=pa.schema(fields))


def _fixed(unit: Unit, column: Any, kind: str, places: int) -> Any:
    """Numbers as whole ones of 16 bytes, which is how Arrow stores decimals.

    Raises:
        LakeError: One is larger than the catalog takes.
    """
    floats = pc.cast(column, pa.float64())
    if (largest := pc.max(floats).as_py() or 0) > _LARGEST[kind]:
        reason = (
            f"`{unit.name}` has a {kind} of {largest:,.0f}, and NautilusTrader takes none above"
        )
        raise LakeError(unit.schema.name, f"{reason} {_LARGEST[kind]:,}; leave the series out")
    rounded = pc.cast(floats, pa.decimal128(38, places))
    decimals = pc.cast(rounded, pa.decimal128(38, _SCALE))
    kept = [None, decimals.buffers()[1]]
    return pa.Array.from_buffers(pa.binary(_BYTES), len(decimals), kept, offset=decimals.offset)


TARGETS = {
    "nautilus": _Nautilus(
        name="nautilus", data_types=(DataType.KLINES, DataType.TRADES), by_period=True
    )
}
