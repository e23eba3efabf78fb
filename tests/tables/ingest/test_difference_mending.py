"""Data files of `lakehouse.differences` that are gone or cut: months are compared again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.tables.ingest.test_record_mending import contents, cut, is_whole
from tests.tables.sample_data import bars, changed_text, days, month_of, put, text_of
from tests.workflows.lakes import FIRST, ingested

from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.tables.ingest import difference_mending

SYMBOLS = ("BTCUSDT", "ETHUSDT")


def difference_files(tree: Path) -> list[Path]:
    folder = tree / ".lakehouse/lake/warehouse/lakehouse/differences/data"
    return sorted(folder.rglob("*.parquet"))


def differences(tree: Path) -> list[tuple[object, ...]]:
    with Lake.open(tree) as lake:
        rows: list[tuple[object, ...]] = lake.sql(
            'SELECT archive, other_archive, key, "column", value, other_value '
            "FROM lakehouse.differences ORDER BY ALL"
        ).fetchall()
    return rows


@pytest.fixture
async def tree(tmp_path: Path) -> Path:
    """For two symbols a month, one day that differs from it, and one that does not."""
    root = tmp_path / "tree"
    for symbol in SYMBOLS:
        month = month_of(bars(FIRST, symbol))
        put(root, month, "".join(text_of(bars(day, symbol)) for day in days(FIRST, 31)))
        put(root, bars(FIRST, symbol), changed_text(bars(FIRST, symbol)))
        put(root, bars(days(FIRST, 2)[1], symbol))
        await ingested(root, symbols=[symbol])
    assert len(differences(root)) == 48
    assert len(difference_files(root)) == 2
    return root


@pytest.mark.parametrize("damage", [Path.unlink, cut])
@pytest.mark.parametrize("files", [[0], [1], [0, 1]])
async def test_what_was_lost_is_compared_again(
    tree: Path, damage: Callable[[Path], object], files: list[int]
) -> None:
    right, rows = differences(tree), contents(tree)
    found = difference_files(tree)
    for number in files:
        damage(found[number])
    assert not is_whole(tree)
    report = await ingested(tree)
    assert (report.status, report.exit_code) == ("complete", 0)
    assert (differences(tree), contents(tree)) == (right, rows)
    assert is_whole(tree)
    (totals,) = (await ingested(tree)).tables
    assert (totals.archives, totals.unchanged + totals.covered) == (0, 6)


async def test_a_run_that_is_killed_before_the_file_is_removed_is_made_up_for(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, rows = differences(tree), contents(tree)
    for path in difference_files(tree):
        path.unlink()
    with monkeypatch.context() as patched:
        patched.setattr(difference_mending, "_remove", lambda *_: 1 / 0)
        with pytest.raises(LakeError, match="division by zero"):
            await ingested(tree)
    assert (await ingested(tree)).exit_code == 0
    assert (differences(tree), contents(tree)) == (right, rows)
    assert is_whole(tree)


async def test_a_selection_leaves_the_others_for_a_later_run(tree: Path) -> None:
    right = differences(tree)
    for path in difference_files(tree):
        path.unlink()
    assert (await ingested(tree, symbols=["ETHUSDT"])).exit_code == 0
    assert 0 < len(differences(tree)) < len(right)
    assert (await ingested(tree)).exit_code == 0
    assert differences(tree) == right


async def test_a_month_without_its_zips_is_named_and_its_rows_stay(tree: Path) -> None:
    right, rows = differences(tree), contents(tree)
    for path in difference_files(tree):
        path.unlink()
    zips = {
        path: path.read_bytes() for path in (tree / "data").rglob("*BTCUSDT*") if path.is_file()
    }
    for path in zips:
        path.unlink()
    report = await ingested(tree)
    assert report.exit_code == 4
    [problem] = report.problems
    assert "BTCUSDT" in problem["key"]
    assert problem["state"] == "unrecorded"
    assert "`lakehouse.differences` that is damaged or gone" in problem["reason"]
    assert contents(tree) == rows
    assert [row for row in right if "ETHUSDT" in str(row[0])] == differences(tree)
    assert (await ingested(tree)).exit_code == 0
    for path, data in zips.items():
        path.write_bytes(data)
    assert (await ingested(tree)).exit_code == 0
    assert (differences(tree), contents(tree)) == (right, rows)
    assert is_whole(tree)
