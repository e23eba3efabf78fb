"""A query of more files than the process may have open."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from attrs import evolve
from tests.tables.sample_data import bars, ingest, put, text_of

from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog

pytest.importorskip("resource", reason="Windows has no such limit")

pytestmark = pytest.mark.skipif(shutil.which("prlimit") is None, reason="limits are `prlimit`'s")

FILES = 300

#: Bars of all files with those of all others, for which DuckDB reads two tables at once.
JOINED = "SELECT count(*) AS n FROM spot.klines JOIN spot.klines AS other USING (symbol, open_time)"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with a file for each of 300 symbols."""
    root = tmp_path_factory.mktemp("lake")
    first = bars(date(2023, 7, 1), interval="12h")
    text = text_of(first)
    symbols = (f"X{number:03}USDT" for number in range(FILES))
    sources = [put(root, evolve(first, series=evolve(first.series, symbol=each)), text)
               for each in symbols]  # fmt: skip
    catalog = LakeCatalog(root / ".lakehouse" / "lake", create=True)
    ingest(catalog, sources)
    catalog.close()
    assert len(list(root.rglob("*USDT/**/*.parquet"))) == FILES
    return root


def query(lake: Path, soft: int, hard: int, program: list[str]) -> subprocess.CompletedProcess[str]:
    command = ["prlimit", f"--nofile={soft}:{hard}", sys.executable, *program]
    # A process that may open no file cannot write what it has covered either.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    return subprocess.run(
        command, capture_output=True, text=True, cwd=lake.parent, env=kept, check=False
    )


@pytest.mark.parametrize(("soft", "hard"), [(64, 64), (64, 4096)])
def test_a_query_reads_more_files_than_may_be_open(lake: Path, soft: int, hard: int) -> None:
    program = ["-m", "crypto_lakehouse", "query", "-o", str(lake), "-f", "csv", JOINED]
    ended = query(lake, soft, hard, program)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, '"n"\n600\n', "")


def test_an_application_reads_more_files_than_may_be_open(lake: Path) -> None:
    """The library reads with the limit that the application has, and does not change it."""
    program = """
import resource, sys
from crypto_lakehouse.tables import Lake
with Lake.open(sys.argv[1]) as lake:
    print(lake.sql("SELECT count(*) FROM spot.klines").fetchall())
    print(len(lake.scan("spot.klines").polars().collect()))
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    ended = query(lake, 64, 4096, ["-c", program, str(lake)])
    assert (ended.stdout, ended.stderr) == ("[(600,)]\n600\n(64, 4096)\n", "")


#: A query, and the same query while the process may open no more files. How many files
#: DuckDB needs at once depends on its threads, so that a limit in between could suffice by chance.
LOWERED = """
import resource, sys
from crypto_lakehouse.cli.main import main
from crypto_lakehouse.tables.lake.sql import QuerySession
command = ["query", "-o", sys.argv[1], "-f", "csv"]
for text in (sys.argv[2], "FROM nothing"):  # modules are files, too: all are imported here
    try:
        main([*command, text])
    except SystemExit as ended:
        print(ended.code)
made = QuerySession.sql
def sql(session, query):
    relation = made(session, query)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
    return relation
QuerySession.sql = sql
main([*command, sys.argv[2]])
"""


def test_a_limit_that_is_too_low_is_named(lake: Path) -> None:
    ended = query(
        lake, 64, 64, ["-c", LOWERED, str(lake), "SELECT sum(close) AS n FROM spot.klines"]
    )
    assert ended.returncode == 2, ended.stderr
    assert ended.stdout.splitlines()[2:] == ["0", "2"]
    assert "this process may have only 3 files open at once" in ended.stderr
    assert "`ulimit -n 1024`" in ended.stderr
    assert "Traceback" not in ended.stderr
