"""Plain Parquet: the rows of the tables, one file for each archive, each version once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from attrs import evolve
from tests.tables.ingest.lake_contents import ParquetFiles
from tests.tables.sample_data import (
    archive_of,
    bars,
    days,
    every_schema,
    ingest,
    month_of,
    put,
    put_zip,
    text_of,
)

from crypto_lakehouse.core.archive import Period
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.ingest.ingested import Ingested
from crypto_lakehouse.tables.ingest.ingestion import IngestSettings
from crypto_lakehouse.tables.quality.findings import Policy
from crypto_lakehouse.tables.reading.batch import Source
from crypto_lakehouse.tables.schema.schemas import TableSchema

FIRST = date(2023, 12, 30)


class Folder(ParquetFiles):
    """A folder of Parquet files, and what was told of the last run."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.told: list[Ingested] = []

    def write(self, sources: list[Source], **settings: Any) -> tuple[int, int]:
        self.told = self.ingest(sources, **settings)
        return self.counts

    @property
    def all_files(self) -> list[str]:
        found = (path for path in self.root.rglob("*") if path.is_file())
        return sorted(str(path.relative_to(self.root)) for path in found)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "files")


@pytest.mark.parametrize("schema", every_schema(), ids=lambda schema: schema.name)
@pytest.mark.parametrize("exact", [False, True])
def test_files_hold_the_rows_of_the_table(
    schema: TableSchema, folder: Folder, tmp_path: Path, *, exact: bool
) -> None:
    source = put(tmp_path, archive_of(schema))
    assert folder.write([source], exact=exact) == (0, 0)
    catalog = LakeCatalog(tmp_path / "lake", create=True)
    ingest(catalog, [source], IngestSettings(exact=exact))
    table = Lake(catalog).scan(schema.name).polars().collect().drop("origin")
    (path,) = folder.root.rglob("*.parquet")
    files = pl.read_parquet(path, hive_partitioning=False).select(table.columns)
    assert files.schema == table.schema
    assert sorted(map(repr, files.rows())) == sorted(map(repr, table.rows()))
    assert [each.rows for each in folder.told] == [table.height]


def test_folders_are_named_after_partitions(folder: Folder, tmp_path: Path) -> None:
    folder.write([put(tmp_path, bars(FIRST)), put(tmp_path, bars(FIRST, "币安人生USDT", "4h"))])
    assert folder.all_files == [
        "spot/klines/interval=1h/symbol=BTCUSDT/BTCUSDT-1h-2023-12-30.parquet",
        "spot/klines/interval=4h/symbol=币安人生USDT/币安人生USDT-4h-2023-12-30.parquet",
    ]
    found = pl.read_parquet(folder.root / "**/*.parquet", hive_partitioning=True)
    assert found.group_by("symbol", "interval").len().height == 2


def test_nothing_is_written_twice(folder: Folder, tmp_path: Path) -> None:
    sources = [put(tmp_path, bars(day)) for day in days(FIRST, 3)]
    assert folder.write(sources) == (0, 0)
    before = {name: (folder.root / name).stat().st_mtime_ns for name in folder.all_files}
    assert folder.write(sources) == (3, 0)
    assert folder.told == []
    assert {name: (folder.root / name).stat().st_mtime_ns for name in folder.all_files} == before
    assert folder.write(sources, exact=True) == (0, 0)
    assert folder.write(sources, exact=True, again=True) == (0, 0)
    assert len(folder.told) == 3


def test_a_new_version_takes_the_place_of_the_old_one(folder: Folder, tmp_path: Path) -> None:
    archive = bars(FIRST)
    folder.write([put(tmp_path, archive)])
    half = text_of(archive).splitlines()[:12]
    folder.write([put(tmp_path, archive, "\n".join(half) + "\n")])
    assert folder.frame().height == 12
    assert len(folder.all_files) == 1


def test_a_cut_file_is_written_anew(folder: Folder, tmp_path: Path) -> None:
    source = put(tmp_path, bars(FIRST))
    folder.write([source])
    path = folder.root / folder.all_files[0]
    path.write_bytes(path.read_bytes()[:-9])
    assert folder.write([source]) == (0, 0)
    assert folder.frame().height == 24


def test_a_month_takes_the_place_of_its_days(folder: Folder, tmp_path: Path) -> None:
    daily = [put(tmp_path, bars(day)) for day in days(FIRST, 3)]
    month = put(tmp_path, month_of(bars(FIRST)))
    folder.write(daily)
    assert folder.frame().height == 72
    assert folder.write([*daily, month]) == (3, 0)
    assert [each.replaced for each in folder.told] == [2]
    assert folder.frame().height == 31 * 24 + 24
    assert folder.frame()["open_time"].is_unique().all()
    assert folder.write(daily) == (1, 2), "also where the month's zip is there no more"
    assert folder.frame().height == 31 * 24 + 24


@pytest.mark.parametrize("stray_first", [True, False])
def test_a_month_under_two_names_is_one_file(
    folder: Folder, tmp_path: Path, *, stray_first: bool
) -> None:
    day = bars(date(2023, 8, 3))
    padded, stray = month_of(day), evolve(day, period=Period.parse("2023-8"))
    folder.write([put(tmp_path, day)])
    for archive in (stray, padded) if stray_first else (padded, stray):
        folder.write([put(tmp_path, archive)])
        assert folder.frame().height == 31 * 24
    name = "spot/klines/interval=1h/symbol=BTCUSDT/BTCUSDT-1h-2023-08.parquet"
    assert folder.all_files == [name]
    everything = [put(tmp_path, archive) for archive in (day, stray, padded)]
    assert folder.write(everything) == (1, 2)
    assert folder.all_files == [name]


def test_days_stay_where_their_month_cannot_be_read(folder: Folder, tmp_path: Path) -> None:
    daily = [put(tmp_path, bars(day)) for day in days(FIRST, 2)]
    month = put_zip(tmp_path, month_of(bars(FIRST)), b"no zip")
    assert folder.write([month, *daily]) == (0, 0)
    assert [each.state for each in folder.told] == ["refused", "ingested", "ingested"]
    assert folder.frame().height == 48


def test_what_is_refused_leaves_nothing(folder: Folder, tmp_path: Path) -> None:
    archive = bars(FIRST)
    bad = put(tmp_path, archive, text_of(archive).replace(",", ";"))
    twice = bars(days(FIRST, 2)[1])
    lines = text_of(twice).splitlines(keepends=True)
    doubled = put(tmp_path, twice, "".join([*lines, lines[-1]]))
    folder.write([bad, doubled], policies={"duplicates": Policy.QUARANTINE})
    assert [each.state for each in folder.told] == ["refused", "quarantined"]
    assert folder.all_files == []


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.tables.ingest.test_plain_parquet import FIRST, Folder
from tests.tables.sample_data import bars, put
from crypto_lakehouse.tables.ingest import plain_parquet
plain_parquet.DISK.sync = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
root = Path(sys.argv[1])
Folder(root / "files").write([put(root, bars(FIRST))])
"""


def test_what_a_killed_run_leaves_is_removed_by_the_next(folder: Folder, tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = folder.all_files
    assert os.path.basename(left).startswith(".crypto-lakehouse-")  # noqa: PTH119
    folder.write([put(tmp_path, bars(FIRST))])
    assert [Path(name).name for name in folder.all_files] == ["BTCUSDT-1h-2023-12-30.parquet"]


@pytest.mark.parametrize("name", ["{}", "{}.part"])
def test_a_link_in_place_of_a_file_is_replaced(name: str, folder: Folder, tmp_path: Path) -> None:
    """`.part` is the name that earlier versions wrote to."""
    other = tmp_path / "other"
    other.write_text("precious")
    series = folder.root / "spot/klines/interval=1h/symbol=BTCUSDT"
    series.mkdir(parents=True)
    (series / name.format("BTCUSDT-1h-2023-12-30.parquet")).symlink_to(other)
    assert folder.write([put(tmp_path, bars(FIRST))]) == (0, 0)
    assert other.read_text() == "precious"
    (path,) = series.iterdir()
    assert not path.is_symlink()
    assert folder.frame().height == 24
