"""A catalog of pyiceberg's configuration in place of the embedded one, as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from tests.tables.sample_data import bars, days, put, text_of

FIRST = date(2023, 7, 1)


class Configured:
    """Runs commands where pyiceberg knows a SQL catalog named `mine`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.warehouse = root / "elsewhere"
        self.warehouse.mkdir()
        self._environment = {
            **os.environ,
            "PYICEBERG_CATALOG__MINE__TYPE": "sql",
            "PYICEBERG_CATALOG__MINE__URI": f"sqlite:///{root / 'mine.db'}",
            "PYICEBERG_CATALOG__MINE__WAREHOUSE": f"file://{self.warehouse}",
        }

    def __call__(self, *arguments: str, code: int = 0) -> str:
        where = ["-o", str(self.root / "data"), "--catalog", "mine"]
        done = subprocess.run(
            [sys.executable, "-m", "crypto_lakehouse", *arguments, *where],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done.stdout or done.stderr

    @property
    def files(self) -> list[Path]:
        return sorted(self.warehouse.rglob("klines/data/**/*.parquet"))


@pytest.fixture
def command(tmp_path: Path) -> Configured:
    return Configured(tmp_path)


COUNT = "SELECT symbol, count(*) AS bars FROM spot.klines GROUP BY 1 ORDER BY 1"


def test_tables_of_another_catalog(command: Configured) -> None:
    data = command.root / "data"
    for day in days(FIRST, 2):
        put(data, bars(day))
        assert "1 archive, 24 rows" in command("ingest")
    assert not (data / ".lakehouse" / "lake" / "warehouse").exists()
    assert len(command.files) == 2
    half = "".join(text_of(bars(FIRST)).splitlines(keepends=True)[:12])
    put(data, bars(FIRST), half)
    assert "1 replaced, 1 unchanged" in command("ingest")
    assert "BTCUSDT    36" in command("query", COUNT)
    assert "spot.klines: 36 rows, 2 files" in command("lake", "tables")
    assert "nothing is relocated" in command("lake", "relocate", code=2)
    assert "spot.klines: 2 files before, 1 after" in command("lake", "compact")
    command("lake", "expire", "--older-than", "0", "spot.klines")
    stray = command.files[0].with_name("stray.parquet")
    stray.write_bytes(b"stray")
    command("lake", "sweep", "spot.klines")
    assert stray.exists(), "somebody else may be writing it"
    command("lake", "sweep", "--older-than", "0", "spot.klines")
    assert not stray.exists()
    assert len(command.files) == 1
    assert "BTCUSDT    36" in command("query", COUNT)


def test_no_second_lake_begins_where_another_catalog_has_tables(command: Configured) -> None:
    put(command.root / "data", bars(FIRST))
    command("ingest")
    (command.root / "mine.db").rename(command.root / "former.db")
    before = command.files
    for _ in range(2):
        assert "another table than `spot.klines` has metadata in its" in command("ingest", code=2)
    (command.root / "former.db").replace(command.root / "mine.db")
    assert command.files == before
    assert "BTCUSDT    24" in command("query", COUNT)
