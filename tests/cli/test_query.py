"""`query`, as a person or a script runs it."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.cli.conftest import Shell
from tests.screen import OnTerminal
from tests.tables.sample_data import bars
from tests.workflows.test_ingested_recordings import header, store, trade

FIRST = date(2023, 7, 1)
COUNT = "SELECT symbol, count(*) AS bars FROM spot.klines GROUP BY 1 ORDER BY 1"


def test_a_table_for_people(shell: Shell, lake: str) -> None:
    code, out, err = shell("query", "-o", lake, COUNT)
    assert (code, err) == (0, "")
    assert out.splitlines() == ["symbol   bars", "BTCUSDT    72", "ETHUSDT    48"]


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        (f"-- bars by symbol\n{COUNT};\n", 0, ""),
        (f"\ufeff{COUNT}", 0, ""),
        (" -- nothing\n", 2, "error: query: there is no statement in it\n"),
        ("SELECT '\udcff'", 2, "error: query: standard input is not in UTF-8: byte 9 is wrong\n"),
    ],
)
def test_sql_from_standard_input(
    shell: Shell, lake: str, monkeypatch: pytest.MonkeyPatch, given: str, code: int, message: str
) -> None:
    data = io.BytesIO(given.encode(errors="surrogateescape"))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(data))
    ended, out, err = shell("query", "-o", lake, "-f", "csv", "-")
    assert (ended, err) == (code, message)
    assert out == ('"symbol","bars"\n"BTCUSDT",72\n"ETHUSDT",48\n' if code == 0 else "")


def test_values_are_shown_whole(shell: Shell, lake: str) -> None:
    sql = """SELECT NULL a, 1.5::DOUBLE b, 0.1::DECIMAL(38, 18) c, '[red]x[/]' d, [1, 2] e, true f,
        DATE '2024-01-02' g, min(open_time) h FROM spot.klines"""
    _, out, _ = shell("query", "-o", lake, sql)
    row = out.splitlines()[1]
    for text in ("1.5", "0.100000000000000000", "[red]x[/]", "[1, 2]", "2024-01-02",
                 "2023-07-01 00:00:00"):  # fmt: skip
        assert text in row
    assert "+00:00" not in row


def test_a_long_table_is_cut_and_says_so(shell: Shell, lake: str) -> None:
    code, out, err = shell("query", "-o", lake, "SELECT open_time FROM spot.klines")
    assert code == 0
    assert len(out.splitlines()) == 101
    assert "the first 100 rows are shown; --format csv has all" in err
    code, out, err = shell("query", "-o", lake, "-f", "csv", "SELECT open_time FROM spot.klines")
    assert len(out.splitlines()) == 121
    assert err == ""


def test_csv_and_json_and_parquet_hold_the_same(shell: Shell, lake: str, tmp_path: Path) -> None:
    _, out, _ = shell("query", "-o", lake, "--format", "csv", COUNT)
    assert list(csv.DictReader(io.StringIO(out))) == [
        {"symbol": "BTCUSDT", "bars": "72"},
        {"symbol": "ETHUSDT", "bars": "48"},
    ]
    _, out, _ = shell("query", "-o", lake, "--format", "json", COUNT)
    wanted = [{"symbol": "BTCUSDT", "bars": 72}, {"symbol": "ETHUSDT", "bars": 48}]
    assert [json.loads(line) for line in out.splitlines()] == wanted
    target = tmp_path / "rows.parquet"
    to_file = ("query", "-o", lake, "-f", "parquet", "--to", str(target), COUNT)
    assert shell(*to_file, "--quiet") == (0, "", "")
    assert shell(*to_file) == (0, "", f"written: {target}\n")
    assert pl.read_parquet(target).to_dicts() == wanted
    assert not [*tmp_path.glob(".rows*")]


def test_json_has_every_type(shell: Shell, lake: str) -> None:
    sql = """SELECT NULL a, 'NaN'::DOUBLE b, 0.1::DECIMAL(38, 18) c, [1, 2] e, {'x': 1} f,
        DATE '2024-01-02' g, min(open_time) h, INTERVAL 1 HOUR i, true j FROM spot.klines"""
    _, out, _ = shell("query", "-o", lake, "--format", "json", sql)
    row = json.loads(out)
    assert (row["a"], row["b"], row["c"]) == (None, "NaN", "0.100000000000000000")
    assert (row["e"], row["f"], row["g"]) == ([1, 2], {"x": 1}, "2024-01-02")
    assert (row["h"], row["j"]) == ("2023-07-01T00:00:00Z", True)


def strict(text: str) -> Any:
    """Read JSON as other programs do, which take neither NaN nor Infinity."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_json_loses_no_column_and_no_number(shell: Shell, lake: str) -> None:
    sql = """SELECT 1 a, 2 a, 3 a_2, 'inf'::DOUBLE b, '-inf'::DOUBLE c, 'nan'::DOUBLE d, NULL e,
        ['inf'::DOUBLE] f"""
    _, out, _ = shell("query", "-o", lake, "--format", "json", sql)
    assert strict(out) == {
        "a": 1, "a_3": 2, "a_2": 3, "b": "Infinity", "c": "-Infinity", "d": "NaN", "e": None,
        "f": ["Infinity"],
    }  # fmt: skip


def test_parquet_loses_no_column(shell: Shell, lake: str, tmp_path: Path) -> None:
    assert shell("query", "-o", lake, "--to", "rows.parquet", "SELECT 1 a, 2 a")[0] == 0
    assert pl.read_parquet(tmp_path / "rows.parquet").to_dicts() == [{"a": 1, "a_2": 2}]


def test_a_table_shows_every_digit(shell: Shell, lake: str) -> None:
    _, out, _ = shell("query", "-o", lake, "SELECT 123456789.123456 a, 1e-17::DOUBLE b, 2.0 c")
    assert out.splitlines()[1].split() == ["123456789.123456", "1e-17", "2.0"]


@pytest.mark.parametrize(
    ("given", "first"),
    [
        (("--to", "rows.csv"), b'"symbol","bars"'),
        (("--to", "ROWS.CSV"), b'"symbol","bars"'),
        (("--to", "rows.json"), b'{"symbol": "BTCUSDT", "bars": 72}'),
        (("--to", "rows.ndjson"), b'{"symbol": "BTCUSDT", "bars": 72}'),
        (("--to", "rows.txt"), b"symbol   bars"),
        (("--to", "rows"), b"symbol   bars"),
        (("--to", "rows.data", "-f", "csv"), b'"symbol","bars"'),
    ],
)
def test_the_ending_of_a_file_decides_its_form(
    shell: Shell, lake: str, tmp_path: Path, given: tuple[str, ...], first: bytes
) -> None:
    code, out, err = shell("query", "-o", lake, *given, COUNT)
    assert (code, out, err) == (0, "", f"written: {given[1]}\n")
    assert (tmp_path / given[1]).read_bytes().splitlines()[0] == first


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--to", "x.parquet", "-f", "csv"), "`x.parquet` is the name of a parquet file"),
        (("--to", "x.csv", "-f", "table"), "`x.csv` is the name of a csv file"),
        (("--to", "x.xlsx"), "ends with none of .txt, .csv, .json"),
    ],
)
def test_an_ending_that_contradicts_is_refused(
    shell: Shell, lake: str, tmp_path: Path, given: tuple[str, ...], words: str
) -> None:
    code, _, err = shell("query", "-o", lake, *given, COUNT)
    assert code == 2
    assert words in err
    assert not (tmp_path / given[1]).exists()


def test_a_file_that_cannot_be_written_is_told(shell: Shell, lake: str, tmp_path: Path) -> None:
    target = tmp_path / "none" / "rows.csv"
    code, _, err = shell("query", "-o", lake, "--to", str(target), COUNT)
    assert code == 2
    assert "cannot be written" in err


@pytest.mark.parametrize(
    ("to", "words"),
    [
        (".", "`.` cannot be written: it is a directory; name a file"),
        ("/", "`/` cannot be written: it is a directory; name a file"),
        ("n" * 256, "cannot be written: File name too long"),
    ],
)
def test_a_place_that_takes_no_file_is_named(shell: Shell, lake: str, to: str, words: str) -> None:
    code, out, err = shell("query", "-o", lake, "--to", to, COUNT)
    assert (code, out) == (2, "")
    assert words in err


def test_rows_are_written_through_a_device(shell: Shell, lake: str, tmp_path: Path) -> None:
    assert shell("query", "-o", lake, "--to", "/dev/null", "-q", COUNT) == (0, "", "")
    assert Path("/dev/null").is_char_device()
    with (tmp_path / "out").open("wb") as out:
        command = [sys.executable, "-m", "crypto_lakehouse", "query", "-o", lake,
                   "--to", "/dev/stdout", "-f", "csv", COUNT]  # fmt: skip
        subprocess.run(command, check=True, stdout=out)
    assert (tmp_path / "out").read_text().splitlines()[1:] == ['"BTCUSDT",72', '"ETHUSDT",48']


def test_a_query_that_fails_while_it_runs_leaves_no_file(
    shell: Shell, lake: str, tmp_path: Path
) -> None:
    target = tmp_path / "rows.csv"
    sql = "SELECT CAST(symbol AS INTEGER) FROM spot.klines"
    code, _, err = shell("query", "-o", lake, "-f", "csv", "--to", str(target), sql)
    assert code == 2
    assert "BTCUSDT" in err or "ETHUSDT" in err
    assert [path.name for path in tmp_path.iterdir() if "rows" in path.name] == []


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT * FROM spot.kline", "it has lakehouse.archives, spot.klines"),
        ("SELEKT", "syntax error"),
        ("SELECT colour FROM spot.klines", "colour"),
        ("COPY (SELECT 1) TO 'x.csv'", "COPY is refused"),
        ("SELECT * FROM read_csv('/etc/passwd')", "query: "),
    ],
)
def test_faults_are_told(shell: Shell, lake: str, sql: str, words: str) -> None:
    code, out, err = shell("query", "-o", lake, sql)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err


def test_a_data_file_that_is_gone_is_told(shell: Shell, lake: str) -> None:
    for path in Path(lake).rglob("warehouse/spot/**/*.parquet"):
        path.unlink()
    code, _, err = shell("query", "-o", lake, COUNT)
    assert code == 1
    assert "table `spot.klines` cannot be read" in err
    assert "Traceback" not in err


def test_there_must_be_a_lake(shell: Shell, tmp_path: Path) -> None:
    code, _, err = shell("query", "-o", str(tmp_path), "SELECT 1")
    assert code == 2
    assert "`crypto-lakehouse ingest` creates one" in err


def test_tables_can_be_shown_and_explained(shell: Shell, lake: str) -> None:
    _, out, _ = shell("query", "-o", lake, "SHOW ALL TABLES")
    assert "klines" in out
    assert "archive_history" in out
    _, out, _ = shell("query", "-o", lake, "DESCRIBE spot.klines")
    assert "TIMESTAMP WITH TIME ZONE" in out
    code, out, err = shell(
        "query", "-o", lake, "--explain", "FROM spot.klines WHERE symbol = 'ETHUSDT' LIMIT 1"
    )
    assert code == 0
    assert "1/" in err.replace(" ", "")
    assert out.splitlines()[0].startswith("symbol")


def test_the_tables_as_they_were(shell: Shell, lake: str) -> None:
    code, _, err = shell("query", "-o", lake, "--as-of", "2020-01-01", COUNT)
    assert code == 2
    assert "no snapshot" in err
    code, _, err = shell("query", "-o", lake, "--as-of", "foo", "SELECT 1")
    assert (code, "`foo` is not a day" in err) == (2, True)
    _, out, _ = shell("lake", "snapshots", "-o", lake, "spot.klines")
    first, second = out.splitlines()
    assert "96 rows, 2 files, +96 -0" in first
    assert "120 rows, 3 files, +24 -0" in second
    _, out, _ = shell("query", "-o", lake, "--as-of", "2999-01-01", COUNT)
    assert "BTCUSDT    72" in out


def test_a_wide_result_is_vertical_on_a_terminal(lake: str, tmp_path: Path) -> None:
    sql = "SELECT * FROM spot.klines ORDER BY ALL LIMIT 2"
    with OnTerminal(["query", "-o", lake, sql], tmp_path, width=80) as terminal:
        assert terminal.read_all() == 0
    lines = re.sub(r"\r|\x1b\[[0-9;]*m", "", terminal.text).splitlines()
    assert [line for line in lines if line.startswith("--")] == ["-- row 1", "-- row 2"]
    values = dict(line.split(maxsplit=1) for line in lines[1 : lines.index("-- row 2")])
    assert values["symbol"] == "BTCUSDT"
    assert values["open_time"] == "2023-07-01 00:00:00"
    assert values["archive"] == bars(FIRST).key
    with OnTerminal(["query", "-o", lake, COUNT], tmp_path, width=80) as terminal:
        assert terminal.read_all() == 0
    words = re.sub(r"\x1b\[[0-9;]*m", "", terminal.text).split()
    assert words == ["symbol", "bars", "BTCUSDT", "72", "ETHUSDT", "48"]


def test_vertical_is_a_format(shell: Shell, lake: str, tmp_path: Path) -> None:
    wanted = "-- row 1\nsymbol  BTCUSDT\nbars    72\n-- row 2\nsymbol  ETHUSDT\nbars    48\n"
    assert shell("query", "-o", lake, "-f", "vertical", COUNT) == (0, wanted, "")
    target = tmp_path / "rows.txt"
    assert shell("query", "-o", lake, "-f", "vertical", "--to", str(target), COUNT)[0] == 0
    assert target.read_text() == wanted
    code, _, err = shell("query", "-o", lake, "-f", "vertical", "--to", "rows.csv", COUNT)
    assert (code, "is the name of a csv file" in err) == (2, True)
    assert "-- row" not in shell("query", "-o", lake, "SELECT * FROM spot.klines")[1]


@pytest.mark.parametrize(
    ("form", "sql", "words"),
    [
        ("parquet", "SELECT INTERVAL 1 HOUR a", "Parquet has no type for `a`, which is INTERVAL"),
        ("json", "SELECT 'infinity'::TIMESTAMP a", "`a` has an infinity, which json has not"),
        (
            "table",
            "SELECT DATE '12345-01-01' a",
            "`a` has a year outside 1 to 9999, which table does",
        ),
        ("json", "SELECT [DATE '12345-01-01'] a", "a value cannot be written as json"),
    ],
)
def test_a_value_that_a_form_cannot_have_is_told(
    shell: Shell, lake: str, tmp_path: Path, form: str, sql: str, words: str
) -> None:
    code, _, err = shell("query", "-o", lake, "-f", form, "--to", "rows.data", sql)
    assert code == 2
    assert words in err
    assert "to VARCHAR" in err
    assert not (tmp_path / "rows.data").exists()


def test_brackets_in_a_name_are_shown(shell: Shell, lake: str) -> None:
    _, out, _ = shell("query", "-o", lake, 'SELECT 1 "p[usdt]", 2 "[/x]"')
    assert out.splitlines()[0].split() == ["p[usdt]", "[/x]"]


def test_recorded_rows_are_queried_before_there_is_a_lake(shell: Shell, tmp_path: Path) -> None:
    store(tmp_path, header("aaaaaaaa"), [trade(1, "10"), trade(2, "20")])
    sql = "SELECT id, price, origin FROM spot.trades ORDER BY id"
    code, out, err = shell("query", "-o", str(tmp_path), "--live", "-f", "csv", sql)
    assert (code, err) == (0, "")
    assert out == '"id","price","origin"\n1,10,"live"\n2,20,"live"\n'
    code, _, err = shell("query", "-o", str(tmp_path), sql)
    assert code == 2
    assert "has no lake; `crypto-lakehouse ingest` creates one" in err
    assert not (tmp_path / ".lakehouse").exists()
