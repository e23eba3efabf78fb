"""Every type of a query's result in every format: the right value, or a word on what to cast."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from crypto_lakehouse.cli.query_output import write_rows
from crypto_lakehouse.core.errors import QueryError
from crypto_lakehouse.tables.lake.connection import open_connection

HUGE, UHUGE = 2**127 - 1, 2**128 - 1

#: Expressions, the text in tables and CSV, and the value in JSON.
VALUES: list[tuple[str, str, Any]] = [
    ("true", "true", True),
    ("(-128)::TINYINT", "-128", -128),
    ("255::UTINYINT", "255", 255),
    ("(-32768)::SMALLINT", "-32768", -32768),
    ("65535::USMALLINT", "65535", 65535),
    ("(-2147483648)::INTEGER", "-2147483648", -(2**31)),
    ("4294967295::UINTEGER", "4294967295", 2**32 - 1),
    ("(-9223372036854775808)::BIGINT", str(-(2**63)), -(2**63)),
    ("18446744073709551615::UBIGINT", str(2**64 - 1), 2**64 - 1),
    ("(SELECT sum(i) FROM range(5) t(i))", "10", 10),
    (f"{HUGE}::HUGEINT", str(HUGE), HUGE),
    (f"(-{HUGE}::HUGEINT - 1)", str(-HUGE - 1), -HUGE - 1),
    ("5::UHUGEINT", "5", 5),
    (f"'{UHUGE}'::UHUGEINT", str(UHUGE), UHUGE),
    ("NULL::HUGEINT", "", None),
    ("'123456789012345678901234567890123456789012'::BIGNUM",
     "123456789012345678901234567890123456789012", "123456789012345678901234567890123456789012"),
    ("0.1::FLOAT", "0.1", 0.10000000149011612),
    ("1e-17::DOUBLE", "1e-17", 1e-17),
    ("'nan'::DOUBLE", "nan", "NaN"),
    ("'inf'::DOUBLE", "inf", "Infinity"),
    ("'-inf'::FLOAT", "-inf", "-Infinity"),
    ("0.1::DECIMAL(38, 18)", "0.100000000000000000", "0.100000000000000000"),
    ("0::DECIMAL(38, 18)", "0.000000000000000000", "0.000000000000000000"),
    ("1e-18::DECIMAL(38, 18)", "0.000000000000000001", "0.000000000000000001"),
    ("'a\"b, c'", 'a"b, c', 'a"b, c'),
    ("''", "", ""),
    ("NULL", "", None),
    ("'\\xAA\\x00b'::BLOB", "\\xAA\\x00b", "\\xAA\\x00b"),
    ("'0101'::BIT", "0101", "0101"),
    ("'6b2f9a0c-1111-4222-8333-944455556666'::UUID", "6b2f9a0c-1111-4222-8333-944455556666",
     "6b2f9a0c-1111-4222-8333-944455556666"),
    ("'b'::ENUM('a', 'b')", "b", "b"),
    ("'{\"a\": 1}'::JSON", '{"a": 1}', '{"a": 1}'),
    ("5::VARIANT", "5", "5"),
    ("'POINT(1 2)'::GEOMETRY", "POINT (1 2)", "POINT (1 2)"),
    ("DATE '2024-01-02'", "2024-01-02", "2024-01-02"),
    ("TIME '12:34:56.789'", "12:34:56.789", "12:34:56.789"),
    ("TIME '24:00:00'", "24:00:00", "24:00:00"),
    ("'12:34:56.123456789'::TIME_NS", "12:34:56.123456789", "12:34:56.123456789"),
    ("'12:34:56+02'::TIMETZ", "12:34:56+02", "12:34:56+02"),
    ("'2024-01-02 03:04:05.678901234'::TIMESTAMP_NS", "2024-01-02 03:04:05.678901234",
     "2024-01-02T03:04:05.678901234"),
    ("INTERVAL '14 months 3 days 04:05:06.789'", "1 year 2 months 3 days 04:05:06.789",
     "1 year 2 months 3 days 04:05:06.789"),
    ("[1, 2, NULL]", "[1, 2, NULL]", [1, 2, None]),
    ("[]", "[]", []),
    ("[1, 2]::INTEGER[2]", "[1, 2]", [1, 2]),
    ("[INTERVAL 1 HOUR]::INTERVAL[1]", "['01:00:00']", ["01:00:00"]),
    ("['nan'::DOUBLE]", "[nan]", ["NaN"]),
    ("[TIME '24:00:00']", "['24:00:00']", ["24:00:00"]),
    ("['\\xAA'::BLOB]", "['\\\\xAA']", ["\\xAA"]),
    ("{'x': 1, 'y': [1.5::DOUBLE]}", "{'x': 1, 'y': [1.5]}", {"x": 1, "y": [1.5]}),
    ("""{'a "b" c': INTERVAL 1 HOUR, 'd': {'e': ['1'::BIT]}}""",
     """{'a "b" c': '01:00:00', 'd': {'e': [1]}}""", {'a "b" c': "01:00:00", "d": {"e": ["1"]}}),
    ("row(1, 'x')", "(1, x)", "(1, x)"),
    ("MAP {'a': 1, 'b': 2}", "{a=1, b=2}", {"a": 1, "b": 2}),
    ("MAP {1: INTERVAL 1 DAY}", "{1=1 day}", {"1": "1 day"}),
    ("union_value(num := 2)::UNION(num INTEGER, str VARCHAR)", "2", "2"),
]  # fmt: skip

#: Expressions of types that Parquet does not have.
NOT_IN_PARQUET = {
    "'123456789012345678901234567890123456789012'::BIGNUM",
    "'0101'::BIT",
    "5::VARIANT",
    "'POINT(1 2)'::GEOMETRY",
    "'12:34:56+02'::TIMETZ",
    "INTERVAL '14 months 3 days 04:05:06.789'",
    "[INTERVAL 1 HOUR]::INTERVAL[1]",
    """{'a "b" c': INTERVAL 1 HOUR, 'd': {'e': ['1'::BIT]}}""",
    "row(1, 'x')",
    "MAP {1: INTERVAL 1 DAY}",
    "union_value(num := 2)::UNION(num INTEGER, str VARCHAR)",
}

IDS = [text[:40] for text, _, _ in VALUES]


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with open_connection() as connection:
        yield connection


def written(connection: duckdb.DuckDBPyConnection, sql: str, form: str, path: Path) -> Path:
    """A result in a file; a second column has the name of the first."""
    write_rows(connection.sql(sql), form, str(path))
    return path


@pytest.mark.parametrize(("value", "text", "_json"), VALUES, ids=IDS)
def test_csv_has_the_value(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, value: str, text: str, _json: Any
) -> None:
    sql = f"SELECT {value} AS v, {value} AS v, 7 AS w"
    rows = [*csv.reader(io.StringIO(written(connection, sql, "csv", tmp_path / "x").read_text()))]
    if "DECIMAL" in value:  # small ones have an exponent
        rows[1] = [f"{Decimal(each):f}" for each in rows[1]]
    assert rows == [["v", "v", "w"], [text, text, "7"]]


@pytest.mark.parametrize(("value", "text", "_json"), VALUES, ids=IDS)
def test_a_table_has_the_value(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, value: str, text: str, _json: Any
) -> None:
    sql = f"SELECT {value} AS v, 'and' AS w"
    row = written(connection, sql, "table", tmp_path / "x").read_text().splitlines()[1]
    shown = row.removesuffix("and").strip()
    assert shown == (text.capitalize() if value == "true" else text)


@pytest.mark.parametrize(("value", "_text", "wanted"), VALUES, ids=IDS)
def test_json_has_the_value(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, value: str, _text: str, wanted: Any
) -> None:
    sql = f"SELECT {value} AS v, {value} AS v, 7 AS w"
    text = written(connection, sql, "json", tmp_path / "x").read_text()
    assert json.loads(text) == {"v": wanted, "v_2": wanted, "w": 7}


@pytest.mark.parametrize("value", [value for value, _, _ in VALUES], ids=IDS)
def test_parquet_has_the_value_or_says_what_to_cast(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, value: str
) -> None:
    sql = f"SELECT {value} AS v"
    path = tmp_path / "x"
    too_large = str(UHUGE) in value or str(HUGE) in value
    if value in NOT_IN_PARQUET or too_large:
        words = "DECIMAL" if too_large else "has no type for `v`.*; cast it to VARCHAR"
        with pytest.raises(QueryError, match=words):
            written(connection, sql, "parquet", path)
        assert list(tmp_path.iterdir()) == []
        cast = f"SELECT CAST({value} AS VARCHAR) AS v"
        path = written(connection, cast, "parquet", path)
        sql = cast
    else:
        written(connection, sql, "parquet", path)
    read = connection.read_parquet(str(path))
    same = read.project("CAST(v AS VARCHAR) v").fetchall()
    assert same == connection.sql(sql).project("CAST(v AS VARCHAR) v").fetchall()


@pytest.mark.parametrize("form", ["table", "csv", "json", "parquet"])
@pytest.mark.parametrize(
    "kind", ["DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMPTZ"]
)
def test_an_infinity_in_time_is_an_error(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, form: str, kind: str
) -> None:
    rows = f"SELECT unnest([NULL, '2024-01-01', '-infinity'])::{kind} AS \"it's\""
    with pytest.raises(QueryError, match=r"`it's` has an infinity, .*; cast it to VARCHAR"):
        written(connection, rows, form, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []
    written(connection, f"FROM ({rows}) LIMIT 2", form, tmp_path / "x")


@pytest.mark.parametrize(
    "kind", ["DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMPTZ"]
)
def test_a_year_that_has_not_four_digits_is_an_error(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, kind: str
) -> None:
    for form in ("table", "vertical", "csv", "json"):
        for day in ("290000-01-01", "10000-01-01", "0001-12-31 (BC)"):
            days = f"SELECT unnest([NULL, '0001-01-01', '9999-12-31', '{day}'])::{kind} AS \"it's\""
            with pytest.raises(QueryError, match=r"`it's` has a year .*; cast it to VARCHAR"):
                written(connection, days, form, tmp_path / "x")
            assert list(tmp_path.iterdir()) == []
        four_digits = written(connection, f"FROM ({days}) LIMIT 3", form, tmp_path / "x")
        assert "9999-12-31" in four_digits.read_text()
        four_digits.unlink()


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_a_list_of_very_many_levels_is_an_error(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, form: str
) -> None:
    deep = f"SELECT {'[' * 500}1{']' * 500} AS deep"
    with pytest.raises(QueryError, match=r"too many levels .*; cast it to VARCHAR"):
        written(connection, deep, form, tmp_path / "x")
