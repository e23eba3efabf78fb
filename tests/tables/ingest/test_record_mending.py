"""Data files of `lakehouse.archives` that are gone or cut: archives are recorded again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.tables.sample_data import bars, changed_text, days, month_of, put, text_of
from tests.workflows.lakes import FIRST, ingested

from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.tables.ingest.provenance import ARCHIVES
from crypto_lakehouse.tables.lake.verification import verify_tables

DAYS = days(FIRST, 3)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def record_files(tree: Path) -> list[Path]:
    """The files of records, oldest first."""
    folder = tree / ".lakehouse/lake/warehouse/lakehouse/archives/data"
    return sorted(folder.rglob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)


def contents(tree: Path) -> list[tuple[object, ...]]:
    with Lake.open(tree) as lake:
        rows: list[tuple[object, ...]] = lake.sql(
            "SELECT * FROM spot.klines ORDER BY symbol, open_time"
        ).fetchall()
    return rows


def recorded(tree: Path) -> list[tuple[object, ...]]:
    with Lake.open(tree) as lake:
        rows: list[tuple[object, ...]] = lake.sql(
            "SELECT archive, state, sha256, rows, rows_read, first_at, last_at, columns, verdict "
            "FROM lakehouse.archives ORDER BY archive"
        ).fetchall()
    return rows


def is_whole(tree: Path) -> bool:
    with Lake.open(tree) as lake:
        return all(each.is_whole for each in verify_tables(lake.catalog, lake.tables))


@pytest.fixture
async def tree(tmp_path: Path) -> Path:
    """A day, then another and a new version of the first, then a month of another symbol."""
    root = tmp_path / "tree"
    put(root, bars(DAYS[0]))
    await ingested(root)
    put(root, bars(DAYS[0]), changed_text(bars(DAYS[0])))
    put(root, bars(DAYS[1]))
    await ingested(root)
    other = bars(DAYS[2], "ETHUSDT")
    put(root, other)
    put(root, month_of(other), "".join(text_of(bars(day, "ETHUSDT")) for day in days(FIRST, 31)))
    await ingested(root)
    return root


@pytest.mark.parametrize("damage", [Path.unlink, cut])
@pytest.mark.parametrize("files", [[0], [1], [2], [0, 1, 2]])
async def test_the_archives_of_a_lost_record_are_read_again(
    tree: Path, damage: Callable[[Path], object], files: list[int]
) -> None:
    right, records = contents(tree), recorded(tree)
    found = record_files(tree)
    for number in files:
        damage(found[number])
    assert not is_whole(tree)
    report = await ingested(tree)
    assert (report.status, report.exit_code) == ("complete", 0)
    assert contents(tree) == right
    assert recorded(tree) == records
    assert is_whole(tree)
    (totals,) = (await ingested(tree)).tables
    assert (totals.archives, totals.unchanged + totals.covered) == (0, 4)


async def test_an_archive_without_its_zip_is_named_and_its_rows_stay(tree: Path) -> None:
    right = contents(tree)
    for path in record_files(tree):
        path.unlink()
    gone = bars(DAYS[0])
    (tree / gone.key).unlink()
    report = await ingested(tree)
    assert report.exit_code == 4
    assert [(each["key"], each["state"]) for each in report.problems] == [(gone.key, "unrecorded")]
    assert "its rows stay in the table; collect it again" in report.problems[0]["reason"]
    assert contents(tree) == right
    assert [row[2:5] for row in recorded(tree) if row[0] == gone.key] == [("", 24, 24)]
    assert is_whole(tree)
    assert (await ingested(tree)).exit_code == 0
    put(tree, gone, changed_text(gone))
    assert (await ingested(tree)).tables[0].archives == 1
    assert contents(tree) == right
    assert all(row[2] for row in recorded(tree))


async def test_a_selection_leaves_the_others_for_a_later_run(tree: Path) -> None:
    right, records = contents(tree), recorded(tree)
    for path in record_files(tree):
        path.unlink()
    assert (await ingested(tree, symbols=["ETHUSDT"])).exit_code == 0
    assert contents(tree) == right
    assert recorded(tree) != records
    assert (await ingested(tree)).exit_code == 0
    assert (contents(tree), recorded(tree)) == (right, records)


async def test_a_day_without_its_zip_whose_times_are_lost_keeps_its_rows(tmp_path: Path) -> None:
    """A new version of its month lacks rows on which it agreed with the day: the month waits."""
    tree, day, month = tmp_path / "tree", bars(FIRST), month_of(bars(FIRST))
    texts = [text_of(bars(each)) for each in days(FIRST, 31)]
    put(tree, day)
    put(tree, month, "".join(texts))
    await ingested(tree)
    right = contents(tree)
    put(tree, day, changed_text(day))
    await ingested(tree)
    changed = contents(tree)
    assert changed != right
    for path in record_files(tree):
        path.unlink()
    (tree / day.key).unlink()
    put(tree, month, "".join(texts[1:]))
    await ingested(tree)
    assert contents(tree) == changed
    assert is_whole(tree)


async def test_records_and_rows_that_are_lost_together_are_an_error(tree: Path) -> None:
    for path in (tree / ".lakehouse/lake/warehouse").rglob("*.parquet"):
        path.unlink()
    with pytest.raises(LakeError, match="move the lake away"):
        await ingested(tree)
    with Lake.open(tree) as lake:
        assert ARCHIVES in lake.tables
