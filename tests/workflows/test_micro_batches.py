"""A recording's segments come into tables in small batches, and the tables stay in bounds."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from pyiceberg.manifest import DataFile
from pyiceberg.table.snapshots import Operation, Snapshot, Summary
from tests.examples import examples
from tests.services.bucket import Bucket
from tests.services.postgres import PostgresServer
from tests.workflows.test_ingested_recordings import header, publish, store, trade

from crypto_lakehouse.core.errors import ConfigurationError, LockHeldError
from crypto_lakehouse.ledger.lock import output_lock
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.tables.ingest.commits import PURPOSE
from crypto_lakehouse.tables.lake.upkeep import RECORDING, Bounds, spare_snapshots
from crypto_lakehouse.workflows import IngestWorkflow, LakeConfig
from crypto_lakehouse.workflows.micro_batch import (
    BatchResult,
    MicroBatchWorkflow,
    of_recordings,
    run_micro_batch,
)
from crypto_lakehouse.workflows.wiring.lake_at import lake_at

#: Bounds that few micro-batches reach, within one hour.
TIGHT = Bounds(least_files=4, least_spare=3, recent=timedelta(0), sorted_rows=10)

SYMBOLS = ("BTCUSDT", "ETHUSDT")

#: A micro-batch is killed at so many of its steps.
STEPS = examples(6)

#: So many trades of a symbol are in a segment.
_TRADES = 3


def config(root: Path, **values: Any) -> LakeConfig:
    return of_recordings(LakeConfig({"output_directory": str(root), **values}, environ={}))


async def batch(root: Path, bounds: Bounds = TIGHT, **values: Any) -> BatchResult:
    return await run_micro_batch(MicroBatchWorkflow(config(root), bounds=bounds, **values))


def store_batch(root: Path, number: int) -> str:
    """Store the segment of some minutes, trades of two symbols; return its key."""
    begun = header("aaaaaaaa").begun_at + timedelta(minutes=number)
    numbers = range(number * _TRADES, (number + 1) * _TRADES)
    lines = [trade(each, str(each + 1), symbol=symbol) for symbol in SYMBOLS for each in numbers]
    return store(root, evolve(header("aaaaaaaa"), begun_at=begun), lines)


def sizes(root: Path) -> dict[str, dict[str, int]]:
    """The largest number of files of a partition, the snapshots, and the files in `metadata`."""
    found = {}
    with Lake.open(root) as lake:
        for name in lake.tables:
            table, files = lake.data_files(name)
            parts = Counter(str(file.partition) for file in files)
            folder = root / ".lakehouse/lake/warehouse" / name.replace(".", "/")
            found[name] = {
                "files": max(parts.values(), default=0),
                "snapshots": len(table.metadata.snapshots),
                "metadata": len(list((folder / "metadata").iterdir())),
                "data": len(list((folder / "data").rglob("*.parquet"))),
            }
    return found


def ids(root: Path, *, live: bool) -> list[tuple[str, int]]:
    with Lake.open(root, live=live) as lake:
        frame = lake.scan("spot.trades", live=live).polars().select("symbol", "id").collect()
    return sorted(frame.rows())


def sent(batches: int) -> list[tuple[str, int]]:
    return sorted((symbol, each) for symbol in SYMBOLS for each in range(batches * _TRADES))


async def test_files_snapshots_and_metadata_stay_in_bounds(tmp_path: Path) -> None:
    most: list[Mapping[str, Mapping[str, int]]] = []
    for number in range(24):
        store_batch(tmp_path, number)
        assert ids(tmp_path, live=True) == sent(number + 1)
        result = await batch(tmp_path)
        assert (result.error, result.problems, result.upkeep_fault) == (None, (), "")
        assert result.rows == 2 * _TRADES
        assert ids(tmp_path, live=False) == ids(tmp_path, live=True) == sent(number + 1)
        most.append(sizes(tmp_path))
    for name in most[-1]:
        for what in ("files", "snapshots", "data", "metadata"):
            early = max(each[name][what] for each in most[4:14])
            late = max(each[name][what] for each in most[14:])
            assert late <= early + 1, (name, what, [each[name][what] for each in most[2:]])
            assert late <= 60
    with Lake.open(tmp_path) as lake:
        query = "SELECT count(*), count(DISTINCT archive) FROM lakehouse.archives"
        assert lake.sql(query).fetchall() == [(48, 48)]
        assert lake.sql("SELECT count(*) FROM lakehouse.recordings").fetchall() == [(24,)]


def test_one_that_is_killed_is_completed_by_the_next(tmp_path: Path) -> None:
    """At any step of the ingestion and of the upkeep, no row is twice or missing in between."""
    start = tmp_path / "start"
    for number in range(TIGHT.least_files):
        if number:
            asyncio.run(batch(start))
        store_batch(start, number)
    root = tmp_path / "whole"
    shutil.copytree(start, root)
    steps = int(_killed_at(root, 0).stdout.split()[0])
    wanted = sent(TIGHT.least_files)
    assert ids(root, live=False) == wanted
    for step in range(1, steps, steps // STEPS):
        root = tmp_path / str(step)
        shutil.copytree(start, root)
        assert _killed_at(root, step).returncode == -signal.SIGKILL
        assert ids(root, live=True) == wanted
        after = asyncio.run(batch(root))
        assert (after.error, after.upkeep_fault) == (None, "")
        assert ids(root, live=False) == wanted
        asyncio.run(batch(root))
        assert sizes(root)["spot.trades"]["files"] <= TIGHT.least_files


def _killed_at(root: Path, step: int) -> subprocess.CompletedProcess[str]:
    program = (sys.executable, "-m", "tests.workflows.killed_micro_batch", str(root), str(step))
    return subprocess.run(program, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("where", ["url", "postgresql"])
async def test_tables_that_other_machines_may_write_to_stay_in_bounds(
    tmp_path: Path, where: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    more: dict[str, Any] = {}
    if where == "url":
        bucket: Bucket = request.getfixturevalue("rclone_bucket")
        bucket.give_credentials(monkeypatch)
        place = bucket.fresh_prefix()
        more = {"storage": bucket.storage, "state_directory": str(tmp_path / "state")}
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        place, more = str(tmp_path / "lake"), {"catalog": server.url()}
    settings = config(tmp_path, lake=place, **more)
    for number in range(9):
        store_batch(tmp_path, number)
        result = await run_micro_batch(MicroBatchWorkflow(settings, bounds=TIGHT))
        assert (result.error, result.upkeep_fault, result.rows) == (None, "", 2 * _TRADES)
    with Lake.open(place, output=tmp_path, **more) as lake:
        table, files = lake.data_files("spot.trades")
        assert len(files) < 2 * TIGHT.least_files
        assert len(table.metadata.snapshots) <= 4
        assert lake.scan("spot.trades", live=True).polars().collect().height == len(sent(9))


def versions(root: Path) -> list[tuple[int, bool]]:
    """The snapshots of a table, and whether a recording made each."""
    with Lake.open(root) as lake:
        found = lake.data_files("spot.trades")[0].metadata.snapshots
    return [(each.snapshot_id, _purpose_of(each) == RECORDING) for each in found]


def _purpose_of(snapshot: Snapshot) -> str | None:
    assert snapshot.summary is not None
    return snapshot.summary.additional_properties.get(PURPOSE)


async def test_what_others_made_stays(tmp_path: Path) -> None:
    """Snapshots of other ingestions, and the state of a table when a tag was set."""
    publish(tmp_path, {0: "5"})
    await IngestWorkflow(LakeConfig(output_directory=str(tmp_path))).run()
    [(first, is_recorded)] = versions(tmp_path)
    assert not is_recorded
    for number in range(1, 6):
        store_batch(tmp_path, number)
        assert (await batch(tmp_path)).upkeep_fault == ""
        if number == 1:
            with Lake.open(tmp_path) as lake:
                table = lake.data_files("spot.trades")[0]
                tagged = table.metadata.snapshots[-1].snapshot_id
                table.manage_snapshots().create_tag(tagged, "mine").commit()
    found = versions(tmp_path)
    assert {first, tagged} < {each for each, _ in found}
    assert len(found) < 6
    assert [is_recorded for _, is_recorded in found] == [False, *[True] * (len(found) - 1)]


async def test_only_segments_that_are_named_are_looked_at(tmp_path: Path) -> None:
    first, second, _ = (store_batch(tmp_path, number) for number in range(3))
    assert (await batch(tmp_path, segments=[first])).rows == 2 * _TRADES
    again = await batch(tmp_path, segments=[first, second, f"{second[:-20]}ffffffff.jsonl.zst"])
    assert (again.rows, again.problems) == (2 * _TRADES, ())
    assert ids(tmp_path, live=False) == sent(2)
    assert (await batch(tmp_path)).rows == 2 * _TRADES
    assert ids(tmp_path, live=False) == sent(3)


async def test_a_lock_that_is_held_is_tried_again(tmp_path: Path) -> None:
    store_batch(tmp_path, 0)
    lock = lake_at(config(tmp_path)).lock
    lock.parent.mkdir(parents=True)
    with output_lock(lock):
        held = await batch(tmp_path, held_s=0.0)
    assert isinstance(held.error, LockHeldError)
    assert held.rows == 0
    assert (await batch(tmp_path)).rows == 2 * _TRADES


def test_everything_recorded_is_ingested_into_tables_alone(tmp_path: Path) -> None:
    values = {
        "symbols": ["BTCUSDT"], "processes": 4, "again": True, "exact": True, "serve": 9100,
        "policies": {"order": "quarantine"}, "storage": {"endpoint": "http://127.0.0.1:9"},
        "lake": "s3://bucket/lake",
    }  # fmt: skip
    given = LakeConfig({"output_directory": str(tmp_path), **values}, environ={})
    found = of_recordings(given)
    assert (found.symbols, found.process_count, found.again, found.workers) == (None, 1, False, 1)
    same = ("exact", "policies", "storage", "lake", "output_directory")
    assert [getattr(found, each) for each in same] == [getattr(given, each) for each in same]
    with pytest.raises(ConfigurationError, match="plain Parquet files have no recordings"):
        config(tmp_path, format="parquet")


def snapshot(number: int, at: datetime) -> Snapshot:
    summary = Summary(Operation.APPEND, **{PURPOSE: RECORDING})
    names: dict[str, Any] = {
        "snapshot-id": number,
        "sequence-number": number,
        "timestamp-ms": round(at.timestamp() * 1000),
        "manifest-list": "",
    }
    return Snapshot(**names, summary=summary)


def test_snapshots_of_weeks_are_one_of_each_hour_then_one_of_each_day() -> None:
    bounds, now = Bounds(), datetime(2026, 5, 8, tzinfo=UTC)
    there: list[Snapshot] = []
    most = 0
    for number in range(35 * 24 * 2):
        now += timedelta(minutes=30)
        there.append(snapshot(number, now))
        spare = frozenset(spare_snapshots(there, {number}, bounds, now))
        if len(spare) >= bounds.least_spare:
            there = [each for each in there if each.snapshot_id not in spare]
        most = max(most, len(there))
    assert most < 2 + 48 + 30 + bounds.least_spare
    ages = [now - datetime.fromtimestamp(each.timestamp_ms / 1000, UTC) for each in there]
    assert sum(age < timedelta(hours=1) for age in ages) == 2
    for hours in range(47):
        assert any(timedelta(hours=hours) <= age < timedelta(hours=hours + 1) for age in ages)
    for days in range(29):
        assert any(timedelta(days=days) <= age < timedelta(days=days + 1) for age in ages)
    assert max(ages) < timedelta(days=31)


@pytest.mark.parametrize("size", [3_000, 40_000, 900_000, 20_000_000])
def test_a_row_is_written_few_times(size: int) -> None:
    """Also after months: files are merged with those of their size, and large ones never."""
    bounds = Bounds()
    files: list[DataFile] = []
    written = merged = 0
    for _ in range(1_000):
        files.append(file_of(size))
        written += size
        for some in [*bounds.crowded(files)]:
            files = [each for each in files if each not in some]
            together = sum(each.file_size_in_bytes for each in some)
            files.append(file_of(together))
            merged += together
        assert sum(each.file_size_in_bytes < bounds.large_bytes for each in files) <= 4 * 8
    small = bounds.smallest_bytes / (size * (bounds.least_files - 1))
    assert merged <= written * (4 + small)


def file_of(size: int) -> DataFile:
    return DataFile.from_args(file_size_in_bytes=size)
