"""A month and its days as plain Parquet: merged into one file, as they are in a table."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from attrs import evolve
from tests.tables.ingest.lake_contents import ParquetFiles
from tests.tables.sample_data import bars, changed_text, days, month_of, put, put_zip, text_of

from crypto_lakehouse.core.archive import Archive, Period
from crypto_lakehouse.tables.ingest.row_changes import RowChanges
from crypto_lakehouse.tables.quality.findings import Policy

DAY, NEXT = date(2023, 8, 3), date(2023, 8, 4)
MONTH = month_of(bars(DAY))
STRAY = evolve(MONTH, period=Period.parse("2023-8"))
WHOLE = "BTCUSDT-1h-2023-08.parquet"


@pytest.fixture
def files(tmp_path: Path) -> ParquetFiles:
    return ParquetFiles(tmp_path / "files")


def without_day(archive: Archive, day: date) -> str:
    begin = sum(24 for each in days(archive.period.first_day, 31) if each < day)
    lines = text_of(archive).splitlines(keepends=True)
    return "".join([*lines[:begin], *lines[begin + 24 :]])


def sevens(files: ParquetFiles) -> dict[str, int]:
    """How many bars of each archive have the volume of `changed_text`."""
    found = files.frame().filter(pl.col("volume") == 7)
    return dict(found.group_by("archive").len().iter_rows())


def as_earlier_version(files: ParquetFiles, name: str) -> None:
    """Write a file of one archive as version 0.1.0 did."""
    (path,) = files.root.rglob(name)
    notes = pq.read_metadata(path).metadata or {}
    ((_, one),) = json.loads(notes[b"crypto-lakehouse.archives"]).items()
    rows = pq.read_table(path, partitioning=None)
    with pq.ParquetWriter(path, rows.schema) as writer:
        writer.write_table(rows)
        exact = notes[b"crypto-lakehouse.exact"].decode()
        writer.add_key_value_metadata(
            {"crypto-lakehouse.sha256": one["sha256"], "crypto-lakehouse.exact": exact}
        )


@pytest.mark.parametrize("workers", [1, 3])
def test_no_row_is_lost_of_a_month_that_lacks_a_day(
    files: ParquetFiles, tmp_path: Path, workers: int
) -> None:
    month, day = put(tmp_path, MONTH, without_day(MONTH, DAY)), put(tmp_path, bars(DAY))
    files.ingest([day], workers=workers)
    files.ingest([month], workers=workers)
    assert files.files == [WHOLE]
    frame = files.frame()
    assert frame.height == 31 * 24
    assert frame["open_time"].is_sorted()
    assert files.standings() == [
        (MONTH.key, "ingested", 30 * 24), (bars(DAY).key, "ingested", 24)
    ]  # fmt: skip
    assert files.ingest([month, day], workers=workers) == []
    assert files.counts == (2, 0)


def test_the_day_stands_and_what_differs_is_written_and_told(
    files: ParquetFiles, tmp_path: Path
) -> None:
    month, day = put(tmp_path, MONTH), put(tmp_path, bars(DAY), changed_text(bars(DAY)))
    files.ingest([month])
    (told,) = files.ingest([day])
    assert (told.state, told.rows, told.differing) == ("ingested", 24, 24)
    assert told.changes == RowChanges(changed=24)
    assert sevens(files) == {bars(DAY).key: 24}
    assert {pair[:2] for pair in files.differences()} == {(bars(DAY).key, MONTH.key)}
    path = files.root / "lakehouse/differences/spot/klines/interval=1h/symbol=BTCUSDT" / WHOLE
    row = pl.read_parquet(path, hive_partitioning=False).row(0, named=True)
    assert (row["table"], row["column"], row["value"]) == ("spot.klines", "volume", "7.0")
    # The month is mended: nothing differs any more.
    lines = text_of(MONTH).splitlines(keepends=True)
    lines[48:72] = changed_text(bars(DAY)).splitlines(keepends=True)
    (told,) = files.ingest([put(tmp_path, MONTH, "".join(lines)), day])
    assert (told.rows, told.differing, told.changes) == (31 * 24, 0, RowChanges())
    assert files.differences() == set()
    assert files.standings() == [
        (MONTH.key, "ingested", 31 * 24), (bars(DAY).key, "superseded", 0)
    ]  # fmt: skip


def test_a_new_version_of_a_day_says_what_it_changes(files: ParquetFiles, tmp_path: Path) -> None:
    files.ingest([put(tmp_path, bars(day)) for day in (DAY, NEXT)])
    half = "".join(changed_text(bars(DAY)).splitlines(keepends=True)[:12])
    changed = [put(tmp_path, bars(DAY), half), put(tmp_path, bars(NEXT), changed_text(bars(NEXT)))]
    first, second = files.ingest(changed)
    assert (first.changes, first.replaced) == (RowChanges(changed=12, removed=12), 1)
    assert (second.changes, second.replaced) == (RowChanges(changed=24), 1)
    assert files.files == [f"BTCUSDT-1h-{day}.parquet" for day in (DAY, NEXT)]


@pytest.mark.parametrize("gone", [MONTH, bars(DAY)])
def test_rows_of_an_archive_whose_zip_is_gone_are_taken_from_its_file(
    files: ParquetFiles, tmp_path: Path, gone: Archive
) -> None:
    sources = {
        each.key: put(tmp_path, each, changed_text(each)) for each in (MONTH, bars(DAY), bars(NEXT))
    }
    files.ingest(list(sources.values()))
    Path(sources.pop(gone.key).place).unlink()
    half = "".join(text_of(bars(NEXT)).splitlines(keepends=True)[:12])
    sources[bars(NEXT).key] = put(tmp_path, bars(NEXT), half)
    files.ingest(list(sources.values()))
    assert files.files == [WHOLE]
    assert files.frame().height == 31 * 24
    assert sum(sevens(files).values()) == 31 * 24 - 12
    assert {key for key, *_ in files.standings()} == {MONTH.key, bars(DAY).key, bars(NEXT).key}


def test_a_month_waits_for_a_day_whose_rows_its_file_does_not_tell(
    files: ParquetFiles, tmp_path: Path
) -> None:
    lines = text_of(bars(DAY)).splitlines(keepends=True)
    day = put(tmp_path, bars(DAY), "".join([*lines[:9], *lines[10:]]))
    whole = put(tmp_path, bars(NEXT))
    files.ingest([day, whole, put(tmp_path, MONTH)])
    Path(whole.place).unlink()  # the month has the same rows: they are known
    files.ingest([put(tmp_path, MONTH, changed_text(MONTH))])
    assert sevens(files) == {MONTH.key: 29 * 24 + 1}
    Path(day.place).unlink()
    before = files.rows()
    (told,) = files.ingest([put(tmp_path, MONTH)])
    assert (told.state, "collect it again" in told.quality.fault) == ("held_back", True)
    assert files.rows() == before


def test_a_month_that_cannot_be_read_leaves_days_their_files(
    files: ParquetFiles, tmp_path: Path
) -> None:
    days_ = [put(tmp_path, bars(day)) for day in (DAY, NEXT)]
    files.ingest(days_)
    month = put_zip(tmp_path, MONTH, b"no zip")
    newer = put(tmp_path, bars(DAY), changed_text(bars(DAY)))
    told = files.ingest([month, newer, days_[1]])
    assert [each.state for each in told] == ["refused", "ingested"]
    assert told[1].changes == RowChanges(changed=24)
    assert files.files == [f"BTCUSDT-1h-{day}.parquet" for day in (DAY, NEXT)]
    assert sevens(files) == {bars(DAY).key: 24}
    files.ingest([put(tmp_path, MONTH), newer, days_[1]])
    assert files.files == [WHOLE]
    assert files.frame().height == 31 * 24
    assert sevens(files) == {bars(DAY).key: 24}


def test_a_month_that_is_refused_keeps_its_older_version(
    files: ParquetFiles, tmp_path: Path
) -> None:
    sources = [put(tmp_path, MONTH, changed_text(MONTH)), put(tmp_path, bars(DAY))]
    files.ingest(sources)
    bad = put_zip(tmp_path, MONTH, b"no zip")
    told = files.ingest([bad, put(tmp_path, bars(NEXT))])
    assert [each.state for each in told] == ["refused", "ingested"]
    assert files.files == [WHOLE]
    assert sevens(files) == {MONTH.key: 29 * 24}
    assert files.frame().height == 31 * 24


def test_an_archive_that_raises_is_held_back_with_those_of_its_month(
    files: ParquetFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from crypto_lakehouse.tables.ingest.merging import ArchiveMerge

    def raising(*_arguments: Any) -> None:
        raise RuntimeError("not foreseen")

    day = put(tmp_path, bars(DAY))
    files.ingest([day])
    with monkeypatch.context() as patch:
        patch.setattr(ArchiveMerge, "_read_days", raising)
        told = files.ingest([put(tmp_path, MONTH), put(tmp_path, bars(NEXT))])
    assert {each.state for each in told} == {"held_back"}
    assert files.files == [f"BTCUSDT-1h-{DAY}.parquet"]


def test_a_full_disk_ends_the_run_and_leaves_nothing(
    files: ParquetFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from crypto_lakehouse.tables.ingest.merging import ArchiveMerge

    def full(*_arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    files.ingest([put(tmp_path, bars(DAY))])
    monkeypatch.setattr(ArchiveMerge, "_read_days", full)
    with pytest.raises(OSError, match="No space left"):
        files.ingest([put(tmp_path, MONTH)])
    assert files.files == [f"BTCUSDT-1h-{DAY}.parquet"]


def test_days_that_an_earlier_version_covered_are_compared_once(
    files: ParquetFiles, tmp_path: Path
) -> None:
    month, day = put(tmp_path, MONTH, without_day(MONTH, DAY)), put(tmp_path, bars(DAY))
    files.ingest([month])
    as_earlier_version(files, WHOLE)
    assert [each.archive for each in files.ingest([month, day])] == [bars(DAY)]
    assert files.frame().height == 31 * 24
    assert files.ingest([month, day]) == []


def test_files_that_a_killed_run_of_an_earlier_version_left_are_merged(
    files: ParquetFiles, tmp_path: Path
) -> None:
    """It was killed when the month had its name, and before the day was removed."""
    (one,) = files.ingest([put(tmp_path, bars(DAY), changed_text(bars(DAY)))])
    name = f"BTCUSDT-1h-{DAY}.parquet"
    as_earlier_version(files, name)
    (path,) = files.root.rglob(name)
    kept = path.read_bytes()
    path.unlink()
    month = put(tmp_path, MONTH)
    files.ingest([month])
    as_earlier_version(files, WHOLE)
    path.write_bytes(kept)
    files.ingest([month])
    assert files.files == [WHOLE]
    assert files.frame().height == 31 * 24
    assert sevens(files) == {one.archive.key: 24}
    assert files.ingest([month]) == []


def test_files_of_merged_days_that_are_still_there_are_removed(
    files: ParquetFiles, tmp_path: Path
) -> None:
    day = put(tmp_path, bars(DAY))
    files.ingest([day])
    (path,) = files.root.rglob("*.parquet")
    kept = path.read_bytes()
    files.ingest([put(tmp_path, MONTH)])
    path.write_bytes(kept)
    assert files.ingest([day]) == []
    assert files.files == [WHOLE]


def test_other_numbers_are_written_of_all_archives_of_a_month(
    files: ParquetFiles, tmp_path: Path
) -> None:
    line = text_of(bars(NEXT)).splitlines(keepends=True)[0].split(",")
    line[5], line[7] = "0.1", "1e-8"
    sources = {
        MONTH.key: put(tmp_path, MONTH),
        bars(DAY).key: put(tmp_path, bars(DAY), changed_text(bars(DAY))),
        bars(NEXT).key: put(tmp_path, bars(NEXT), ",".join(line)),
    }
    files.ingest(list(sources.values()))
    Path(sources.pop(bars(NEXT).key).place).unlink()
    files.ingest(list(sources.values()), exact=True)
    frame = files.frame()
    assert frame.schema["volume"] == pl.Decimal(38, 18)
    assert frame.height == 31 * 24
    (kept,) = frame.filter(pl.col("archive") == bars(NEXT).key).to_dicts()
    assert [f"{kept[name]:f}".rstrip("0") for name in ("volume", "quote_volume")] == [
        "0.1", "0.00000001"
    ]  # fmt: skip
    assert files.ingest(list(sources.values()), exact=True) == []
    files.ingest(list(sources.values()))
    assert files.frame().schema["volume"] == pl.Float64


def test_a_day_of_other_numbers_whose_zip_is_gone_does_not_concern_others(
    files: ParquetFiles, tmp_path: Path
) -> None:
    gone, day = put(tmp_path, bars(DAY)), put(tmp_path, bars(NEXT))
    files.ingest([gone, day])
    Path(gone.place).unlink()
    assert len(files.ingest([day], exact=True)) == 1
    assert files.ingest([day], exact=True) == []


@pytest.mark.parametrize(
    "notes",
    [
        "{",
        "[]",
        "{}",
        '{"key": {}}',
        '{"data/spot/monthly/klines/ETHUSDT/1h/ETHUSDT-1h-2023-08.zip": '
        '{"state": "ingested", "sha256": "", "rows": 1, "first_at": null, "last_at": null}}',
    ],
)
def test_a_file_with_other_metadata_is_written_again(
    files: ParquetFiles, tmp_path: Path, notes: str
) -> None:
    source = put(tmp_path, MONTH)
    files.ingest([source])
    (path,) = files.root.rglob("*.parquet")
    rows = pq.read_table(path, partitioning=None)
    with pq.ParquetWriter(path, rows.schema) as writer:
        writer.write_table(rows.slice(0, 1))
        named = {"crypto-lakehouse.archives": notes, "crypto-lakehouse.exact": "false"}
        writer.add_key_value_metadata(named)
    assert len(files.ingest([source])) == 1
    assert files.frame().height == 31 * 24


def test_other_files_in_the_folder_are_left_alone(files: ParquetFiles, tmp_path: Path) -> None:
    files.ingest([put(tmp_path, bars(DAY))])
    (path,) = files.root.rglob("*.parquet")
    others = ["BTCUSDT-1h-2023-13.parquet", "ETHUSDT-1h-2023-08-03.parquet", "notes.txt"]
    for name in others:
        path.with_name(name).write_text("mine")
    path.with_name("BTCUSDT-1h-2023-08-05.parquet").mkdir()
    files.ingest([put(tmp_path, MONTH)])
    assert files.files == [WHOLE, *others]


def test_a_sixth_of_the_rows_makes_a_row_group_each(files: ParquetFiles, tmp_path: Path) -> None:
    from crypto_lakehouse.tables.files.parquet_options import FileLayout

    sources = [put(tmp_path, MONTH), put(tmp_path, bars(DAY), changed_text(bars(DAY)))]
    files.ingest(sources, layout=FileLayout(row_group_rows=124))
    (path,) = (files.root / "spot").rglob("*.parquet")
    known = pq.read_metadata(path)
    assert [known.row_group(number).num_rows for number in range(known.num_row_groups)] == [124] * 6


def test_quarantine_keeps_a_day_out_of_the_file_of_its_month(
    files: ParquetFiles, tmp_path: Path
) -> None:
    lines = text_of(bars(DAY)).splitlines(keepends=True)
    doubled = put(tmp_path, bars(DAY), "".join([*lines, lines[-1]]))
    told = files.ingest([put(tmp_path, MONTH), doubled], policies={"duplicates": Policy.QUARANTINE})
    assert [each.state for each in told] == ["ingested", "quarantined"]
    assert files.standings() == [(MONTH.key, "ingested", 31 * 24)]
