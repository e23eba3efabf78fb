"""All 27 tables: what is in the CSV is in the frame, in the table, and nothing else."""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.tables.sample_data import archive_of, every_schema, ingest, put, row_of, text_of

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.ingest.ingestion import IngestSettings
from crypto_lakehouse.tables.lake.lake import Lake
from crypto_lakehouse.tables.quality.inspector import Inspector
from crypto_lakehouse.tables.quality.known_row_holes import load_known_row_holes
from crypto_lakehouse.tables.reading.batch import Batch
from crypto_lakehouse.tables.reading.reader import read_batches
from crypto_lakehouse.tables.schema.schemas import Column, TableSchema, schema_of

ALL = pytest.mark.parametrize("schema", every_schema(), ids=lambda schema: schema.name)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def plain(text: str, column: Column, unit: str, *, exact: bool) -> Any:
    """A field as Python reads it."""
    if not text and column.nullable:
        return None
    match column.kind:
        case "time":
            return EPOCH + timedelta(microseconds=int(text) * (1000 if unit == "ms" else 1))
        case "datetime":
            return datetime.fromisoformat(text).replace(tzinfo=UTC)
        case "date":
            return date.fromisoformat(text)
        case "id" | "count":
            return int(text)
        case "number":
            return Decimal(text) if exact else float(text)
        case "flag":
            return text.lower() == "true"
        case _:
            return text


def rows_of(archive: Archive, schema: TableSchema, *, exact: bool) -> list[dict[str, Any]]:
    """The stored columns of an archive's rows, read by the standard library."""
    lines = list(csv.reader(text_of(archive).splitlines()))
    usual = [column for column in schema.columns if not column.optional]
    if lines[0] == [column.published for column in usual]:
        del lines[0]
    unit = row_of(schema).time_unit(archive.period.first_day)
    return [
        {
            column.name: plain(text, column, unit, exact=exact)
            for column, text in zip(usual, line, strict=True)
            if column.stored
        }
        for line in lines
    ]


def read(schema: TableSchema, root: Path, archive: Archive, *, exact: bool) -> list[dict[str, Any]]:
    names = [column.name for column in schema.stored]
    rows: list[dict[str, Any]] = []
    for batch in read_batches([put(root, archive)], schema, exact=exact):
        assert isinstance(batch, Batch)
        rows += batch.frame.select(names).to_dicts()
    return rows


@ALL
@pytest.mark.parametrize("exact", [False, True], ids=["float", "exact"])
def test_each_field_is_read_as_it_stands(schema: TableSchema, exact: bool, tmp_path: Path) -> None:
    archive = archive_of(schema)
    wanted = rows_of(archive, schema, exact=exact)
    found = [
        {name: value for name, value in row.items() if name in wanted[0]}
        for row in read(schema, tmp_path, archive, exact=exact)
    ]
    assert found == wanted


@pytest.mark.parametrize("day", [date(2024, 12, 31), date(2025, 1, 1)], ids=["ms", "us"])
def test_spot_changed_its_unit(day: date, tmp_path: Path) -> None:
    for schema in (each for each in every_schema() if each.market == "spot"):
        archive = archive_of(schema, day)
        assert read(schema, tmp_path, archive, exact=False) == rows_of(archive, schema, exact=False)


@ALL
def test_made_up_archives_are_sound(schema: TableSchema, tmp_path: Path) -> None:
    archive = archive_of(schema)
    inspector = Inspector(schema, {}, load_known_row_holes())
    for batch in read_batches([put(tmp_path, archive)], schema):
        assert isinstance(batch, Batch)
        (quality,) = inspector.check(batch).qualities
    # Of a volatility there is a value a minute here, and one a second in the archive.
    expected = {"continuity", "coverage"} if schema.data_type == "BVOLIndex" else {"blanks"}
    assert {finding.check for finding in quality.findings} <= {*expected, "order"}
    assert quality.rows == len(rows_of(archive, schema, exact=False))
    assert quality.first_at is not None
    assert quality.first_at.date() == archive.period.first_day


def test_all_types_go_into_one_lake_and_come_back(tmp_path: Path) -> None:
    archives = [archive_of(schema) for schema in every_schema()]
    catalog = LakeCatalog(tmp_path / "lake", create=True)
    told = ingest(
        catalog, (put(tmp_path, archive) for archive in archives), IngestSettings(workers=2)
    )
    assert {each.state for each in told} == {"ingested"}
    with Lake(catalog) as lake:
        assert len(lake.tables) == 28
        for archive in archives:
            schema = schema_of(archive)
            wanted = rows_of(archive, schema, exact=False)
            found = lake.scan(schema.name, columns=[*wanted[0], "symbol", "archive"])
            frame = found.polars().collect()
            assert set(frame["symbol"]) == {archive.symbol}
            assert set(frame["archive"]) == {archive.key}
            rows = frame.drop("symbol", "archive").to_dicts()
            assert sorted(rows, key=repr) == sorted(wanted, key=repr)
        noted = lake.sql("FROM lakehouse.archives").to_arrow_table().to_pylist()
    by_key = {row["archive"]: row for row in noted}
    for archive in archives:
        schema, noted_row = schema_of(archive), by_key[archive.key]
        assert noted_row["table"] == schema.name
        assert noted_row["rows"] == len(rows_of(archive, schema, exact=False))
        row = row_of(schema)
        assert noted_row["header"] == row.has_header(archive.period.last_day)
        has_epoch = any(column.kind == "time" for column in schema.columns)
        unit = row.time_unit(archive.period.first_day) if has_epoch else "text"
        assert noted_row["time_unit"] == unit
        assert noted_row["columns"].split(",") == [
            column.published for column in schema.columns if not column.optional
        ]
