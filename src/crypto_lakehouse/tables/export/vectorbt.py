"""Bars for vectorbt: a Parquet file for each symbol, which pandas reads with its index of times.

The columns have the names of `vectorbt.BinanceData`, so that `Data.from_data` of the frames has
`.get("Close")` and the accessor `.vbt.ohlcv`.
Source: vectorbt/data/custom.py of vectorbt 1.2.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from attrs import frozen

from crypto_lakehouse.core.data_types import DataType
from crypto_lakehouse.tables.export.files import HashingFile
from crypto_lakehouse.tables.export.plain import write_parquet
from crypto_lakehouse.tables.export.targets import Target
from crypto_lakehouse.tables.export.units import Unit

__all__ = ["TARGETS"]

_INDEX = "Open time"

_NAMES = {
    "open_time": _INDEX,
    "open": "Open",
    "high": "High",
    "low": "Low",
    "close": "Close",
    "volume": "Volume",
    "quote_volume": "Quote volume",
    "base_volume": "Base volume",
    "count": "Number of trades",
    "taker_buy_volume": "Taker base volume",
    "taker_buy_quote_volume": "Taker quote volume",
}


@frozen
class _Vectorbt(Target):
    def path(self, unit: Unit) -> str:
        """As `spot/klines/1h/BTCUSDT.parquet`."""
        schema = unit.schema
        return f"{schema.market}/{schema.data_type}/{unit.interval}/{unit.symbol}.parquet"

    def columns(self, unit: Unit) -> tuple[str, ...]:
        return tuple(name for name in _NAMES if name in unit.scan.columns)

    def write(
        self, unit: Unit, form: str, batches: Iterator[pa.RecordBatch], file: HashingFile
    ) -> None:
        write_parquet(map(_frame, batches), file)


def _frame(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The columns, renamed, with what pandas must know to make the times the index."""
    columns: dict[str, Any] = {_NAMES[name]: batch[name] for name in batch.schema.names}
    floats = {
        name: pc.cast(each, pa.float64()) if pa.types.is_decimal(each.type) else each
        for name, each in columns.items()
    }
    rows = pa.record_batch(floats)
    return rows.replace_schema_metadata({"pandas": json.dumps(_pandas(rows.schema))})


def _pandas(schema: pa.Schema) -> dict[str, Any]:
    """Source: the section `Pandas metadata` of pandas' developer guide."""
    kinds = {"timestamp[us, tz=UTC]": ("datetimetz", "datetime64[us]", {"timezone": "UTC"})}
    columns = []
    for each in schema:
        kind, numpy, more = kinds.get(str(each.type), (str(each.type), str(each.type), None))
        columns.append({
            "name": each.name, "field_name": each.name, "pandas_type": kind,
            "numpy_type": {"double": "float64"}.get(numpy, numpy), "metadata": more,
        })  # fmt: skip
    return {
        "index_columns": [_INDEX], "column_indexes": [], "columns": columns,
        "creator": {"library": "pyarrow", "version": pa.__version__}, "pandas_version": "2.2.0",
    }  # fmt: skip


_TYPES = (
    DataType.KLINES,
    DataType.MARK_PRICE_KLINES,
    DataType.INDEX_PRICE_KLINES,
    DataType.PREMIUM_INDEX_KLINES,
)

TARGETS = {"vectorbt": _Vectorbt(name="vectorbt", data_types=_TYPES)}
