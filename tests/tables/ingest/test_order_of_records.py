"""The newest record of an archive is the one written last, whatever the clock said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path

import pyarrow as pa
import pytest
from tests.tables.sample_data import bars, changed_text, ingest, put, put_segment

from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.ingest import provenance
from crypto_lakehouse.tables.ingest.provenance import ARCHIVES, ORDER, record, standings
from crypto_lakehouse.tables.lake.lake import Lake
from crypto_lakehouse.tables.lake.maintenance import compact
from crypto_lakehouse.tables.schema.schemas import PartitionField
from crypto_lakehouse.tables.schema.table_types import arrow_schema

DAY = bars(date(2023, 12, 28))
TABLE = "spot.klines"


class AYearAhead(datetime):
    """A clock that is a year ahead."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + timedelta(days=365)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[LakeCatalog]:
    made = LakeCatalog(tmp_path / "lake", create=True)
    yield made
    made.close()


@contextmanager
def a_year_ahead() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(provenance, "datetime", AYearAhead)
        yield


def recorded(catalog: LakeCatalog) -> list[tuple[str, str]]:
    relation = Lake(catalog).sql("SELECT state, sha256 FROM lakehouse.archives")
    return [(row["state"], row["sha256"]) for row in relation.to_arrow_table().to_pylist()]


def volumes(catalog: LakeCatalog) -> set[float]:
    return set(Lake(catalog).scan(TABLE, columns=["volume"]).polars().collect()["volume"])


def test_a_clock_that_was_ahead_once_hides_no_version(catalog: LakeCatalog, tmp_path: Path) -> None:
    with a_year_ahead():
        ingest(catalog, [put(tmp_path, DAY)])
    first = volumes(catalog)
    newer = put(tmp_path, DAY, changed_text(DAY))
    ingest(catalog, [newer])
    assert recorded(catalog) == [("ingested", newer.sha256)]
    older = put(tmp_path, DAY)
    assert [each.state for each in ingest(catalog, [older])] == ["ingested"]
    assert recorded(catalog) == [("ingested", older.sha256)]
    assert volumes(catalog) == first


def test_runs_that_change_no_table_are_ordered_too(catalog: LakeCatalog, tmp_path: Path) -> None:
    with a_year_ahead():
        ingest(catalog, [put(tmp_path, DAY, "no,bar\n")])
    other = put(tmp_path, DAY, "no,bar,either\n")
    assert [each.state for each in ingest(catalog, [other])] == ["refused"]
    assert recorded(catalog) == [("refused", other.sha256)]
    assert ingest(catalog, [other]) == []


def test_a_commit_that_is_recorded_late_is_older_than_the_one_after_it(
    catalog: LakeCatalog, tmp_path: Path
) -> None:
    """As after another machine's run was killed between its commit and its record."""
    source = put(tmp_path, DAY)
    ingest(catalog, [source])
    newer = put(tmp_path, DAY, changed_text(DAY))
    ingest(catalog, [newer])
    late = Lake(catalog).sql("FROM lakehouse.archive_history").to_arrow_table().to_pylist()
    (row,) = [each for each in late if each["sha256"] == source.sha256]
    times = ("first_at", "last_at", "recorded_at")
    plain = {**row, **{name: row[name].isoformat() for name in times}}
    record(catalog, [plain], table_sequence=row["table_sequence"])
    assert recorded(catalog) == [("ingested", newer.sha256)]
    assert standings(catalog.find(ARCHIVES), TABLE)[DAY.key].sha256 == newer.sha256


def made_by_an_earlier_version(catalog: LakeCatalog) -> None:
    """Write the table of archives again as it was without columns of order and of segments."""
    table = catalog.catalog.load_table(ARCHIVES)
    rows = table.scan().to_arrow()
    later = {*ORDER[:2], "origin", "proven_by", "not_in_archive", "request_count", "requests"}
    fields = [each for each in table.schema().fields if each.name not in later]
    catalog.catalog.drop_table(ARCHIVES)
    partition = (PartitionField("table", "identity"),)
    schema = type(table.schema())(*fields)
    earlier = catalog.create(ARCHIVES, schema, partition, ("archive",), {})
    plain = rows.select([each.name for each in fields])
    earlier.append(pa.Table.from_pylist(plain.to_pylist(), schema=arrow_schema(earlier.schema())))


def test_a_lake_of_an_earlier_version_is_gone_on_with(catalog: LakeCatalog, tmp_path: Path) -> None:
    source, other = put(tmp_path, DAY), put(tmp_path, bars(date(2023, 12, 29)))
    with a_year_ahead():
        ingest(catalog, [source, other])
    made_by_an_earlier_version(catalog)
    assert ingest(catalog, [source]) == []
    assert len(recorded(catalog)) == 2
    before = datetime.now(UTC)
    newer = put(tmp_path, DAY, changed_text(DAY))
    ingest(catalog, [newer])
    assert sorted(recorded(catalog)) == sorted(
        [("ingested", newer.sha256), ("ingested", other.sha256)]
    )
    assert ingest(catalog, [newer, other]) == []
    compact(catalog, ARCHIVES, tool_version="test")
    assert ingest(catalog, [newer, other]) == []
    history = Lake(catalog).sql("FROM lakehouse.archive_history").to_arrow_table().to_pylist()
    assert sorted((row["table_sequence"] or 0) for row in history) == [0, 0, 2]
    segment = put_segment(tmp_path, other.archive, changed_text(other.archive))
    (told,) = ingest(catalog, [segment])
    assert (told.state, told.differing) == ("superseded", 24)
    found = Lake(catalog).sql("SELECT archive, origin, not_in_archive FROM lakehouse.archives")
    assert {key: tuple(values) for key, *values in found.fetchall()} == {
        source.archive.key: ("archive", None),
        other.archive.key: (None, None),
        segment.archive.key: ("fill", False),
    }
    with Lake.open(tmp_path / "lake") as lake:
        then = lake.sql("SELECT sha256 FROM lakehouse.archives", as_of=before)
        assert {row[0] for row in then.fetchall()} == {source.sha256, other.sha256}
