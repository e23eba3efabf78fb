"""Columns are compressed where that makes them smaller, and no value changes by it."""

from __future__ import annotations

import io
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crypto_lakehouse.tables.files.parquet_options import FileLayout, parquet_options


def rows(count: int) -> pa.Table:
    chance = random.Random(1)
    return pa.table(
        {
            "id": pa.array(range(count), pa.int64()),
            "price": [20_000 + chance.randrange(100) / 100 for _ in range(count)],
            "volume": [chance.random() for _ in range(count)],
            "symbol": pa.array(["BTCUSDT"] * count).dictionary_encode(),
        }
    )


def codecs(table: pa.Table, sample: pa.Table | None, codec: str) -> dict[str, str]:
    file = io.BytesIO()
    options = parquet_options(table.schema, FileLayout(compression=codec), sample)
    pq.write_table(table, file, **options)
    read = pq.read_table(io.BytesIO(file.getvalue()), read_dictionary=["symbol"])
    assert read.to_pydict() == table.to_pydict()
    group = pq.read_metadata(io.BytesIO(file.getvalue())).row_group(0)
    columns = (group.column(place) for place in range(group.num_columns))
    return {column.path_in_schema: column.compression for column in columns}


@pytest.mark.parametrize(
    ("codec", "name"), [("lz4", "LZ4"), ("zstd", "ZSTD"), ("snappy", "SNAPPY")]
)
def test_what_does_not_get_smaller_is_left_alone(codec: str, name: str) -> None:
    table = rows(20_000)
    assert codecs(table, table, codec) == {
        "id": "UNCOMPRESSED",
        "price": name,
        "volume": "UNCOMPRESSED",
        "symbol": name,
    }


def test_without_a_sample_all_is_compressed() -> None:
    table = rows(2000)
    assert set(codecs(table, None, "lz4").values()) == {"LZ4"}
    assert set(codecs(table, rows(100), "lz4").values()) == {"LZ4"}
    assert set(codecs(table, table, "none").values()) == {"UNCOMPRESSED"}
