"""Ingesting a tree into plain Parquet files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.dataset import dataset
from tests.tables.sample_data import changed_text, month_of, put
from tests.workflows.lakes import ROWS, ingested, tree


async def test_plain_parquet_instead(tmp_path: Path) -> None:
    tree(tmp_path)
    lake = tmp_path / "files"
    report = await ingested(tmp_path, format="parquet", lake=str(lake))
    assert (report.archives, report.rows) == (3, 72)
    assert len([*lake.rglob("*.parquet")]) == 3
    assert not (lake / "catalog.db").exists()
    again = await ingested(tmp_path, format="parquet", lake=str(lake))
    assert again.to_mapping()["totals"]["unchanged"] == 3


async def test_plain_parquet_is_read_as_the_documentation_says(tmp_path: Path) -> None:
    tree(tmp_path, 2)
    tree(tmp_path, 1, "ETHUSDT")
    await ingested(tmp_path, format="parquet", lake=str(tmp_path / "files"))
    table = str(tmp_path / "files" / "spot" / "klines")
    names = dict.fromkeys(["BTCUSDT"] * 48 + ["ETHUSDT"] * 24)
    readers: dict[str, Callable[[], Any]] = {
        "pandas and Arrow": lambda: pq.read_table(table, partitioning=None),
        "a dataset of Arrow": lambda: dataset(table).to_table(),
        "Polars": lambda: pl.read_parquet(table).to_arrow(),
        "lazy Polars": lambda: pl.scan_parquet(table).collect().to_arrow(),
        "DuckDB": lambda: duckdb.read_parquet(f"{table}/**/*.parquet").to_arrow_table(),
    }
    for name, read in readers.items():
        found = read()
        assert found.num_rows == 72, name
        assert dict.fromkeys(sorted(found["symbol"].to_pylist())) == names, name
    only = pq.read_table(table, partitioning=None, filters=[("symbol", "==", "ETHUSDT")])
    assert (only.num_rows, only.schema.field("symbol").type) == (24, pa.string())
    with pytest.raises(pa.ArrowTypeError, match="Unable to merge"):  # the page says so
        pq.read_table(table)


async def test_plain_parquet_tells_what_a_month_and_its_days_differ_in(tmp_path: Path) -> None:
    archives = tree(tmp_path)
    put(tmp_path, archives[0], changed_text(archives[0]))
    put(tmp_path, month_of(archives[0]))
    report = await ingested(tmp_path, format="parquet", lake=str(tmp_path / "files"))
    assert report.to_mapping()["totals"] == {
        "archives": 2, "rows": 744, "replaced": 0, "unchanged": 0, "covered": 2, "refused": 0,
        **ROWS, "rows_differing": 24,
    }  # fmt: skip
