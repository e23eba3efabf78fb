"""CSV and Parquet files: all columns, as the tables have them, a year or a month in each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from attrs import frozen

from crypto_lakehouse.tables.export.files import HashingFile
from crypto_lakehouse.tables.export.targets import Target
from crypto_lakehouse.tables.export.units import Unit

__all__ = ["TARGETS", "write_parquet"]


@frozen
class _Plain(Target):
    """Files in folders of market, data type, symbol and interval."""

    def path(self, unit: Unit) -> str:
        """As `spot/klines/BTCUSDT/1h/BTCUSDT-1h-2024.csv`."""
        what = unit.interval or str(unit.schema.data_type)
        folders = [str(unit.schema.market), str(unit.schema.data_type), unit.symbol]
        folders += [unit.interval] if unit.interval else []
        return "/".join((*folders, f"{unit.symbol}-{what}-{unit.period}.{self.name}"))

    def columns(self, unit: Unit) -> tuple[str, ...]:
        return unit.scan.columns

    def write(
        self, unit: Unit, form: str, batches: Iterator[pa.RecordBatch], file: HashingFile
    ) -> None:
        if self.name == "csv":
            _write_csv(batches, file)
        else:
            write_parquet(batches, file)


def _write_csv(batches: Iterator[pa.RecordBatch], file: HashingFile) -> None:
    first = next(batches)
    options = pa_csv.WriteOptions(quoting_style="needed")
    stream: Any = file
    with pa_csv.CSVWriter(stream, first.schema, write_options=options) as writer:
        writer.write_batch(first)
        for batch in batches:
            writer.write_batch(batch)


def write_parquet(batches: Iterator[pa.RecordBatch], file: HashingFile) -> None:
    """Write a Parquet file with a row group for each batch, of which there must be one."""
    first = next(batches)
    texts = [each.name for each in first.schema if pa.types.is_string(each.type)]
    stream: Any = file
    options: dict[str, Any] = {"compression": "zstd", "use_dictionary": texts}
    with pq.ParquetWriter(stream, first.schema, **options) as writer:
        writer.write_batch(first)
        for batch in batches:
            writer.write_batch(batch)


TARGETS = {name: _Plain(name=name, by_period=True) for name in ("csv", "parquet")}
