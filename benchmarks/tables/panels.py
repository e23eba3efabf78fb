"""How long a panel takes: bars of an hour, funding and open interest of 400 symbols over a year.

That is 3.5 million bars, 0.4 million funding rates and 42 million rows of metrics. Each symbol has
a file of bars and one of metrics.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from crypto_lakehouse.core.archive import DataType, Market
from crypto_lakehouse.tables.files.parquet_options import FileLayout
from crypto_lakehouse.tables.files.partition_writer import WriterFactory
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.data_files import schema_for_writing
from crypto_lakehouse.tables.ingest.commits import TableChange, commit_change
from crypto_lakehouse.tables.lake.lake import Lake
from crypto_lakehouse.tables.schema.schemas import TableSchema, schema_for
from crypto_lakehouse.tables.schema.table_types import period_value

__all__ = ["run"]

_YEAR = date(2024, 1, 1)
_SECOND = 1_000_000
_BEGIN = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp()) * _SECOND
_SECONDS = 366 * 86_400

#: Seconds from row to row.
_STEPS = {DataType.KLINES: 3600, DataType.FUNDING_RATE: 8 * 3600, DataType.METRICS: 300}

_COLUMNS = {
    "close": "futures_um.klines.close",
    "rate": "futures_um.funding_rate.last_funding_rate",
    "settled": "futures_um.funding_rate.settled_at",
    "interest": "futures_um.metrics.sum_open_interest",
}


def run(root: Path, *, rounds: int, quick: bool) -> dict[str, object]:
    """Make the lake once; make panels, each in a process of its own; print what that took."""
    symbols = 20 if quick else 400
    folder = root / f"panels of {symbols}"
    if not (folder / "catalog.db").exists():
        _build(folder, [f"S{number:04}USDT" for number in range(symbols)])
    runs = [json.loads(subprocess.check_output([sys.executable, "-m", __name__, folder]))
            for _ in range(rounds)]  # fmt: skip
    seconds = [each["seconds"] for each in runs]
    cpu = statistics.median(each["cpu"] for each in runs)
    peak = max(each["peak_mb"] for each in runs)
    print(f"\na panel of {symbols} symbols, a year of 1h bars, funding and open interest")
    print(f"  {statistics.median(seconds):6.2f} s, {peak:,.0f} MB; {runs[0]['size']}")
    return {"seconds": seconds, "cpu": cpu, "peak_mb": peak}


def _build(folder: Path, symbols: list[str]) -> None:
    catalog = LakeCatalog(folder, create=True)
    for data_type in _STEPS:
        schema = schema_for(Market.FUTURES_UM, data_type)
        table = catalog.table_for(schema, exact=False)
        files = WriterFactory(table=table, layout=FileLayout(), stem="made", announce=_nothing)
        groups = [[each] for each in symbols] if "symbol" in schema.partition else [symbols]
        added = []
        for number, names in enumerate(groups):
            known: dict[str, Any] = {"interval": "1h", "symbol": names[0]}
            partition = tuple(
                known[each.column] if each.transform == "identity" else period_value(each, _YEAR)
                for each in schema.partitioning
            )
            writer = files.open(partition, number)
            for name in names:
                writer.write(_rows(schema, name, schema_for_writing(table)))
            added += writer.close()
        commit_change(table, TableChange(tuple(added), ()), commit="made", tool_version="benchmark")
    catalog.close()


def _nothing(_location: str) -> None:
    """Announce no file: nothing else writes here."""


def _rows(schema: TableSchema, symbol: str, columns: pa.Schema) -> pa.Table:
    """A year of one symbol: the times of its type, and random numbers."""
    step = _STEPS[schema.data_type]
    count = _SECONDS // step
    chance = np.random.default_rng(len(symbol) + count + int(symbol[1:5]))
    late = chance.integers(0, 3, count) * 1000 if schema.data_type is DataType.FUNDING_RATE else 0
    times = _BEGIN + np.arange(count) * step * _SECOND + late

    def values(column: pa.Field[Any]) -> Any:
        kind = column.type
        if pa.types.is_dictionary(kind) or pa.types.is_string(kind):
            text = {"symbol": symbol, "interval": "1h"}.get(column.name, f"{symbol}.zip")
            return pa.array([text] * count, pa.string()).cast(kind)
        if column.name == "close_time":
            return pa.array(times + step * _SECOND - 1000, pa.int64()).cast(kind)
        if pa.types.is_timestamp(kind):
            return pa.array(times, pa.int64()).cast(kind)
        if pa.types.is_floating(kind):
            return pa.array(np.round(100 + np.cumsum(chance.normal(0, 1, count)), 3), kind)
        return pa.array(np.full(count, 8), kind)

    return pa.Table.from_arrays([values(each) for each in columns], schema=columns)


def _one(folder: str) -> None:
    with Lake.open(folder) as lake:
        lake.scan("futures_um.klines", symbols="S0000USDT").polars().collect()  # what is imported
        begin, begun = time.perf_counter(), time.process_time()
        panel = lake.panel(_COLUMNS, every="1h", start="2024-01-01", end="2024-12-31")
        seconds, cpu = time.perf_counter() - begin, time.process_time() - begun
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak_mb": peak, "size": repr(panel)}))


if __name__ == "__main__":
    _one(sys.argv[1])
