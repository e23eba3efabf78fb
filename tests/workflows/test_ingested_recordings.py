"""Recorded messages are in the tables, each once, until archives come."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import zstandard
from attrs import evolve
from tests.segments.live_samples import SAMPLES, header_of
from tests.tables.sample_data import put
from tests.workflows.lakes import ingested

from crypto_lakehouse.core.archive import Archive, DataType, Market, Period, Series
from crypto_lakehouse.core.data_types import data_type_of
from crypto_lakehouse.core.errors import LakeError, SegmentError
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.segments.live_segment import (
    LiveHeader,
    LiveMark,
    LiveMessage,
    header_line,
    live_sidecar,
    mark_line,
    message_text,
)
from crypto_lakehouse.tables import Lake
from crypto_lakehouse.tables.ingest import recordings as recordings_table
from crypto_lakehouse.tables.lake.maintenance import compact
from crypto_lakehouse.tables.lake.verification import verify_tables
from crypto_lakehouse.tables.schema.schemas import schema_for
from crypto_lakehouse.workflows import IngestWorkflow, LakeConfig
from crypto_lakehouse.workflows.lake_report import IngestReport

SPOT = Market.SPOT
DAY = date(2026, 5, 8)
MIDNIGHT_US = 1_778_198_400_000_000


def store(root: Path, header: LiveHeader, lines: Iterable[LiveMessage | LiveMark]) -> str:
    """Put a segment in its place; its key."""
    parts = [header_line(header)]
    for line in lines:
        if isinstance(line, LiveMark):
            parts.append(mark_line(line))
        else:
            parts.append(b"[%d,%d,%b]\n" % (line[0], line[1], message_text(line.body)))
    data = zstandard.compress(b"".join(parts))
    path = root / header.key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    sidecar = live_sidecar(header.key, hashlib.sha256(data).hexdigest())
    (root / f"{header.key}.CHECKSUM").write_bytes(sidecar)
    return header.key


async def test_every_kind_of_stream_gets_into_its_table_once(tmp_path: Path) -> None:
    lines: dict[str, list[LiveMessage]] = defaultdict(list)
    rows: dict[str, int] = {}
    headers = {}
    for sample in SAMPLES:
        headers[sample.header.key] = sample.header
        table = schema_for(sample.market, data_type_of(sample.kind)).name
        if sample.connection and table not in rows:
            lines[sample.header.key].append(sample.message())
            rows[table] = len(sample.rows)
    for key, header in headers.items():
        store(tmp_path, header, lines[key])
    report = await ingested(tmp_path)
    assert (report.exit_code, report.notes, report.problems) == (0, (), ())
    assert {each.table: each.rows for each in report.tables} == rows
    with Lake.open(tmp_path) as lake:
        for table, count in rows.items():
            frame = lake.scan(table).polars().collect()
            assert frame.height == count
            assert set(frame["origin"]) == {"live"}
            assert not frame["received_at"].has_nulls()
            assert lake.scan(table).arrow().read_all().num_rows == count
            query = f"SELECT count(received_at) FROM {table}"  # noqa: S608 - a known name
            assert lake.sql(query).fetchall() == [(count,)]
        recorded = lake.sql("SELECT segment, messages, rows FROM lakehouse.recordings").fetchall()
        assert {each[0] for each in recorded} == headers.keys()
        assert sum(each[2] for each in recorded) == sum(rows.values())
    again = await ingested(tmp_path)
    assert (again.exit_code, again.tables) == (0, ())


TRADES = Series(SPOT, DataType.TRADES, "BTCUSDT")


def trade(number: int, price: str, received_us: int = 0, symbol: str = "BTCUSDT") -> LiveMessage:
    """A trade; trades are a second apart, from the beginning of the day."""
    at_us = MIDNIGHT_US + number * 1_000_000
    data = {
        "e": "trade", "E": at_us, "s": symbol, "t": number, "p": price, "q": "2",
        "T": at_us, "m": False, "M": True,
    }  # fmt: skip
    body = json.dumps({"stream": f"{symbol.lower()}@trade", "data": data}).encode()
    return LiveMessage(received_us or at_us + 5, 1, body)


def header(recording: str, hour: int = 0) -> LiveHeader:
    begun = datetime(2026, 5, 8, hour, tzinfo=UTC)
    return evolve(header_of(SPOT, StreamKind.TRADE), recording=recording, begun_at=begun)


def publish(root: Path, prices: dict[int, str]) -> Archive:
    """The archive of the day."""
    archive = Archive(TRADES, Period.day(DAY))
    lines = [
        f"{number},{price},2,{2 * float(price)},{MIDNIGHT_US + number * 1_000_000},False,True\n"
        for number, price in prices.items()
    ]
    put(root, archive, "".join(lines))
    return archive


def table(root: Path) -> list[tuple[Any, ...]]:
    """Id, price, value, microseconds until it was received, and origin of each trade."""
    with Lake.open(root) as lake:
        frame = lake.scan("spot.trades").polars().collect().sort("id")
    after = (pl.col("received_at") - pl.col("time")).dt.total_microseconds()
    return frame.select("id", "price", "quote_qty", after, "origin").rows()


def standings(root: Path) -> dict[str, tuple[Any, ...]]:
    with Lake.open(root) as lake:
        query = "SELECT archive, state, rows, not_in_archive FROM lakehouse.archives"
        found = {key: tuple(rest) for key, *rest in lake.sql(query).fetchall()}
    return {key.rpartition(".jsonl")[0][-8:] or "archive": each for key, each in found.items()}


def differences(root: Path) -> list[tuple[str, ...]]:
    with Lake.open(root) as lake:
        query = 'SELECT "column", value, other_value FROM lakehouse.differences'
        return lake.sql(query).fetchall()


def scores(root: Path) -> list[tuple[Any, ...]]:
    with Lake.open(root) as lake:
        query = (
            "SELECT symbol, day, score, archive_rows, recorded, missing, missing_keys, differing, "
            "not_in_archive FROM lakehouse.recorded_days ORDER BY symbol, day"
        )
        found = lake.sql(query).fetchall()
    return [(*each[:6], json.loads(each[6]), *each[7:]) for each in found]


#: The trades of two recordings and of the archive, with their prices.
FIRST = [trade(1, "10"), trade(2, "20"), trade(3, "30")]
SECOND = [trade(3, "30", MIDNIGHT_US + 3_000_001), trade(4, "40")]
PUBLISHED = {0: "5", 1: "10", 2: "21"}


@pytest.mark.parametrize("order", ["fsa", "asf"])
async def test_archives_and_recordings_come_to_the_same_in_any_order(
    tmp_path: Path, order: str
) -> None:
    metrics = tmp_path / "lake.prom"
    for step in order:
        if step == "a":
            publish(tmp_path, PUBLISHED)
        else:
            lines = FIRST if step == "f" else SECOND
            store(tmp_path, header("aaaaaaaa" if step == "f" else "bbbbbbbb"), lines)
        assert (await ingested(tmp_path, metrics_textfile=str(metrics))).exit_code == 0
    assert table(tmp_path) == [
        (0, 5.0, 10.0, None, "archive"), (1, 10.0, 20.0, None, "archive"),
        (2, 21.0, 42.0, None, "archive"), (3, 30.0, None, 1, "live"), (4, 40.0, None, 5, "live"),
    ]  # fmt: skip
    assert standings(tmp_path) == {
        "archive": ("ingested", 3, None),
        "aaaaaaaa": ("superseded", 0, False),
        "bbbbbbbb": ("ingested", 2, True),
    }
    assert differences(tmp_path) == [("price", "21.0", "20.0")]
    assert scores(tmp_path) == [("BTCUSDT", DAY, 1 / 3, 3, 2, 1, [[0, 0, 1]], 1, 2)]
    counted = metrics.read_text()
    assert 'crypto_lakehouse_scored_rows_total{table="spot.trades"} 3.0' in counted
    assert 'crypto_lakehouse_recorded_rows_total{table="spot.trades"} 1.0' in counted


async def test_rows_that_are_lost_are_read_from_their_segments_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those of a run that ended before it had recorded its segments."""
    store(tmp_path, header("aaaaaaaa"), FIRST)
    store(tmp_path, header("bbbbbbbb", 1), [trade(4_000, "40")])
    with monkeypatch.context() as patch:
        patch.setattr(recordings_table, "record_segments", _fail)
        with pytest.raises(LakeError, match="the machine is off"):
            await ingested(tmp_path)
    before = table(tmp_path)
    assert len(before) == 4
    assert recordings(tmp_path) == []
    [again] = (await recorded(tmp_path)).tables
    assert (again.archives, again.unchanged) == (0, 2)
    assert [each[0] for each in recordings(tmp_path)] == ["aaaaaaaa", "bbbbbbbb"]
    for path in (tmp_path / ".lakehouse/lake/warehouse/spot/trades/data").rglob("*.parquet"):
        path.unlink()
    report = await ingested(tmp_path)
    assert (report.exit_code, report.mended_files) == (0, 1)
    assert table(tmp_path) == before


def _fail(*_: object) -> None:
    raise LakeError("lake", "the machine is off")


def recordings(root: Path) -> list[tuple[Any, ...]]:
    with Lake.open(root) as lake:
        if "lakehouse.recordings" not in lake.tables:
            return []
        query = (
            "SELECT segment, messages, rows, bad_messages, holes FROM lakehouse.recordings "
            "WHERE state = 'ingested' ORDER BY segment"
        )
        found = lake.sql(query).fetchall()
    return [
        (key[-18:-10], count, made, *map(json.loads, rest)) for key, count, made, *rest in found
    ]


def refusals(root: Path) -> list[tuple[str, str]]:
    """The segments that were refused, and why, oldest first."""
    with Lake.open(root) as lake:
        query = (
            "SELECT segment, fault FROM lakehouse.recordings "
            "WHERE state = 'refused' ORDER BY sequence, segment"
        )
        return [(str(key), str(fault)) for key, fault in lake.sql(query).fetchall()]


async def test_a_damaged_segment_is_recorded_as_refused_until_it_is_whole(tmp_path: Path) -> None:
    good = store(tmp_path, header("aaaaaaaa"), FIRST)
    # Its digest is right, and a line in its middle is no line of a segment.
    key = store(tmp_path, header("bbbbbbbb"), [trade(8, "9"), LiveMark(1, "end", {"messages": 7})])
    for _ in range(2):
        report = await recorded(tmp_path)
        assert [(each["key"], each["state"]) for each in report.problems] == [(key, "refused")]
        assert refusals(tmp_path) == [(key, report.problems[0]["reason"])]
    assert [each[0] for each in recordings(tmp_path)] == ["aaaaaaaa"]
    with Lake.open(tmp_path) as lake, pytest.raises(SegmentError, match="bbbbbbbb"):
        lake.scan("spot.trades", live=True)
    assert store(tmp_path, header("bbbbbbbb"), [trade(8, "9")]) == key
    assert (await recorded(tmp_path)).exit_code == 0
    assert [each[0] for each in recordings(tmp_path)] == ["aaaaaaaa", "bbbbbbbb"]
    # A segment that is damaged later is not read again, nor is it counted as refused.
    (tmp_path / good).write_bytes(b"0" * (tmp_path / good).stat().st_size)
    assert (await recorded(tmp_path)).exit_code == 0
    assert len(refusals(tmp_path)) == 1


async def test_records_of_recordings_that_are_lost_are_made_again(tmp_path: Path) -> None:
    store(tmp_path, header("aaaaaaaa"), FIRST)
    publish(tmp_path, PUBLISHED)
    other = evolve(publish(tmp_path, PUBLISHED), period=Period.day(DAY + timedelta(days=1)))
    put(tmp_path, other, f"86400,9.5,2,19,{MIDNIGHT_US + 86_400_000_000},False,True\n")
    store(tmp_path, header("bbbbbbbb", 23), [trade(86_400, "9"), trade(86_401, "8")])
    assert (await ingested(tmp_path)).exit_code == 0

    def contents() -> tuple[Any, ...]:
        return (
            recordings(tmp_path),
            scores(tmp_path),
            sorted(differences(tmp_path)),
            table(tmp_path),
        )

    before = contents()
    assert [len(each) for each in before] == [2, 2, 2, 6]
    folder = tmp_path / ".lakehouse/lake/warehouse/lakehouse"
    for path in (folder / "recordings").rglob("*.parquet"):
        path.unlink()
    [totals] = (await recorded(tmp_path)).tables
    assert (totals.archives, totals.unchanged) == (0, 2)
    assert contents() == before
    for name in ("recorded_days", "differences"):
        for path in (folder / name).rglob("*.parquet"):
            path.write_bytes(path.read_bytes()[:-1])
        assert (await ingested(tmp_path)).exit_code == 0
        assert contents() == before
    with Lake.open(tmp_path) as lake:
        assert all(each.is_whole for each in verify_tables(lake.catalog, lake.tables))


async def test_a_segment_is_read_until_all_of_it_is_in_the_tables(tmp_path: Path) -> None:
    lines: list[LiveMessage | LiveMark] = [
        trade(1, "10"), trade(1, "9", symbol="ETHUSDT"), LiveMessage(MIDNIGHT_US + 9, 1, b"{"),
        LiveMark(MIDNIGHT_US + 10, "gap", {"symbol": "BTCUSDT", "first": 2, "last": 3}),
    ]  # fmt: skip
    store(tmp_path, header("aaaaaaaa"), lines)
    damaged = store(tmp_path, header("bbbbbbbb"), FIRST)
    (tmp_path / damaged).write_bytes((tmp_path / damaged).read_bytes()[:-4])
    publish(tmp_path, PUBLISHED)

    first = await recorded(tmp_path, symbols=["BTCUSDT"])
    assert [(each.table, each.rows) for each in first.tables] == [("spot.trades", 1)]
    assert recordings(tmp_path) == []
    assert [(each["key"], each["state"]) for each in first.problems] == [(damaged, "refused")]
    second = await recorded(tmp_path)
    assert [(each.rows, each.unchanged) for each in second.tables] == [(1, 1)]
    assert (second.exit_code, len(second.problems)) == (4, 1)
    [note] = second.notes
    assert note.startswith("1 recorded message is no row (the first in line 4 of a segment: ")
    bad = {"it is no JSON": {"messages": 1, "line": 4, "example": "{"}}
    at = MIDNIGHT_US + 10
    hole = {"mark": "gap", "at": at, "symbol": "BTCUSDT", "first": 2, "last": 3}
    assert recordings(tmp_path) == [("aaaaaaaa", 3, 2, bad, [hole])]

    store(tmp_path, header("bbbbbbbb"), FIRST)
    third = await recorded(tmp_path)
    assert [(each.archives, each.rows, each.unchanged) for each in third.tables] == [(1, 2, 0)]
    assert (third.exit_code, third.notes) == (0, ())
    assert (await recorded(tmp_path)).tables == ()
    assert not [*(tmp_path / ".lakehouse/lake").rglob("*.zst")]
    parquet = await ingested(tmp_path, lake=str(tmp_path / "files"), format="parquet")
    assert [each.rows for each in parquet.tables] == [3]
    assert parquet.notes[-1].startswith("2 segments of recordings left out")


async def recorded(root: Path, **config: Any) -> IngestReport:
    """Ingest the recordings of an output alone."""
    settings = LakeConfig(output_directory=str(root), **config)
    report = (await IngestWorkflow(settings, archives=False).run()).report
    assert isinstance(report, IngestReport)
    return report


async def test_the_tables_of_recordings_are_compacted_and_verified(tmp_path: Path) -> None:
    for hour in range(2):
        store(tmp_path, header("aaaaaaaa", hour), [trade(3_600 * hour + 1, "10")])
        assert (await recorded(tmp_path)).exit_code == 0
    before = table(tmp_path), recordings(tmp_path)
    with Lake.open(tmp_path) as lake:
        done = [compact(lake.catalog, name, tool_version="1") for name in lake.tables]
        assert {each.table for each in done} >= {"lakehouse.recordings", "spot.trades"}
        assert {(each.files_before, each.files_after) for each in done} == {(2, 1)}
        assert all(each.is_whole for each in verify_tables(lake.catalog, lake.tables))
    assert (table(tmp_path), recordings(tmp_path)) == before
