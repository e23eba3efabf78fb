"""Changes to the tables `lakehouse.*`, also beside another writer."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from attrs import evolve
from tests.tables.sample_data import bars, changed_text, days, month_of, put, text_of
from tests.workflows.lakes import FIRST, ingested

from crypto_lakehouse.core.errors import OvertakenError
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.tables.ingest import records
from crypto_lakehouse.tables.ingest.differences import DIFFERENCES
from crypto_lakehouse.tables.ingest.records import RecordChange, write_records


@pytest.fixture
async def lake(tmp_path: Path) -> Lake:
    """A lake that has differences of one month and one of its days."""
    put(tmp_path, bars(FIRST), changed_text(bars(FIRST)))
    put(tmp_path, month_of(bars(FIRST)), "".join(text_of(bars(day)) for day in days(FIRST, 31)))
    await ingested(tmp_path)
    return Lake.open(tmp_path)


def rows_of(lake: Lake) -> pa.Table:
    return lake.table(DIFFERENCES).scan().to_arrow()


def change_of(lake: Lake) -> RecordChange:
    """The same rows again, of a column of another name."""
    rows = rows_of(lake).to_pylist()
    keys = frozenset(row["archive"] for row in rows)
    renamed = [{**row, "column": "renamed"} for row in rows]
    table = pa.Table.from_pylist(renamed, schema=rows_of(lake).schema)
    return RecordChange(
        of_table="spot.klines", rows=table, replaced=keys, commit="1" * 32, tool_version="test"
    )


def test_a_change_that_was_overtaken_is_made_again(lake: Lake) -> None:
    count = rows_of(lake).num_rows
    change = change_of(lake)
    stale = lake.catalog.find(DIFFERENCES)
    late = lake.catalog.find(DIFFERENCES)
    assert count
    assert stale is not None
    assert late is not None
    write_records(lake.catalog, late, change)
    last = change.rows.slice(0, 1)
    write_records(lake.catalog, stale, evolve(change, rows=last, commit="2" * 32))
    assert rows_of(lake).num_rows == 1
    folder = lake.catalog.place.folder / "warehouse/lakehouse/differences/data"
    files = {str(path) for path in folder.rglob("*.parquet")}
    in_snapshots = {
        each.file_path.removeprefix("file://")
        for snapshot in lake.table(DIFFERENCES).metadata.snapshots
        for each in (
            task.file
            for task in lake.table(DIFFERENCES).scan(snapshot_id=snapshot.snapshot_id).plan_files()
        )
    }
    assert files == in_snapshots


def test_a_change_that_is_always_overtaken_ends(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []

    def overtaken(*_: object, **named: str) -> None:
        tries.append(named["commit"])
        raise OvertakenError("lake", "another run changed it")

    before = rows_of(lake)
    monkeypatch.setattr(records, "commit_change", overtaken)
    table = lake.catalog.find(DIFFERENCES)
    assert table is not None
    with pytest.raises(OvertakenError):
        write_records(lake.catalog, table, change_of(lake))
    assert len(tries) == 10
    assert rows_of(lake).equals(before)
