"""`query` and `lake`, as a person or a script runs them."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.cli.conftest import Shell
from tests.tables.sample_data import bars, days, put

FIRST = date(2023, 7, 1)
COUNT = "SELECT symbol, count(*) AS bars FROM spot.klines GROUP BY 1 ORDER BY 1"


@pytest.fixture
def lake(shell: Shell, tmp_path: Path) -> str:
    """The output directory of a lake with two commits."""
    root = tmp_path / "made"
    for symbol in ("BTCUSDT", "ETHUSDT"):
        for day in days(FIRST, 2):
            put(root, bars(day, symbol))
    assert shell("ingest", "-o", str(root))[0] == 0
    put(root, bars(days(FIRST, 3)[2]))
    assert shell("ingest", "-o", str(root))[0] == 0
    return str(root)


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
    code, out, _ = shell("query", "-o", lake, "-f", "parquet", "--to", str(target), COUNT)
    assert (code, out) == (0, "")
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
    assert (code, out, err) == (0, "", "")
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
    assert shell("query", "-o", lake, "--to", "/dev/null", COUNT) == (0, "", "")
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
        ("SELECT * FROM spot.kline", "The lake has: lakehouse.archives, spot.klines"),
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
    assert code == 1
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


@pytest.mark.parametrize("age", ["-1", "nan", "inf", "1e9", "5h", "1.5d", "", "soon"])
@pytest.mark.parametrize("command", ["expire", "sweep"])
def test_an_age_that_is_none_is_refused(shell: Shell, lake: str, command: str, age: str) -> None:
    code, out, err = shell("lake", command, "-o", lake, "--older-than", age)
    assert (code, out) == (2, "")
    assert "--older-than" in err
    assert "days" in err or "allowed: d, w" in err


@pytest.mark.parametrize("command", ["compact", "expire", "sweep"])
def test_unknown_tables_are_all_named_and_nothing_is_done(
    shell: Shell, lake: str, command: str
) -> None:
    code, out, err = shell("lake", command, "-o", lake, "spot.klines", "spot.kline", "", "nix")
    assert (code, out) == (2, "")
    assert "no table `spot.kline` (did you mean `spot.klines`?), ``, `nix`; it has lakeh" in err
    _, out, _ = shell("lake", command, "-o", lake, "spot.klines", "Spot.Klines", "spot.klines")
    assert out.count("spot.klines: ") == 1


def test_tables_are_listed_compacted_expired_and_swept(shell: Shell, lake: str) -> None:
    code, out, _ = shell("lake", "tables", "-o", lake)
    assert code == 0
    assert "spot.klines: 120 rows, 3 files" in out
    facts = json.loads(shell("lake", "tables", "-o", lake, "--json")[1])
    assert facts["spot.klines"]["rows"] == 120
    assert facts["spot.klines"]["snapshots"] == 2
    code, out, _ = shell("lake", "compact", "-o", lake, "spot.klines")
    assert (code, out) == (0, "spot.klines: 3 files before, 2 after\n")
    _, out, _ = shell("query", "-o", lake, COUNT)
    assert "BTCUSDT    72" in out
    code, out, _ = shell("lake", "expire", "-o", lake)
    assert code == 0
    assert "spot.klines: 0 snapshots expired" in out
    _, out, _ = shell("lake", "expire", "-o", lake, "--older-than", "0", "spot.klines")
    assert out == "spot.klines: 2 snapshots expired\n"
    assert len([*Path(lake).rglob("warehouse/spot/**/*.parquet")]) == 2
    stray = Path(lake) / ".lakehouse" / "lake" / "warehouse" / "spot" / "klines" / "stray.parquet"
    stray.write_bytes(b"stray")
    for age in ("1", "0.5", "1d", "2w"):
        _, out, _ = shell("lake", "sweep", "-o", lake, "--older-than", age, "spot.klines")
        assert out == "spot.klines: 0 files deleted\n"
    _, out, _ = shell("lake", "sweep", "-o", lake)
    assert "spot.klines: 1 file deleted" in out
    _, out, _ = shell("query", "-o", lake, COUNT)
    assert "BTCUSDT    72" in out


def test_a_table_that_is_not_there_is_told(shell: Shell, lake: str) -> None:
    for command in (["lake", "compact"], ["lake", "snapshots"], ["lake", "sweep"]):
        code, _, err = shell(*command, "-o", lake, "spot.kline")
        assert code == 2
        assert "did you mean `spot.klines`" in err


def asked(lake: str, script: str) -> tuple[int, str, str]:
    """A session of the shell, its input a pipe."""
    done = subprocess.run(
        [sys.executable, "-m", "crypto_lakehouse", "query", "-o", lake, ".shell"],
        input=script,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_the_shell_answers_one_after_another(lake: str) -> None:
    lines = [
        ".tables",
        ".schema spot.klines",
        ".schema spot.none",
        "SELECT 1 AS one;",
        "SELEKT;",
        ".format csv",
        *COUNT.replace(" FROM", "\nFROM").splitlines(),
        ";",
        "CREATE TEMP TABLE mine AS SELECT 5 AS five;",
        ".format xml",
        ".help",
        "FROM mine",
    ]
    code, out, err = asked(lake, "\n".join(lines))
    assert code == 0
    assert out.splitlines()[:2] == ["lakehouse.archives", "spot.klines"]
    assert "open_time                       timestamptz" in out
    assert "BTCUSDT" in out
    assert out.splitlines()[-2:] == ['"five"', "5"]
    assert "no table `spot.none`" in err
    assert "syntax error" in err
    assert "SQL ends with a semicolon" in err


def test_the_shell_ends_when_it_is_told_to(lake: str) -> None:
    code, out, _ = asked(lake, ".quit\nSELECT 1;\n")
    assert (code, out) == (0, "")


@pytest.mark.parametrize(
    ("form", "sql", "words"),
    [
        ("parquet", "SELECT INTERVAL 1 HOUR a", "Parquet has no type for `a`, which is INTERVAL"),
        ("json", "SELECT 'infinity'::TIMESTAMP a", "`a` has an infinity, which json has not"),
        ("table", "SELECT DATE '12345-01-01' a", "a value cannot be written as table"),
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
