"""CSV for spreadsheet programs, which take some texts for formulas."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import duckdb
import pytest
from tests.cli.conftest import Shell
from tests.tables.sample_data import bars, put

from crypto_lakehouse.cli.query_output import write_rows
from crypto_lakehouse.tables.lake.connection import open_connection

#: Texts that begin like formulas, by OWASP's list and its full-width forms.
FORMULAS = [
    "=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "\0=1", "=", "-", "\uff1d1", "\uff0b1",
    "\uff0d1", "\uff201", '=a,b"c\nd',
]  # fmt: skip

HARMLESS = ["", "BTCUSDT", "'=1", " =1", "1-2", "a=b", "\u22121", "2024-01-01", "\u5e01\u5b89"]

#: Values that are no texts, and stay.
NUMBERS = [
    "-1::TINYINT", "-1", "-1::BIGINT", "-5::HUGEINT", "5::UHUGEINT", "-7::BIGNUM", "-0.5::FLOAT",
    "-1e-7::DOUBLE", "'-inf'::DOUBLE", "-1.50::DECIMAL(9,2)", "true", "DATE '2024-01-01'",
    "TIMESTAMP '1900-01-01'", "TIMESTAMP_NS '2024-01-01 00:00:00.123456789'", "NULL",
    "NULL::VARCHAR",
]  # fmt: skip


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with open_connection() as connection:
        yield connection


def read_back(
    connection: duckdb.DuckDBPyConnection, sql: str, path: Path, *values: str, escape: bool
) -> list[list[str]]:
    """The header and rows of a result in a CSV file."""
    relation = connection.sql(sql, params=list(values) or None)
    write_rows(relation, "csv", str(path), escape_formulas=escape)
    with path.open(newline="", encoding="utf-8") as file:
        return [*csv.reader(file)]


@pytest.mark.parametrize("escape", [False, True])
@pytest.mark.parametrize("text", [*FORMULAS, *HARMLESS], ids=ascii)
def test_a_text_that_begins_like_a_formula_gets_an_apostrophe_if_asked(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, text: str, escape: bool
) -> None:
    rows = read_back(connection, "SELECT ? AS t, -1 AS n", tmp_path / "x.csv", text, escape=escape)
    expected = f"'{text}" if escape and text in FORMULAS else text
    assert rows == [["t", "n"], [expected, "-1"]]


@pytest.mark.parametrize("value", NUMBERS)
def test_what_is_not_text_stays(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, value: str
) -> None:
    sql = f"SELECT {value} AS v, {value} AS v"
    kept = read_back(connection, sql, tmp_path / "x.csv", escape=False)
    assert read_back(connection, sql, tmp_path / "x.csv", escape=True) == kept


def test_other_types_that_are_written_as_text_are_texts(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    sql = """SELECT '=1'::BLOB AS a, '=1'::ENUM('=1') AS b, INTERVAL '-1 day' AS c,
        union_value(s := '=1')::UNION(n INTEGER, s VARCHAR) AS d, ['=1'] AS e"""
    _, row = read_back(connection, sql, tmp_path / "x.csv", escape=True)
    assert row == ["'=1", "'=1", "'-1 day", "'=1", "['=1']"]


def test_a_column_that_is_called_like_a_formula_gets_an_apostrophe(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    sql = 'SELECT 1 AS "=1+1", 2 AS "b"'
    assert read_back(connection, sql, tmp_path / "x.csv", escape=True)[0] == ["'=1+1", "b"]


def test_the_command_keeps_formulas_unless_asked(shell: Shell, tmp_path: Path) -> None:
    root = tmp_path / "made"
    put(root, bars(date(2023, 7, 1)))
    assert shell("ingest", "-o", str(root))[0] == 0
    query = ["query", "-o", str(root), "SELECT '=1' AS t, -count(*) AS n FROM spot.klines"]
    assert shell(*query, "-f", "csv") == (0, '"t","n"\n"=1",-24\n', "")
    escape = ("--csv-formulas", "escape")
    assert shell(*query, "-f", "csv", *escape) == (0, '"t","n"\n"\'=1",-24\n', "")
    assert shell(*query, *escape, "--to", "x.csv", "-q") == (0, "", "")
    assert Path("x.csv").read_text() == '"t","n"\n"\'=1",-24\n'
    code, out, err = shell(*query, *escape)
    assert (code, out) == (2, "")
    assert "--csv-formulas is for CSV, and the rows are written as table" in err
