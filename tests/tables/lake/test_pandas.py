"""Scans as frames of pandas: the same values, and types that do not depend on the rows."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from tests.tables.sample_data import archive_of, ingest, put

from crypto_lakehouse.core.archive import DataType, Market
from crypto_lakehouse.core.errors import ExtraMissing
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.ingest.ingestion import IngestSettings
from crypto_lakehouse.tables.lake.pandas_frames import pandas_frame
from crypto_lakehouse.tables.schema.schemas import schema_for

SCHEMAS = (
    schema_for(Market.SPOT, DataType.KLINES),
    schema_for(Market.FUTURES_UM, DataType.METRICS),
    schema_for(Market.OPTIONS, DataType.EOH_SUMMARY),
)
WHOLE = 2**53 + 1  # no float64


@pytest.mark.parametrize("exact", [False, True])
def test_a_frame_has_every_value_and_the_types_of_the_table(tmp_path: Path, exact: bool) -> None:
    catalog = LakeCatalog(tmp_path / "lake", create=True)
    sources = [put(tmp_path, archive_of(schema)) for schema in SCHEMAS]
    ingest(catalog, sources, IngestSettings(exact=exact))
    catalog.close()
    with Lake.open(tmp_path / "lake") as lake:
        for schema in SCHEMAS:
            scan = lake.scan(schema.name)
            frame, wanted = scan.pandas(), scan.polars().collect()
            assert list(frame.columns) == list(scan.columns) == wanted.columns
            for name in frame:
                values = [None if pd.isna(each) else each for each in frame[name]]
                assert values == wanted[name].to_list(), name
            none = lake.scan(schema.name, start="1990-01-01", end="1990-01-02").pandas()
            assert len(none) == 0
            assert none.dtypes.to_dict() == frame.dtypes.to_dict()
        types = lake.scan("spot.klines").pandas().dtypes.astype(str)
    number = "decimal128(38, 18)[pyarrow]" if exact else "float64"
    assert types[["open_time", "close", "count", "symbol"]].tolist() == [
        "datetime64[us, UTC]", number, "int64", "str",
    ]  # fmt: skip


def test_null_does_not_change_a_type() -> None:
    fields: list[pa.Field[Any]] = [pa.field("id", pa.int64()), pa.field("flag", pa.bool_()),
              pa.field("price", pa.decimal128(38, 18))]  # fmt: skip
    schema = pa.schema(fields)
    rows = pa.table([[WHOLE, None], [True, None], [Decimal("0.1"), None]], schema=schema)
    for each in (rows, rows.slice(0, 1), rows.slice(0, 0)):
        frame = pandas_frame(each, schema)
        assert frame.dtypes.astype(str).tolist()[:2] == ["Int64", "boolean"]
        assert [*frame["id"].dropna()] == [WHOLE][: len(each)]
        assert [*frame["price"].dropna()] == [Decimal("0.1")][: len(each)]
    strict = pa.schema([each.with_nullable(nullable=False) for each in fields[:2]])
    frame = pandas_frame(rows.select(["id", "flag"]).slice(0, 1).cast(strict), strict)
    assert frame.dtypes.astype(str).tolist() == ["int64", "bool"]


def test_without_pandas_the_extra_is_named_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = LakeCatalog(tmp_path / "lake", create=True)
    ingest(catalog, [put(tmp_path, archive_of(SCHEMAS[0]))])
    catalog.close()
    monkeypatch.setitem(sys.modules, "pandas", None)
    with Lake.open(tmp_path / "lake") as lake:
        scan = lake.scan("spot.klines")
        with pytest.raises(ExtraMissing, match=r"pip install 'crypto-lakehouse\[pandas\]'"):
            scan.pandas()
        assert isinstance(scan.polars().collect(), pl.DataFrame)
