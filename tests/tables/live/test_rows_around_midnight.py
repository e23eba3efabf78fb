"""Rows whose day is that of their arrival: copies on both sides of midnight are one row."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.segments.test_live_segment import stored, writer
from tests.workflows.lakes import ingested

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.tables import Lake

#: The end of a month, too: the rows are in two partitions.
MIDNIGHT = datetime(2026, 6, 1, tzinfo=UTC)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: When two recordings receive the quotes of an update, in milliseconds after midnight.
FAST = {7: -9000, 8: -3000, 9: -500, 10: -200, 11: 1000, 12: 4000}
SLOW = {8: -2000, 9: 500, 10: -400, 11: 800, 12: 5000, 13: 6000}

#: The first of them has two connections then.
BOTH = [*FAST.items(), (9, 600), (8, 100)]

FIRST = {7: -9000, 8: -3000, 9: -500, 10: -400, 11: 800, 12: 4000, 13: 6000}

Received = list[tuple[int, int]]


def moment_us(after_ms: int) -> int:
    return (MIDNIGHT - EPOCH) // timedelta(microseconds=1) + after_ms * 1000


async def record(root: Path, kind: StreamKind, recording: str, received: Received) -> None:
    """Record best prices, or books of one level, by their update ids and times of arrival."""
    one = writer(LocalStore(root), market=Market.SPOT, kind=kind, recording=recording)
    for number, after_ms in sorted(received, key=lambda each: each[1]):
        data: dict[str, Any] = {"u": number, "s": "BTCUSDT", "b": "1", "B": "2", "a": "3", "A": "4"}
        if kind is StreamKind.DEPTH_SNAPSHOT:
            data = {"lastUpdateId": number, "bids": [["1", "2"]], "asks": []}
        whole = {"stream": f"btcusdt@{kind}", "data": data}
        one.write(moment_us(after_ms), 1, json.dumps(whole, separators=(",", ":")).encode())
    await one.close(moment_us(max(after_ms for _, after_ms in received)))


def rows(root: Path, table: str, output: Path | None = None, **asked: Any) -> Received:
    """Update id and time of arrival of each row."""
    with Lake.open(root, output=output) as lake:
        frame = lake.scan(table, live=output is not None, **asked).polars().collect()
    after = (pl.col("received_at") - MIDNIGHT).dt.total_milliseconds()
    return sorted(frame.select("update_id", after).rows())


def bring(source: Path, key: str, root: Path) -> None:
    for name in (key, f"{key}.CHECKSUM"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / name, root / name)


async def recorded(root: Path) -> list[str]:
    """Two recordings of best prices; the keys of their segments."""
    await record(root, StreamKind.BOOK_TICKER, "a" * 8, BOTH)
    await record(root, StreamKind.BOOK_TICKER, "b" * 8, [*SLOW.items()])
    keys = stored(LocalStore(root))
    return [key for key in keys if "c" * 8 not in key]


async def test_copies_on_both_sides_of_midnight_are_one_row(tmp_path: Path) -> None:
    whole, root, table = tmp_path / "whole", tmp_path / "output", "spot.book_ticker"
    keys = await recorded(whole)
    for place in (3, 0):
        bring(whole, keys[place], root)
        assert (await ingested(root)).exit_code == 0
    assert [number for number, _ in rows(root, table)] == [*range(7, 14)]
    assert [number for number, _ in rows(root, table, whole)] == [*range(7, 14)]
    for place in (1, 2):
        bring(whole, keys[place], root)
    assert (await ingested(root)).exit_code == 0
    assert rows(root, table) == [*FIRST.items()]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2)])
async def test_the_rows_are_the_same_in_any_order(tmp_path: Path, order: tuple[int, ...]) -> None:
    whole, root, table = tmp_path / "whole", tmp_path / "output", "spot.book_ticker"
    keys = await recorded(whole)
    for place in order:
        bring(whole, keys[place], root)
        assert (await ingested(root)).exit_code == 0
        seen = [number for number, _ in rows(root, table)]
        assert len({*seen}) == len(seen)
        assert [number for number, _ in rows(root, table, whole)] == [*FIRST]
    assert rows(root, table) == [*FIRST.items()]
    assert (await ingested(root, again=True)).exit_code == 0
    assert rows(root, table) == [*FIRST.items()]
    # What a repaired segment lacks is taken from a later one, on the other side of midnight.
    at_first = root / keys[0]
    at_first.unlink()
    await record(tmp_path / "repaired", StreamKind.BOOK_TICKER, "a" * 8, BOTH[:2])
    bring(tmp_path / "repaired", keys[0], root)
    assert (await ingested(root)).exit_code == 0
    assert rows(root, table) == [*(FIRST | {9: 500}).items()]


async def test_rows_that_are_not_ingested_have_the_day_of_the_first_arrival(
    tmp_path: Path,
) -> None:
    table = "spot.book_ticker"
    await record(tmp_path, StreamKind.BOOK_TICKER, "c" * 8, [(1, -(10**7))])
    assert (await ingested(tmp_path)).exit_code == 0
    await recorded(tmp_path)
    after = [each for each in FIRST.items() if each[1] >= 0]
    assert rows(tmp_path, table, tmp_path, start=MIDNIGHT) == after
    before = [(1, -(10**7)), *(each for each in FIRST.items() if each[1] < 0)]
    assert rows(tmp_path, table, tmp_path, end=MIDNIGHT) == before


HOUR_MS = 3_600_000


@pytest.mark.parametrize("step", [1, -1])
async def test_a_book_that_does_not_change_for_days_is_one_row(tmp_path: Path, step: int) -> None:
    whole, root, table = tmp_path / "whole", tmp_path / "output", "spot.depth_snapshots"
    times = [hours * HOUR_MS for hours in (-12, -1, 0, 12, 23, 24, 30, 47, 49, 60)]
    await record(whole, StreamKind.DEPTH_SNAPSHOT, "a" * 8, [(5, time) for time in times])
    for key in stored(LocalStore(whole))[::step]:
        bring(whole, key, root)
        assert (await ingested(root)).exit_code == 0
        assert [number for number, _ in rows(root, table)] == [5]
    assert rows(root, table) == [(5, times[0])]
