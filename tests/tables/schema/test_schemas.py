"""The schemas: data that agree with the matrix, with the page of docs, and with themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.tables.sample_data import every_schema, matrix

from crypto_lakehouse.core.data_types import PUBLISHED_TYPES, DataType, Market, kind_of
from crypto_lakehouse.core.errors import MatrixError
from crypto_lakehouse.tables.schema.schema_docs import render_schemas
from crypto_lakehouse.tables.schema.schemas import TableSchema, load_schemas
from crypto_lakehouse.tables.schema.table_types import arrow_schema, iceberg_schema

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "matrix" / "schemas.json"

TABLES = pytest.mark.parametrize("schema", load_schemas().values(), ids=lambda schema: schema.name)


def test_every_row_of_the_matrix_has_a_table() -> None:
    rows = {(row.market, row.data_type) for row in matrix().rows}
    assert {(schema.market, schema.data_type) for schema in every_schema()} == rows
    assert {data_type for _, data_type in rows} == set(PUBLISHED_TYPES)


def test_what_only_recordings_have_has_a_table_wherever_there_is_a_stream() -> None:
    recorded = {key for key, schema in load_schemas().items() if schema.recorded}
    types = set(DataType) - set(PUBLISHED_TYPES)
    wanted = {(market, each) for market in Market for each in types if kind_of(market, each)}
    assert recorded == wanted | {(Market.SPOT, DataType.BOOK_TICKER)}
    for key in recorded:
        schema = load_schemas()[key]
        assert schema.columns[-1].name == "received_at"
        assert all(column.stored and column.streamed for column in schema.columns)


@pytest.mark.parametrize("schema", every_schema(), ids=lambda schema: schema.name)
def test_the_columns_are_those_of_the_matrix(schema: TableSchema) -> None:
    row = matrix().row(schema.market, schema.data_type)
    assert row is not None
    published = [column.published for column in schema.columns if not column.optional]
    assert set(published) <= set(row.columns)
    order = {name: place for place, name in enumerate(row.columns)}
    assert published == sorted(published, key=order.__getitem__)


@TABLES
def test_every_column_says_what_it_is(schema: TableSchema) -> None:
    for column in schema.columns:
        assert column.unit
        assert column.meaning
        assert column.source
    stored = {column.name for column in schema.stored}
    assert schema.time in stored | ({schema.time} if schema.derives_time else set())
    assert set(schema.key) <= stored | {schema.time}


@TABLES
@pytest.mark.parametrize("exact", [False, True])
def test_types_are_those_that_were_promised(schema: TableSchema, *, exact: bool) -> None:
    arrow = arrow_schema(iceberg_schema(schema, exact=exact))
    number = "decimal128(38, 18)" if exact else "double"
    instant = "timestamp[us, tz=UTC]"
    wanted = {"time": instant, "datetime": instant, "date": "date32[day]", "id": "int64",
              "count": "int64", "number": number, "flag": "bool"}  # fmt: skip
    for column in schema.stored:
        if column.kind != "text":
            assert str(arrow.field(column.name).type) == wanted[column.kind]
    assert str(arrow.field(schema.time).type) == "timestamp[us, tz=UTC]"
    assert {"symbol", "archive"} <= set(arrow.names)
    assert ("interval" in arrow.names) == schema.has_interval


def test_the_page_of_docs_is_what_the_data_say() -> None:
    written = (ROOT / "docs" / "schemas.md").read_text()
    assert written == render_schemas(), (
        "write it anew: python -m crypto_lakehouse.tables.schema.schema_docs"
    )


def _edit(change: Callable[[Any], object]) -> str:
    data = json.loads(SHIPPED.read_text())
    change(data["tables"])
    return json.dumps(data)


FAULTS: list[tuple[Callable[[Any], object], str]] = [
    (lambda tables: tables[0].update(time=7), r"\$.tables[0].time"),
    (lambda tables: tables[0]["columns"][1].update(kind="complex"), "no `complex`; "),
    (lambda tables: tables[0]["columns"][1].update(kind=["time"]), "[0].columns[1].kind"),
    (lambda tables: tables[0]["columns"][1].update(constant="interval"), "no `interval`; "),
    (lambda tables: tables[0]["columns"][1].update(constant=None, nullable="x"), "nullable"),
    (lambda tables: tables[0]["columns"].append(tables[0]["columns"][0]), "is given twice"),
    (lambda tables: tables[0].update(partition=["week(open_time)"]), "is not a column, year"),
    (lambda tables: tables[0].update(partition=["colour"]), "has no column `colour`"),
    (lambda tables: tables[0].update(key=["colour"]), "has no column `colour`"),
    (lambda tables: tables[0].update(color="red"), "color"),
    (lambda tables: tables[0].pop("columns"), "columns"),
]


@pytest.mark.parametrize(("change", "words"), FAULTS, ids=range(len(FAULTS)))
def test_faults_of_a_file_are_named(
    change: Callable[[Any], object], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "schemas.json"
    path.write_text(_edit(change))
    with pytest.raises(MatrixError) as refused:
        load_schemas(path)
    assert words.replace("\\", "") in str(refused.value)
    assert str(path) in str(refused.value)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    def change(tables: Any) -> None:
        tables[0].update(key=["colour"], partition=["sound"])
        tables[1].update(time=3)

    path = tmp_path / "schemas.json"
    path.write_text(_edit(change))
    with pytest.raises(MatrixError) as refused:
        load_schemas(path)
    for words in ("colour", "sound", "$.tables[1].time"):
        assert words in str(refused.value)


@pytest.mark.parametrize("content", ["", "[]", '{"format": "crypto-lakehouse/schemas/9"}', "null"])
def test_what_is_no_file_of_schemas_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "schemas.json"
    path.write_text(content)
    with pytest.raises(MatrixError):
        load_schemas(path)
