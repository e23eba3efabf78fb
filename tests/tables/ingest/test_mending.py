"""Data files that are gone or cut: the next ingestion writes their rows again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.tables.sample_data import bars, changed_text, days, month_of, put, text_of
from tests.workflows.lakes import FIRST, ingested

from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.tables.ingest import mending
from crypto_lakehouse.tables.lake.verification import verify_tables

NAME = "spot.klines"
DAYS = days(FIRST, 3)


@pytest.fixture
async def tree(tmp_path: Path) -> Path:
    """Three days of two symbols in two data files."""
    for symbol in ("BTCUSDT", "ETHUSDT"):
        for day in DAYS:
            put(tmp_path / "tree", bars(day, symbol))
    await ingested(tmp_path / "tree")
    return tmp_path / "tree"


def data_files(tree: Path, symbol: str = "BTCUSDT") -> list[Path]:
    folder = tree / ".lakehouse/lake/warehouse/spot/klines/data"
    return sorted(folder.glob(f"**/symbol={symbol}/**/*.parquet"))


def contents(tree: Path) -> list[dict[str, object]]:
    with Lake.open(tree) as lake:
        rows = lake.sql(f"SELECT * FROM {NAME} ORDER BY symbol, open_time").pl()  # noqa: S608
    found: list[dict[str, object]] = rows.to_dicts()
    return found


def is_whole(tree: Path) -> bool:
    with Lake.open(tree) as lake:
        return all(each.is_whole for each in verify_tables(lake.catalog, lake.tables))


def snapshots(tree: Path) -> int:
    with Lake.open(tree) as lake:
        return len(lake.snapshots(NAME))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [Path.unlink, cut, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("again", [False, True])
async def test_exactly_the_archives_of_a_damaged_file_are_ingested_again(
    tree: Path, damage: Callable[[Path], object], again: bool
) -> None:
    right = contents(tree)
    (path,) = data_files(tree)
    damage(path)
    assert not is_whole(tree)
    report = await ingested(tree, again=again)
    assert (report.exit_code, report.mended_files) == (0, 1)
    (totals,) = report.tables
    wanted = (6, 0) if again else (3, 3)
    assert (totals.archives, totals.unchanged, totals.rows_added) == (*wanted, 0)
    assert contents(tree) == right
    assert is_whole(tree)
    second = await ingested(tree)
    assert (second.mended_files, second.tables[0].unchanged) == (0, 6)


async def test_a_merged_month_follows_its_rules(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    put(tree, bars(DAYS[0]), changed_text(bars(DAYS[0])))
    put(tree, bars(DAYS[1]))
    whole = "".join(text_of(bars(day)) for day in days(FIRST, 31))
    put(tree, month_of(bars(FIRST)), whole)
    await ingested(tree)
    right = contents(tree)
    for path in data_files(tree):
        path.unlink()
    report = await ingested(tree)
    assert (report.exit_code, report.mended_files) == (0, 1)
    assert contents(tree) == right
    assert is_whole(tree)


async def test_a_selection_does_not_leave_damage_behind(tree: Path) -> None:
    right = contents(tree)
    data_files(tree)[0].unlink()
    report = await ingested(tree, symbols=["ETHUSDT"])
    assert (report.exit_code, report.mended_files) == (0, 1)
    assert contents(tree) == right


async def test_an_archive_whose_zip_is_gone_is_named(tree: Path) -> None:
    data_files(tree)[0].unlink()
    (tree / bars(DAYS[1]).key).unlink()
    before = snapshots(tree)
    report = await ingested(tree)
    assert (report.exit_code, report.mended_files) == (4, 0)
    (problem,) = report.problems
    assert (problem["key"], problem["state"]) == (bars(DAYS[1]).key, "damaged")
    assert "collect it again, then run `crypto-lakehouse ingest`" in problem["reason"]
    assert snapshots(tree) == before
    with pytest.raises(LakeError):
        contents(tree)
    put(tree, bars(DAYS[1]))
    assert (await ingested(tree)).mended_files == 1
    assert is_whole(tree)


async def test_an_archive_that_is_refused_now_keeps_the_file_in_the_table(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    lines = text_of(bars(FIRST)).splitlines(keepends=True)
    put(tree, bars(FIRST), "".join([*lines, lines[-1]]))
    await ingested(tree)
    data_files(tree)[0].unlink()
    before = snapshots(tree)
    report = await ingested(tree, policies={"duplicates": "quarantine"})
    assert (report.exit_code, report.mended_files) == (4, 0)
    assert [each["key"] for each in report.problems] == [bars(FIRST).key]
    assert "quarantined now" in report.problems[0]["reason"]
    assert snapshots(tree) == before
    assert (await ingested(tree)).mended_files == 1


async def test_flipped_bits_are_mended_if_archives_are_read_again(tree: Path) -> None:
    right = contents(tree)
    (path,) = data_files(tree)
    data = bytearray(path.read_bytes())
    data[len(data) // 4] ^= 1
    path.write_bytes(data)
    assert (await ingested(tree)).mended_files == 0, "only sizes are compared"
    assert not is_whole(tree)
    assert (await ingested(tree, again=True)).mended_files == 1
    assert contents(tree) == right
    assert is_whole(tree)


async def test_rows_of_unknown_archives_are_not_dropped(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = data_files(tree)
    path.unlink()
    before = snapshots(tree)
    monkeypatch.setattr(mending, "standings", lambda *_: {})
    report = await ingested(tree)
    assert (report.exit_code, [each["key"] for each in report.problems]) == (4, [path.name])
    assert snapshots(tree) == before


async def test_rows_in_other_files_of_the_table_stay(tree: Path) -> None:
    """A second file of the partition has other days; it is neither read again nor written again."""
    put(tree, bars(days(FIRST, 4)[3]))
    await ingested(tree)
    right = contents(tree)
    first, second = sorted(data_files(tree), key=lambda path: path.stat().st_size)
    kept = first.read_bytes()
    second.unlink()
    report = await ingested(tree)
    assert (report.mended_files, report.tables[0].archives) == (1, 3)
    assert first.read_bytes() == kept
    assert contents(tree) == right
    assert is_whole(tree)


async def test_a_day_without_its_zip_is_not_merged_with_a_new_month_alone(tmp_path: Path) -> None:
    """Where the day agreed with the old month, its rows are lost with those of the month."""
    tree, day, month = tmp_path / "tree", bars(FIRST), month_of(bars(FIRST))
    texts = [text_of(bars(each)) for each in days(FIRST, 31)]
    put(tree, day)
    put(tree, month, "".join(texts))
    await ingested(tree)
    data_files(tree)[0].unlink()
    (tree / day.key).unlink()
    put(tree, month, "".join([changed_text(day), *texts[1:]]))
    before = snapshots(tree)
    report = await ingested(tree)
    assert (report.exit_code, report.mended_files) == (4, 0)
    assert {each["key"]: each["state"] for each in report.problems} == {
        day.key: "damaged", month.key: "held_back"
    }  # fmt: skip
    assert snapshots(tree) == before
    put(tree, day)
    assert (await ingested(tree)).mended_files == 1
    assert is_whole(tree)
    assert {row["volume"] for row in contents(tree)[:24]} != {7.0}


async def test_what_does_not_concern_a_damaged_file_is_ingested(tree: Path) -> None:
    """A day cannot be restored; others of its file wait, and everything else goes on."""
    (path,) = data_files(tree)
    path.unlink()
    gone, newer = bars(DAYS[0]), bars(DAYS[1])
    (tree / gone.key).unlink()
    put(tree, newer, changed_text(newer))
    put(tree, bars(DAYS[2], "ETHUSDT"), changed_text(bars(DAYS[2], "ETHUSDT")))
    put(tree, bars(days(FIRST, 4)[3]))
    report = await ingested(tree)
    assert (report.status, report.exit_code, report.mended_files) == ("partial", 4, 0)
    assert {each["key"]: each["state"] for each in report.problems} == {
        gone.key: "damaged", newer.key: "held_back"
    }  # fmt: skip
    waits = next(each["reason"] for each in report.problems if each["key"] == newer.key)
    assert path.name in waits
    assert report.tables[0].archives == 2, "a new day of the symbol, and another symbol's version"
    put(tree, gone)
    assert (await ingested(tree)).mended_files == 1
    assert is_whole(tree)
    assert [row["volume"] for row in contents(tree)[24:48]] == [7.0] * 24


async def test_a_merge_that_reads_a_damaged_file_waits(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for day in DAYS[:2]:
        put(tree, bars(day))
    await ingested(tree)
    data_files(tree)[0].unlink()
    (tree / bars(DAYS[0]).key).unlink()
    month = month_of(bars(FIRST))
    put(tree, month, "".join(text_of(bars(day)) for day in days(FIRST, 31)))
    report = await ingested(tree)
    assert report.exit_code == 4
    assert {each["key"]: each["state"] for each in report.problems} == {
        bars(DAYS[0]).key: "damaged", month.key: "held_back"
    }  # fmt: skip
