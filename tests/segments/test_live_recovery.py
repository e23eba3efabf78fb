"""A recording that is killed leaves what it synced, whole; nothing else is made of its part."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.segments.test_live_segment import KEY, NOON_US, lines, stored, writer

from crypto_lakehouse.core.archive import SIDECAR_SUFFIX
from crypto_lakehouse.core.protocols import PART_SUFFIX
from crypto_lakehouse.segments import live_recovery
from crypto_lakehouse.segments.live_recovery import RecoveredSegment, recover_segments
from crypto_lakehouse.segments.live_segment import LiveMark, LiveMessage
from crypto_lakehouse.stores.directory import LocalStore

#: Writes messages 0, 1, 2, ... and prints how many of them are synced.
RECORDER = """
import asyncio, sys
from tests.segments.test_live_segment import NOON_US, writer
from crypto_lakehouse.stores.directory import LocalStore

async def record():
    one, sent = writer(LocalStore(sys.argv[1])), 0
    while True:
        for _ in range(997):
            one.write(NOON_US + sent, 1, b'{"a":%d}' % sent)
            sent += 1
        await one.sync(NOON_US + sent)
        print(sent, flush=True)

asyncio.run(record())
"""


async def test_a_kill_loses_only_what_was_not_synced(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RECORDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: ASYNC220
        assert process.stdout is not None
        synced = [int(process.stdout.readline()) for _ in range(5)][-1]
        process.kill()
    store = LocalStore(tmp_path)
    [found] = await recover_segments(store, NOON_US)
    assert found == RecoveredSegment(
        key=KEY, is_stored=True, cut_bytes=found.cut_bytes, is_damaged=False
    )
    *messages, killed = lines(store, KEY)
    assert len(messages) >= synced
    assert messages == [
        LiveMessage(NOON_US + at, 1, b'{"a":%d}' % at) for at in range(len(messages))
    ]
    assert killed == LiveMark(NOON_US, "killed", {"cut_bytes": found.cut_bytes})
    assert await recover_segments(store, NOON_US) == []


async def part_of(path: Path) -> tuple[LocalStore, bytes, list[int]]:
    """A part of three syncs, and where each of them ends."""
    store = LocalStore(path)
    one = writer(store)
    ends = []
    for at in range(3):
        one.write(NOON_US + at, 1, b'{"a":%d}' % at)
        await one.sync(NOON_US)
        ends.append(len((await store.read(KEY + PART_SUFFIX, 10**6)) or b""))
    return store, (await store.read(KEY + PART_SUFFIX, 10**6)) or b"", ends


async def test_a_part_is_cut_behind_its_last_whole_frame(tmp_path: Path) -> None:
    _, content, ends = await part_of(tmp_path / "first")
    store = LocalStore(tmp_path / "cut")
    for cut in range(0, len(content) + 1, 3):
        kept = sum(end <= cut for end in ends)
        await store.put(KEY + PART_SUFFIX, content[:cut])
        [found] = await recover_segments(store, NOON_US)
        assert found.is_stored == bool(kept)
        assert found.cut_bytes == cut - ([0, *ends][kept])
        assert not found.is_damaged
        if kept:
            *messages, killed = lines(store, KEY)
            assert [each[0] for each in messages] == [NOON_US + at for at in range(kept)]
            assert killed[1:] == ("killed", {"cut_bytes": found.cut_bytes})
            await store.remove(KEY)
        assert not list(store.live_parts())


@pytest.mark.parametrize("most_bytes", [1 << 20, 1])
async def test_damaged_bytes_go_to_quarantine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_bytes: int
) -> None:
    monkeypatch.setattr(live_recovery, "_MOST_DAMAGED_BYTES", most_bytes)
    store, content, ends = await part_of(tmp_path)
    damaged = bytearray(content)
    damaged[ends[1] - 1] ^= 1  # the checksum of the second frame
    await store.put(KEY + PART_SUFFIX, bytes(damaged))
    [found] = await recover_segments(store, NOON_US)
    is_cut = most_bytes > 1
    rest = len(content) - ends[0]
    assert found == RecoveredSegment(key=KEY, is_stored=is_cut, cut_bytes=rest, is_damaged=True)
    quarantine = tmp_path / ".lakehouse" / "quarantine" / KEY
    if is_cut:
        assert len(lines(store, KEY)) == 2
        assert quarantine.with_name(f"{quarantine.name}.damaged").read_bytes() == damaged[ends[0] :]
    else:
        assert quarantine.read_bytes() == damaged
        assert stored(store) == []
    assert not list(store.live_parts())


async def test_zeros_that_a_power_loss_left_are_cut_off(tmp_path: Path) -> None:
    store, content, _ = await part_of(tmp_path)
    await store.put(KEY + PART_SUFFIX, content + bytes(200_000))
    [found] = await recover_segments(store, NOON_US)
    assert (found.cut_bytes, found.is_damaged, len(lines(store, KEY))) == (200_000, False, 4)


async def test_a_recovery_that_was_killed_is_repeated(tmp_path: Path) -> None:
    store, _, _ = await part_of(tmp_path)
    await recover_segments(store, NOON_US)
    before = lines(store, KEY)
    Path(store.path(KEY)).rename(store.path(KEY + PART_SUFFIX))  # before the last rename
    await store.put(KEY + SIDECAR_SUFFIX, b"")
    await recover_segments(store, NOON_US + 1)
    assert lines(store, KEY) == before


async def test_a_message_like_a_mark_is_no_end(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    one = writer(store)
    one.mark(NOON_US, "note", text="x" * 5000)
    await one.sync(NOON_US)
    [found] = await recover_segments(store, NOON_US)
    assert found.is_stored
    assert [each[1] for each in lines(store, KEY)] == ["note", "killed"]
