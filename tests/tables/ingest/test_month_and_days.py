"""A month and its days: no row is lost or twice, and the day's stands if both have one."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from attrs import evolve
from tests.tables.ingest.lake_contents import FIRST, TABLE, differences, joined, rows, with_volume
from tests.tables.sample_data import bars, days, ingest, month_of, put, text_of

from crypto_lakehouse.core.archive import Archive, Period
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.ingest.provenance import provenance_row, record
from crypto_lakehouse.tables.ingest.row_changes import RowChanges
from crypto_lakehouse.tables.lake.lake import Lake
from crypto_lakehouse.tables.quality.findings import ArchiveQuality


@pytest.fixture
def catalog(tmp_path: Path) -> LakeCatalog:
    return LakeCatalog(tmp_path / "lake", create=True)


def test_a_month_takes_the_place_of_its_days(catalog: LakeCatalog, tmp_path: Path) -> None:
    daily = [put(tmp_path, bars(day)) for day in days(FIRST, 6)]  # 4 in December, 2 in January
    ingest(catalog, daily)
    month = put(tmp_path, month_of(daily[0].archive))
    (told,) = ingest(catalog, [*daily, month])
    assert (told.rows, told.replaced) == (31 * 24, 4)
    found = rows(catalog)
    assert len(found) == len({row[1] for row in found}) == 33 * 24
    assert ingest(catalog, daily) == []
    assert rows(catalog) == found
    states = Lake(catalog).sql("SELECT state, count(*) n FROM lakehouse.archives GROUP BY ALL")
    assert {row["state"]: row["n"] for row in states.to_arrow_table().to_pylist()} == {
        "ingested": 3,
        "superseded": 4,
    }


def test_both_at_once_is_the_month(catalog: LakeCatalog, tmp_path: Path) -> None:
    daily = [put(tmp_path, bars(day)) for day in days(FIRST, 6)]
    told = ingest(catalog, [*daily, put(tmp_path, month_of(daily[0].archive))])
    assert sorted((each.state, each.rows) for each in told) == [
        ("ingested", 24), ("ingested", 24), ("ingested", 744), *[("superseded", 0)] * 4,
    ]  # fmt: skip
    assert len(rows(catalog)) == 33 * 24


def stray_of(archive: Archive) -> Archive:
    """The month under the name that some have a second time, `2023-8`."""
    month = Period.month(archive.period.first_day)
    return evolve(archive, period=evolve(month, padded=False))


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("stray_first", [True, False])
def test_a_month_under_two_names_is_in_the_table_once(
    catalog: LakeCatalog, tmp_path: Path, *, together: bool, stray_first: bool
) -> None:
    day = bars(date(2023, 8, 3))
    padded, stray = put(tmp_path, month_of(day)), put(tmp_path, stray_of(day))
    order = [stray, padded] if stray_first else [padded, stray]
    for some in [order] if together else [[each] for each in order]:
        ingest(catalog, [*some, put(tmp_path, day)])
    found = rows(catalog)
    assert {row[0] for row in found} == {padded.archive.key}
    assert len(found) == len({row[1] for row in found}) == 31 * 24
    assert ingest(catalog, [*order, put(tmp_path, day)]) == []


def test_a_month_under_its_stray_name_covers_its_days(catalog: LakeCatalog, tmp_path: Path) -> None:
    daily = [put(tmp_path, bars(day)) for day in days(date(2023, 8, 1), 3)]
    ingest(catalog, daily)
    (told,) = ingest(catalog, [*daily, put(tmp_path, stray_of(daily[0].archive))])
    assert (told.rows, told.replaced) == (31 * 24, 3)
    assert ingest(catalog, daily) == []
    assert len(rows(catalog)) == 31 * 24


@pytest.mark.parametrize("order", ["days first", "month first", "at once"])
def test_no_row_is_lost_of_a_month_that_lacks_a_day(
    catalog: LakeCatalog, tmp_path: Path, order: str
) -> None:
    daily = [put(tmp_path, bars(day)) for day in days(date(2023, 12, 1), 31)]
    month = month_of(daily[0].archive)
    lines = text_of(month).splitlines(keepends=True)
    short = put(tmp_path, month, "".join(lines[:144] + lines[168:]))
    runs = {"days first": [daily, [short]], "month first": [[short], daily]}
    for some in runs.get(order, [[*daily, short]]):
        ingest(catalog, some)
    found = rows(catalog)
    assert len(found) == len({row[1] for row in found}) == 744
    assert {row[0] for row in found} == {month.key, daily[6].archive.key}
    assert ingest(catalog, [*daily, short]) == []


@pytest.mark.parametrize("order", ["days first", "month first", "at once"])
def test_the_day_stands_if_its_month_has_another_value(
    catalog: LakeCatalog, tmp_path: Path, order: str
) -> None:
    daily = [put(tmp_path, bars(day)) for day in days(date(2023, 12, 1), 31)]
    before = {line.split(",")[0]: line.split(",") for line in text_of(daily[20].archive).split()}
    month = month_of(daily[0].archive)
    lines = [line.split(",") for line in text_of(month).splitlines()]
    place = 20 * 24 + 13
    lines[place][8] = "777"
    odd = put(tmp_path, month, "\n".join(map(",".join, lines)) + "\n")
    runs = {"days first": [daily, [odd]], "month first": [[odd], daily]}
    for some in runs.get(order, [[*daily, odd]]):
        told = ingest(catalog, some)
    assert sum(each.differing for each in told) == 1
    lake = Lake(catalog)
    stands = lake.sql(f"FROM spot.klines WHERE archive = '{daily[20].archive.key}'")
    (row,) = stands.to_arrow_table().to_pylist()
    assert row["count"] == int(before[lines[place][0]][8])
    assert len(rows(catalog)) == 744
    assert lake.sql(
        'SELECT archive, other_archive, "column", value, other_value, key, "table"'
        " FROM lakehouse.differences"
    ).fetchall() == [
        (daily[20].archive.key, month.key, "count", str(row["count"]), "777",
         '{"open_time": "2023-12-21T13:00:00+00:00"}', "spot.klines")
    ]  # fmt: skip


def test_a_month_that_is_mended_takes_its_differences_with_it(
    catalog: LakeCatalog, tmp_path: Path
) -> None:
    daily = [put(tmp_path, bars(day)) for day in days(FIRST, 2)]
    month = month_of(daily[0].archive)
    ingest(catalog, [*daily, put(tmp_path, month, with_volume(month, 7))])
    assert len(differences(Lake(catalog))) == 48
    (told,) = ingest(catalog, [*daily, put(tmp_path, month)])
    assert differences(Lake(catalog)) == set()
    assert {row[0] for row in rows(catalog)} == {month.key}
    assert told.changes == RowChanges(changed=744 - 48)
    assert (told.differing, told.replaced) == (0, 3)


def test_days_whose_zips_are_gone_are_taken_from_the_table(
    catalog: LakeCatalog, tmp_path: Path
) -> None:
    daily = [put(tmp_path, bars(day)) for day in days(FIRST, 4)]
    month = month_of(daily[0].archive)
    lines = [line.split(",") for line in text_of(month).splitlines()]
    odd = [*lines[:660], [*lines[660][:8], "777", *lines[660][9:]], *lines[670:]]
    ingest(catalog, [*daily, put(tmp_path, month, joined(odd))])
    (_, before) = Lake(catalog).scan(TABLE).polars().collect(), rows(catalog)
    assert len(before) == 744
    for source in daily:
        Path(source.place).unlink()
    ingest(catalog, [put(tmp_path, month, with_volume(month, 7))])
    after = {row[1]: row for row in rows(catalog)}
    assert len(after) == 744
    begin = datetime.combine(FIRST, datetime.min.time(), UTC)
    of_days = [row for row in before if row[1] >= begin]
    assert [after[row[1]][2] for row in of_days] == [row[2] for row in of_days]
    assert {row[2] for time, row in after.items() if time < begin} == {7.5}
    assert {row[0] for time, row in after.items() if time >= begin} == {
        each.archive.key for each in daily
    }


def test_a_month_waits_for_a_day_whose_rows_the_table_does_not_tell(
    catalog: LakeCatalog, tmp_path: Path
) -> None:
    """The day lacked a bar that its month had; it is not known which."""
    archive = bars(FIRST)
    lines = text_of(archive).splitlines(keepends=True)
    day = put(tmp_path, archive, "".join([*lines[:9], *lines[10:]]))
    month = month_of(archive)
    ingest(catalog, [day, put(tmp_path, month)])
    before = rows(catalog)
    Path(day.place).unlink()
    newer = put(tmp_path, month, with_volume(month, 7))
    (told,) = ingest(catalog, [newer])
    assert told.state == "held_back"
    assert told.quality.fault == (
        f"must be merged with {archive.key}: its zip is gone, and the table does not say which of "
        "24 rows of its month it had; collect it again"
    )
    assert rows(catalog) == before
    put(tmp_path, archive, "".join([*lines[:9], *lines[10:]]))
    (told,) = ingest(catalog, [newer])
    assert (told.state, told.rows, told.differing) == ("ingested", 744 - 23, 23)
    after = rows(catalog)
    assert len(after) == 744
    assert sum(row[0] == archive.key for row in after) == 23


def test_a_month_whose_zip_is_gone_is_taken_from_the_table(
    catalog: LakeCatalog, tmp_path: Path
) -> None:
    month = put(tmp_path, month_of(bars(FIRST)))
    ingest(catalog, [month])
    Path(month.place).unlink()
    day = put(tmp_path, bars(FIRST), with_volume(bars(FIRST), 7))
    (told,) = ingest(catalog, [day])
    assert (told.rows, told.differing, told.changes) == (24, 24, RowChanges(changed=24))
    found = rows(catalog)
    assert len(found) == 744
    assert {row[2] for row in found if row[0] == day.archive.key} == {7.5}
    states = Lake(catalog).sql("SELECT archive, state, rows FROM lakehouse.archives").fetchall()
    assert {key: (state, count) for key, state, count in states} == {
        month.archive.key: ("ingested", 720),
        day.archive.key: ("ingested", 24),
    }


@pytest.mark.parametrize("bad", ["month", "day"])
def test_what_cannot_be_read_leaves_the_others_merged(
    catalog: LakeCatalog, tmp_path: Path, bad: str
) -> None:
    daily = [put(tmp_path, bars(day)) for day in days(FIRST, 2)]
    month = month_of(daily[0].archive)
    odd = put(tmp_path, month, with_volume(month, 7))
    ingest(catalog, [*daily, odd])
    before = rows(catalog)
    broken = month if bad == "month" else daily[0].archive
    text = text_of(broken).replace(".", "x", 1)
    (told,) = ingest(catalog, [put(tmp_path, broken, text)])
    assert told.state == "refused"
    assert rows(catalog) == before
    newer = put(tmp_path, daily[1].archive, with_volume(daily[1].archive, 8))
    told_both = ingest(catalog, [put(tmp_path, broken, text), newer])
    assert {each.archive.key: each.state for each in told_both} == {
        broken.key: "refused",
        newer.archive.key: "ingested",
    }
    after = {row[1]: row for row in rows(catalog)}
    for key, time, volume in before:
        there = after.pop(time)
        assert there[2] == (8.5 if key == newer.archive.key else volume)
    assert not after


def test_days_that_an_earlier_version_covered_are_compared_once(
    catalog: LakeCatalog, tmp_path: Path
) -> None:
    day = put(tmp_path, bars(FIRST), with_volume(bars(FIRST), 7))
    month = put(tmp_path, month_of(bars(FIRST)))
    ingest(catalog, [month])
    quality = ArchiveQuality(key=day.archive.key)
    row = provenance_row(TABLE, "superseded", "", 0, quality, commit="old", tool_version="0.1.0")
    record(catalog, [row], table_sequence=1)
    (told,) = ingest(catalog, [month, day])
    assert (told.rows, told.differing) == (24, 24)
    assert ingest(catalog, [month, day]) == []
