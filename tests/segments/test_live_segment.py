"""Recorded messages are read as they came, in their order, or the segment is refused by name."""

from __future__ import annotations

import hashlib
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples

from crypto_lakehouse.core.archive import Market, Origin
from crypto_lakehouse.core.errors import SegmentError, StoreError
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.segments import live_segment, live_writer
from crypto_lakehouse.segments.live_segment import (
    LiveHeader,
    LiveLine,
    LiveMark,
    LiveMessage,
    header_line,
    live_sidecar,
    mark_line,
    message_text,
    read_live,
    read_live_from,
)
from crypto_lakehouse.segments.live_writer import LiveWriter
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.stores.disk import Disk

NOON_US = 1_778_241_600_000_000  # 2026-05-08 12:00 UTC
MINUTE_US = 60_000_000
RECORDING = "9f3c01ab22"
FOLDER = "live/futures/um/aggTrade/2026-05-08"
KEY = f"{FOLDER}/aggTrade-2026-05-08T12-0000-9f3c01ab.jsonl.zst"


def writer(store: Any, **changes: Any) -> LiveWriter:
    values = {
        "market": Market.FUTURES_UM,
        "kind": StreamKind.AGG_TRADE,
        "recording": RECORDING,
        "tool_version": "1",
    }
    return LiveWriter(store=store, **(values | changes))


def stored(store: Any) -> list[str]:
    def refuse(folder: str, reason: str) -> None:
        raise AssertionError(folder, reason)

    return [key for key, _ in store.segments(refuse, Origin.LIVE)]


def lines(store: Any, key: str) -> list[LiveLine]:
    return list(read_live_from(store, key)[1])


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda each: st.lists(each) | st.dictionaries(st.text(max_size=3), each),
    max_leaves=5,
)
bodies = (
    st.binary(max_size=20)
    | any_json.map(lambda value: json.dumps(value, ensure_ascii=False).encode(errors="replace"))
    | st.sampled_from(
        [b"", b"{", b"{}\n{}", b'{"a":1}],[2,3,{}', b"[\xff]", b'"a"', b" {} ", b"{]"]
    )
)
steps = st.lists(
    st.tuples(st.integers(-2, 40), st.integers(0, 3), bodies, st.booleans()), max_size=9
)


@settings(max_examples=examples(24))
@given(steps, st.sampled_from([300, 3600]))
async def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    script: list[tuple[int, int, bytes, bool]],
    rotate_s: int,
) -> None:
    store = LocalStore(tmp_path_factory.mktemp("output"))
    one = writer(store, rotate_s=rotate_s, clock_skew=lambda: -1520)
    now, finished, sent = NOON_US, [], []
    for minutes, connection, body, is_synced in script:
        now += minutes * MINUTE_US
        one.write(now, connection, body)
        sent.append(LiveMessage(now, connection, body))
        if is_synced:
            finished += await one.sync(now)
            assert one.held_bytes == 0
    finished += await one.close(now)
    assert sorted(finished) == stored(store)
    assert not list(store.live_parts())
    found = []
    for key in finished:
        header, rest = read_live_from(store, key)
        *messages, end = rest
        found += messages
        assert end == LiveMark(end[0], "end", {"messages": len(messages)})
        assert (header.key, header.clock_skew_us) == (key, -1520)
        assert header.begun_at.hour == datetime.fromtimestamp(end[0] / 1e6 - 1, UTC).hour
    assert found == sent


async def test_marks_keep_their_place_and_facts(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    one = writer(store)
    one.mark(NOON_US, "connected", connection=1, streams=["btcusdt@aggTrade"])
    one.write(NOON_US + 1, 1, b"{}")
    one.mark(NOON_US + 2, "skew", skew_us=-3)
    one.mark(NOON_US + 60 * MINUTE_US, "closed", code=1006)
    [first] = await one.sync(NOON_US + 60 * MINUTE_US)
    [second] = await one.close(NOON_US + 61 * MINUTE_US)
    assert await one.close(0) == []
    assert lines(store, first) == [
        LiveMark(NOON_US, "connected", {"connection": 1, "streams": ["btcusdt@aggTrade"]}),
        LiveMessage(NOON_US + 1, 1, b"{}"),
        LiveMark(NOON_US + 2, "skew", {"skew_us": -3}),
        LiveMark(NOON_US + 60 * MINUTE_US, "end", {"messages": 1}),
    ]
    assert lines(store, second)[0] == LiveMark(NOON_US + 60 * MINUTE_US, "closed", {"code": 1006})


async def test_a_quiet_segment_is_ended_when_its_time_is_over(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    one = writer(store)
    one.write(NOON_US, 1, b"{}")
    assert await one.sync(NOON_US + 60 * MINUTE_US - 1) == []
    assert list(store.live_parts()) == [KEY]
    assert await one.sync(NOON_US + 60 * MINUTE_US) == [KEY]
    assert await one.close(NOON_US + 99 * MINUTE_US) == []


async def test_a_clock_that_is_set_back_holds_no_segment_open(tmp_path: Path) -> None:
    """One that was a year ahead would keep a segment, which is in no table, open for a year."""
    store = LocalStore(tmp_path)
    one = writer(store, rotate_s=300)
    year_us = 365 * 24 * 60 * MINUTE_US
    for at_us in (NOON_US, NOON_US + year_us, NOON_US - MINUTE_US, NOON_US):
        one.write(at_us, 1, b"{}")
    assert len(await one.sync(NOON_US)) == 3
    [second] = await one.sync(NOON_US + 5 * MINUTE_US)
    assert second == KEY.replace("12-0000", "12-0001")  # there is one of the same second
    assert len(stored(store)) == 4
    one.write(NOON_US + 5 * MINUTE_US, 1, b"{}")
    one.write(NOON_US + 4 * MINUTE_US, 1, b"{}")  # a clock that goes back by a little is waited for
    assert len(await one.close(NOON_US + 6 * MINUTE_US)) == 1


async def test_the_end_has_the_time_at_which_it_was_written(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    one = writer(store)
    one.write(NOON_US, 1, b"{}")
    [key] = await one.close(NOON_US + MINUTE_US)
    assert lines(store, key)[-1] == LiveMark(NOON_US + MINUTE_US, "end", {"messages": 1})


class FullDisk(Disk):
    """Takes some bytes, then is full."""

    left = 10**6

    def append(self, descriptor: int, data: memoryview) -> int:
        data = data[: self.left]
        if not data:
            raise OSError(28, "No space left on device")
        self.left -= len(data)
        return super().append(descriptor, data)


async def test_nothing_is_written_behind_a_failure(tmp_path: Path) -> None:
    disk = FullDisk()
    store = LocalStore(tmp_path, disk)
    one = writer(store)
    one.write(NOON_US, 1, b"{}")
    await one.sync(NOON_US)
    one.write(NOON_US, 1, b'{"a": 1}')
    disk.left = 5
    with pytest.raises(StoreError, match="No space left"):
        await one.sync(NOON_US)
    disk.left = 10**6
    with pytest.raises(StoreError, match="No space left"):
        await one.sync(NOON_US)
    assert await one.close(NOON_US) == []
    assert list(store.live_parts()) == [KEY]


async def test_a_segment_is_never_replaced(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    one, other = writer(store), writer(store)
    one.write(NOON_US, 1, b"{}")
    await one.sync(NOON_US)
    for _ in range(2):  # beside its part, and beside the segment
        other = writer(store)
        other.write(NOON_US, 1, b"{}")
        with pytest.raises(SegmentError, match="stored already"):
            await other.sync(NOON_US)
        await one.close(NOON_US)
    assert len(lines(store, KEY)) == 2


def test_faults_of_the_caller_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="a segment of 7 s"):
        writer(LocalStore(tmp_path), rotate_s=7)
    monkeypatch.setattr(live_writer, "MESSAGE_BYTES", 10)
    with pytest.raises(SegmentError, match="a message has 11 bytes; no more than 10"):
        writer(LocalStore(tmp_path)).write(NOON_US, 1, b"x" * 11)


async def test_a_stored_segment_that_is_damaged_is_refused(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    one = writer(store)
    one.write(NOON_US, 1, b"{}")
    await one.close(NOON_US)
    await store.put(KEY, b"damaged")
    with pytest.raises(SegmentError, match="it cannot be decompressed"):
        lines(store, KEY)
    await store.remove(KEY + ".CHECKSUM")
    with pytest.raises(StoreError):
        lines(store, KEY)


HEADER: dict[str, Any] = {
    "format": 1, "market": "futures_um", "kind": "aggTrade", "recording": RECORDING,
    "tool_version": "1", "begun_at": "2026-05-08T12:00:00+00:00", "clock_skew_us": None,
}  # fmt: skip
FIRST = header_line(
    LiveHeader(
        market=Market.FUTURES_UM,
        kind=StreamKind.AGG_TRADE,
        recording=RECORDING,
        tool_version="1",
        begun_at=datetime(2026, 5, 8, 12, tzinfo=UTC),
    )
)


def read(content: bytes, key: str = KEY) -> tuple[LiveHeader, list[LiveLine]]:
    sidecar = live_sidecar(key, hashlib.sha256(content).hexdigest())
    header, rest = read_live(io.BytesIO(content), key, sidecar)
    return header, list(rest)


def packed(*found: bytes) -> bytes:
    return b"".join(live_writer.frame(each) for each in found)


def head(**changes: Any) -> bytes:
    return packed(json.dumps(HEADER | changes).encode() + b"\n")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "line 1: not JSON"),
        (b"PK\x03\x04" + b"0" * 99, "it cannot be decompressed"),
        (packed(FIRST) + b"x" * 20, "it cannot be decompressed"),
        (packed(FIRST, b"[1,2,{}]"), "its last line has no end"),
        (packed(FIRST, b"[1,2]\n"), "line 2: not an object"),
        (packed(FIRST, b"{\n"), "line 2: not JSON"),
        (packed(FIRST, b'[1,2,"a]\n'), "line 2: the message is no JSON string"),
        (packed(FIRST, b'[1,2,"\\ud800"]\n'), "line 2: the message is no JSON string"),
        (packed(FIRST, b'{"at": 1}\n'), "line 2: `mark` is missing"),
        (packed(FIRST, b'{"mark": "a", "at": 1.5}\n'), "line 2: `at` is missing"),
        (packed(FIRST, mark_line(LiveMark(1, "end", {"messages": 1}))), "it has 0 messages"),
        (head(format=2), "`format` is 2; this version reads 1"),
        (head(market="x"), "'x' is not a valid Market"),
        (head(kind="x"), "'x' is not a valid StreamKind"),
        (head(recording="x"), "`x` is not 8 to 64 lower-case hexadecimal digits"),
        (head(clock_skew_us=1.5), "`clock_skew_us` is missing or of another type"),
        (head(begun_at="2026-05-08T12:00:01+00:00"), "it is that of `live/futures/um/aggTrade/"),
    ],
)
def test_what_is_no_segment_is_refused_by_name(content: bytes, reason: str) -> None:
    with pytest.raises(SegmentError) as refused:
        read(content)
    assert reason in refused.value.reason
    assert refused.value.key == KEY


CONTENT = packed(FIRST, b"[1,2,{}]\n" * 3, mark_line(LiveMark(1, "end", {"messages": 3})))


def test_a_segment_is_the_one_that_its_sidecar_names() -> None:
    header, rest = read(CONTENT)
    assert (header.key, len(rest)) == (KEY, 4)
    sidecar = live_sidecar(KEY, hashlib.sha256(CONTENT).hexdigest())
    for cut in range(len(CONTENT)):
        with pytest.raises(SegmentError):
            list(read_live(io.BytesIO(CONTENT[:cut]), KEY, sidecar)[1])
    for wrong in (b"", sidecar[1:], sidecar.replace(b"T12", b"T13"), b"\xff" * 64):
        with pytest.raises(SegmentError, match="its sidecar does not name it"):
            read_live(io.BytesIO(CONTENT), KEY, wrong)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_segment, "LINE_BYTES", 1 << 20)
    content = packed(FIRST) + zstandard.ZstdCompressor().compress(b"x" * (50 << 20))
    assert len(content) < 10_000
    with pytest.raises(SegmentError, match="a line has more than 1,048,576 bytes"):
        read(content)


@given(bodies)
def test_a_message_is_one_line(body: bytes) -> None:
    assert b"\n" not in message_text(body)
