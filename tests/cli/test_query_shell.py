"""`query .shell`, and its commands."""

from __future__ import annotations

import subprocess
import sys
from datetime import date

import pytest
from tests.cli.conftest import Shell

FIRST = date(2023, 7, 1)
COUNT = "SELECT symbol, count(*) AS bars FROM spot.klines GROUP BY 1 ORDER BY 1"


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
    names = ["lakehouse.archive_history", "lakehouse.archives", "spot.klines"]
    assert out.splitlines()[:3] == names
    assert "open_time                       timestamptz" in out
    assert "BTCUSDT" in out
    assert out.splitlines()[-2:] == ['"five"', "5"]
    assert "no table `spot.none`" in err
    assert "syntax error" in err
    assert "SQL ends with a semicolon" in err


@pytest.mark.parametrize("word", [".quit", "quit", "EXIT;"])
def test_the_shell_ends_when_it_is_told_to(lake: str, word: str) -> None:
    code, out, err = asked(lake, f"{word}\nSELECT 1;\n")
    assert (code, out, err) == (0, "", "")


def test_commands_of_the_shell_work_without_it(shell: Shell, lake: str) -> None:
    code, out, _ = shell("query", "-o", lake, ".tables")
    names = out.split()
    assert (code, names) == (0, ["lakehouse.archive_history", "lakehouse.archives", "spot.klines"])
    for name in names:
        assert shell("query", "-o", lake, f"FROM {name} LIMIT 1")[0] == 0
    schemas = [shell("query", "-o", lake, f".schema {name}")[1] for name in names]
    assert schemas[0] == schemas[1] != schemas[2]
    code, out, _ = shell("query", "-o", lake, " .schema spot.klines")
    assert (code, out.split()[:2]) == (0, ["symbol", "string"])
    code, _, err = shell("query", "-o", lake, ".schema spot.kline")
    assert (code, "did you mean `spot.klines`?" in err) == (2, True)
    for text in (".schema", ".table", ".quit"):
        code, _, err = shell("query", "-o", lake, text)
        assert code == 2
        assert f"`{text}` is no command; there are .shell, .tables and .schema TABLE" in err
