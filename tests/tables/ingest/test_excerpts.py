"""Excerpts of recordings beside each other, and beside archives that others ingest."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from attrs import evolve
from tests.tables.ingest.machines import SCHEMA, Machine
from tests.tables.sample_data import bars, ingest, put, put_excerpt, text_of

from crypto_lakehouse.core.archive import Archive, Origin
from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.ingest.ingest_plan import IngestPlan, Rebuild
from crypto_lakehouse.tables.ingest.ingestion import Ingestion, IngestSettings
from crypto_lakehouse.tables.lake.lake import Lake
from crypto_lakehouse.tables.reading.batch import Source

DAY = date(2026, 5, 8)
SECOND = timedelta(seconds=1)


def excerpt(root: Path, first: int, last: int, recording: str = "aaaaaaaa") -> Source:
    """An excerpt of the hourly bars of a day, of some hours."""
    of = bars(DAY)
    archive = evolve(of, origin=Origin.LIVE, segment=f"2026-05-08T{first:02d}-0000-{recording}")
    lines = text_of(of).splitlines()[first : last + 1]
    # Spot has microseconds in its files since 2025; the excerpt gets them from milliseconds.
    values = [line.split(",") for line in lines]
    text = "\n".join(",".join([e[0][:-3], *e[1:6], e[6][:-3], *e[7:]]) for e in values)
    return put_excerpt(root, archive, text, SECOND if recording == "aaaaaaaa" else 2 * SECOND)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[LakeCatalog]:
    catalog = LakeCatalog(tmp_path / "lake", create=True)
    yield catalog
    catalog.close()


def planned(catalog: LakeCatalog, *sources: Source) -> IngestPlan:
    return Ingestion(catalog, IngestSettings()).plan(SCHEMA, sources)


def merged(plan: IngestPlan) -> list[set[Archive]]:
    return [{*each.archives} for each in plan.ingest if isinstance(each, Rebuild)]


def test_only_excerpts_whose_keys_overlap_are_merged(tmp_path: Path, catalog: LakeCatalog) -> None:
    there = [excerpt(tmp_path, hour, hour + 1) for hour in range(0, 12, 2)]
    plan = planned(catalog, *there)
    assert [*plan.ingest] == there
    assert len(ingest(catalog, there)) == 6
    assert planned(catalog, *there).ingest == ()
    next_one = excerpt(tmp_path, 12, 13)
    assert [*planned(catalog, next_one).ingest] == [next_one]
    other = excerpt(tmp_path, 3, 4, "bbbbbbbb")
    far = excerpt(tmp_path, 20, 21, "bbbbbbbb")
    plan = planned(catalog, other, far)
    assert merged(plan) == [{other.archive, there[1].archive, there[2].archive}]
    assert far in plan.ingest
    unknown = evolve(other, keys=None)
    assert merged(planned(catalog, unknown)) == [{other.archive, *(each.archive for each in there)}]
    assert len(merged(planned(catalog, other, put(tmp_path, bars(DAY))))) == 1


def test_the_row_of_a_recording_that_was_received_first_stands(
    tmp_path: Path, catalog: LakeCatalog
) -> None:
    slow, fast = excerpt(tmp_path, 0, 3, "bbbbbbbb"), excerpt(tmp_path, 2, 5)
    for source in (slow, fast):
        [told] = ingest(catalog, [source])
        assert (told.state, told.rows, told.differing) == ("ingested", 4, 0)
    frame = Lake(catalog).scan("spot.klines").polars().collect().sort("open_time")
    after = (frame["received_at"] - frame["open_time"]).dt.total_seconds().to_list()
    assert after == [2, 2, 1, 1, 1, 1]
    assert [each.rows for each in ingest(catalog, [excerpt(tmp_path, 0, 0)])] == [1]
    query = "SELECT archive, state, rows FROM lakehouse.archives"
    found = {key[-18:-10]: rest for key, *rest in Lake(catalog).sql(query).fetchall()}
    assert found["bbbbbbbb"] == ["ingested", 1]


def test_an_archive_and_an_excerpt_of_two_machines_are_not_both_added(tmp_path: Path) -> None:
    here, there = Machine(tmp_path, "here"), Machine(tmp_path, "there")
    recorded = excerpt(there.archives, 0, 3)
    here.ingest([here.put(bars(DAY + timedelta(days=1)))])

    def meanwhile() -> None:
        there.ingest([recorded])

    with pytest.raises(LakeError, match="another run added `live/spot/daily"):
        here.ingest([here.put(bars(DAY))], meanwhile)
    here.ingest([here.put(bars(DAY))])
    frame = Lake(here.catalog).scan("spot.klines").polars().collect()
    assert frame.height == 48
    assert set(frame["origin"]) == {"archive"}
