"""A lake whose catalog is in PostgreSQL."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from uuid import uuid4

import pytest
from tests.cli.conftest import Shell, Start
from tests.services.postgres import PostgresServer
from tests.tables.sample_data import bars, put

pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")

DAYS = [date(2024, 1, day) for day in range(1, 4)]
COUNT = "SELECT count(*) AS rows, count(DISTINCT open_time) AS times FROM spot.klines"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for day in DAYS:
        put(tmp_path / "tree", bars(day))
    return tmp_path / "tree"


@pytest.fixture
def lake(postgres_server: PostgresServer) -> list[str]:
    """The options that name a lake."""
    return ["--lake", f"lake-{uuid4().hex}", "--catalog", postgres_server.url()]


def test_it_is_ingested_queried_and_maintained(tree: Path, lake: list[str], shell: Shell) -> None:
    code, out, err = shell("ingest", "-o", "tree", *lake, "--json")
    assert (code, json.loads(out)["totals"]["rows"]) == (0, 72), err
    code, out, _ = shell("ingest", "-o", "tree", *lake, "--json")
    assert (code, json.loads(out)["totals"]["rows"]) == (0, 0)
    code, out, _ = shell("query", "-o", "tree", *lake, COUNT, "--format", "json")
    assert (code, json.loads(out)) == (0, {"rows": 72, "times": 72})
    assert shell("lake", "compact", "-o", "tree", *lake)[0] == 0
    assert shell("lake", "sweep", "-o", "tree", *lake, "--older-than", "0d")[0] == 0
    code, out, _ = shell("query", "-o", "tree", *lake, COUNT, "--format", "json")
    assert (code, json.loads(out)) == (0, {"rows": 72, "times": 72})
    assert not (Path(lake[1]) / "catalog.sqlite").exists()


def test_two_ingestions_at_once_ingest_everything_once(
    tree: Path, lake: list[str], start: Start, shell: Shell
) -> None:
    started = [start(["ingest", "-o", "tree", *lake, "--wait", "--json"]) for _ in range(2)]
    ended = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0, 0], ended
    assert sum(json.loads(out)["totals"]["rows"] for out, _ in ended) == 72
    code, out, _ = shell("query", "-o", "tree", *lake, COUNT, "--format", "json")
    assert (code, json.loads(out)) == (0, {"rows": 72, "times": 72})


@pytest.mark.parametrize("command", [["lake", "tables"], ["lake", "verify"], ["query", "SELECT 1"]])
def test_a_database_without_tables_of_the_lake_is_no_lake(
    tree: Path, lake: list[str], shell: Shell, command: list[str]
) -> None:
    code, out, err = shell(*command, "-o", "tree", *lake)
    assert (code, out) == (2, ""), err
    assert "--lake:" in err
    assert "has no lake; `crypto-lakehouse ingest` creates one" in err


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("postgresql://me:hidden@host/db", "must not contain a password"),
        ("mysql://host/db", "`mysql:` is not supported"),
    ],
)
def test_a_url_that_is_no_database_or_has_a_password_is_refused(
    tree: Path, shell: Shell, url: str, text: str
) -> None:
    for command in (["ingest"], ["query", "SELECT 1"]):
        code, _, err = shell(*command, "-o", "tree", "--lake", "l", "--catalog", url)
        assert (code, text in err, "hidden" in err) == (2, True, False), err
        assert "invalid options, 1 problem:\n  --catalog: " in err


def test_a_server_that_is_not_there_is_an_error(tree: Path, shell: Shell) -> None:
    url = "postgresql://me@127.0.0.1:1/postgres"
    code, _, err = shell("ingest", "-o", "tree", "--lake", "l", "--catalog", url)
    assert (code, "onnection refused" in err, "Traceback" in err) == (5, True, False), err
