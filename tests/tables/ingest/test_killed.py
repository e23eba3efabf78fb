"""A run that is killed leaves no visible row and no orphan: the next one puts it in order."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from datetime import date
from pathlib import Path

import pytest
from tests.tables.ingest.killed_ingest import ingest_tree, sources_of
from tests.tables.ingest.lake_contents import ParquetFiles
from tests.tables.sample_data import bars, changed_text, days, month_of, put, text_of
from tests.workflows.lakes import ingested

from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.orphans import _referenced
from crypto_lakehouse.tables.ingest import ingestion, publish
from crypto_lakehouse.tables.ingest.recovery import recover
from crypto_lakehouse.tables.lake.lake import Lake
from crypto_lakehouse.tables.lake.verification import verify_tables

ROOT = Path(__file__).parents[3]
FIRST = date(2023, 12, 28)


def run(root: Path, step: int, *rest: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.tables.ingest.killed_ingest", str(root), str(step), *rest],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=200,
        env={**os.environ, "COVERAGE_PROCESS_START": "", "COVERAGE_PROCESS_CONFIG": ""},
    )  # fmt: skip


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A tree whose days are in a lake, and that has a month, a new version and new days since.

    `saved` is the lake as it was then: tables note absolute paths, so it is put back in place.
    """
    for day in days(FIRST, 6):
        put(tmp_path, bars(day))
        put(tmp_path, bars(day, "ETHUSDT"))
    ingest_tree(tmp_path, lambda: None)
    shutil.copytree(tmp_path / "lake", tmp_path / "saved")
    month = month_of(bars(FIRST))
    lines = [line.split(",") for line in text_of(month).splitlines()]
    lines[-1][5] = "9"  # as its last day does not have it
    put(tmp_path, month, "\n".join(map(",".join, lines)) + "\n")
    changed = bars(FIRST, "ETHUSDT")
    put(tmp_path, changed, changed_text(changed))
    for day in days(date(2024, 1, 3), 3):
        put(tmp_path, bars(day))
    return tmp_path


def put_back(root: Path) -> None:
    shutil.rmtree(root / "lake")
    shutil.copytree(root / "saved", root / "lake")


def rows(lake: Lake) -> int:
    return int(lake.scan("spot.klines").polars().collect().height)


def check_whole(root: Path) -> None:
    with Lake.open(root / "lake") as lake:
        frame = lake.scan("spot.klines", columns=["symbol", "open_time", "volume", "archive"])
        found = frame.polars().collect()
        assert found.height == (31 + 2 + 3 + 6) * 24
        assert found.select("symbol", "open_time").n_unique() == found.height
        changed = found.filter(found["archive"] == bars(FIRST, "ETHUSDT").key)
        assert set(changed["volume"]) == {7.0}
        noted = lake.sql("FROM lakehouse.archives").to_arrow_table().to_pylist()
        assert {row["archive"]: row["rows"] for row in noted if row["state"] == "ingested"} == dict(
            found["archive"].value_counts().iter_rows()
        )
        assert sum(row["state"] == "superseded" for row in noted) == 3
        told = lake.sql('SELECT archive, "column", other_value FROM lakehouse.differences')
        assert told.fetchall() == [(bars(date(2023, 12, 31)).key, "volume", "9.0")]
        assert not list((root / "lake" / "journal").iterdir())
        for name in lake.tables:
            table = lake.table(name)
            known = {path.removeprefix("file://") for path in _referenced(table)}
            there = {
                str(path)
                for path in Path(table.location().removeprefix("file://")).rglob("*")
                if path.is_file()
            }
            assert there == known


@pytest.mark.timeout(900)
def test_a_run_killed_anywhere_is_put_in_order(begun: Path) -> None:
    done = run(begun, 0)
    assert done.returncode == 0, done.stderr
    steps = int(done.stdout)
    check_whole(begun)
    assert steps > 30
    apart = int(os.environ.get("KILLED_STEPS_APART", max(1, steps // 10)))
    for step in range(1, steps + 1, apart):
        put_back(begun)
        killed = run(begun, step)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        with Lake.open(begun / "lake") as lake:
            assert rows(lake) in {12 * 24, (31 + 2 + 3 + 6) * 24}
        ingest_tree(begun, lambda: None)
        check_whole(begun)


@pytest.mark.timeout(900)
def test_a_run_that_writes_files_is_killed_anywhere(begun: Path) -> None:
    files = ParquetFiles(begun / "files")
    sources = sources_of(begun)
    month = month_of(bars(FIRST)).key
    files.ingest([each for each in sources if each.archive.key != month])
    old = set(files.rows())
    shutil.rmtree(begun / "saved")
    shutil.copytree(begun / "files", begun / "saved")
    done = run(begun, 0, "files")
    assert done.returncode == 0, done.stderr
    new, told = files.rows(), files.differences()
    assert len(new) == (31 + 2 + 3 + 6) * 24
    assert len(told) == 1
    steps = int(done.stdout)
    assert steps > 15
    for step in range(1, steps + 1, max(1, steps // 10)):
        shutil.rmtree(begun / "files")
        shutil.copytree(begun / "saved", begun / "files")
        killed = run(begun, step, "files")
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        times = {(key.rsplit("/", 1)[1][:7], time) for key, time, _ in files.rows()}
        assert times >= {(key.rsplit("/", 1)[1][:7], time) for key, time, _ in old}
        files.ingest(sources)
        assert (files.rows(), files.differences()) == (new, told)
        assert not [*(begun / "files").rglob("*.part")]


def test_an_error_is_put_in_order_at_once(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object, **_named: object) -> None:
        raise OSError(28, "No space left on device")

    for module, name in ((publish, "commit_change"), (ingestion, "record")):
        put_back(begun)
        with monkeypatch.context() as patched:
            patched.setattr(module, name, full)
            with pytest.raises(LakeError, match="No space left"):
                ingest_tree(begun, lambda: None)
        assert not list((begun / "lake" / "journal").iterdir())
        ingest_tree(begun, lambda: None)
        check_whole(begun)


def test_a_run_that_gives_up_leaves_nothing(begun: Path) -> None:
    def give_up() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest_tree(begun, give_up)
    assert not list((begun / "lake" / "journal").iterdir())
    with Lake.open(begun / "lake") as lake:
        assert rows(lake) == 12 * 24
    ingest_tree(begun, lambda: None)
    check_whole(begun)


def test_a_torn_journal_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    catalog = LakeCatalog(tmp_path / "lake", create=True)
    folder = tmp_path / "lake" / "journal"
    folder.mkdir()
    (folder / "a.journal").write_text("")
    (folder / "b.journal").write_text('{"commit": "b", "table": "spot.klines"}\n{"file": "fi')
    assert recover(catalog) == 2
    assert not list(folder.iterdir())


def mended_rows(root: Path) -> list[tuple[object, ...]]:
    with Lake.open(root) as lake:
        assert all(each.is_whole for each in verify_tables(lake.catalog, lake.tables))
        names = "symbol, open_time, open, close, volume, archive"
        found = lake.sql(f"SELECT {names} FROM spot.klines ORDER BY ALL").fetchall()  # noqa: S608
        noted = lake.sql("SELECT archive, rows FROM lakehouse.archives WHERE state = 'ingested'")
        assert dict(noted.fetchall()) == Counter(row[-1] for row in found)
    return list(found)


@pytest.mark.timeout(900)
async def test_a_run_that_mends_damaged_files_is_killed_anywhere(tmp_path: Path) -> None:
    tree, saved, lake = tmp_path / "tree", tmp_path / "saved", tmp_path / "tree" / ".lakehouse/lake"
    for symbol in ("BTCUSDT", "ETHUSDT", "BNBUSDT"):
        for day in days(FIRST, 2):
            put(tree, bars(day, symbol))
    await ingested(tree)
    for day in days(FIRST, 6)[2:]:  # across the end of the year
        put(tree, bars(day))
    shutil.copytree(lake, saved)
    await ingested(tree)
    right = mended_rows(tree)
    assert len(right) == (6 + 2 + 2) * 24

    def damage() -> None:
        shutil.rmtree(lake)
        shutil.copytree(saved, lake)
        one, other = sorted(lake.glob("warehouse/spot/klines/data/**/symbol=[BE]T*/**/*.parquet"))
        one.unlink()
        other.write_bytes(other.read_bytes()[:-1])

    damage()
    done = run(tree, 0, "workflow")
    assert done.returncode == 0, done.stderr
    assert mended_rows(tree) == right
    steps = int(done.stdout)
    assert steps > 30
    for step in range(1, steps + 1, int(os.environ.get("KILLED_STEPS_APART", max(1, steps // 12)))):
        damage()
        killed = run(tree, step, "workflow")
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        report = await ingested(tree)
        assert report.exit_code == 0, report.problems
        assert mended_rows(tree) == right, step
        assert not list((lake / "journal").iterdir())
        again = await ingested(tree)
        assert (again.mended_files, again.tables[0].unchanged) == (0, 10)
