"""What a recording has synced is read wherever it is at the moment, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.segments.test_live_recovery import part_of
from tests.segments.test_live_segment import KEY, NOON_US, writer

from crypto_lakehouse.core.errors import SegmentError, StoreError
from crypto_lakehouse.core.protocols import PART_SUFFIX
from crypto_lakehouse.segments import live_open
from crypto_lakehouse.segments.live_delivery import deliver_segment
from crypto_lakehouse.segments.live_open import RecordedFiles
from crypto_lakehouse.segments.live_segment import LiveMessage
from crypto_lakehouse.stores.directory import LocalStore


def bodies(files: RecordedFiles, key: str = KEY) -> list[bytes]:
    opened = files.open(key)
    return [] if opened is None else [one.body for one in opened[1] if isinstance(one, LiveMessage)]


async def test_a_part_is_read_up_to_its_last_whole_sync(tmp_path: Path) -> None:
    _, content, ends = await part_of(tmp_path / "first")
    store = LocalStore(tmp_path / "cut")
    files = RecordedFiles(store)
    for cut in range(0, len(content) + 1, 3):
        # What follows the last sync may be half a frame, or bytes that never reached the disk.
        for rest in (b"", bytes(40)):
            await store.put(KEY + PART_SUFFIX, content[:cut] + rest)
            synced = sum(end <= cut for end in ends)
            assert bodies(files) == [b'{"a":%d}' % at for at in range(synced)]


async def test_a_segment_is_found_while_it_is_finished_and_moved(tmp_path: Path) -> None:
    stage, output = LocalStore(tmp_path / "state"), LocalStore(tmp_path / "output")
    files = RecordedFiles(stage, output)
    assert files.keys() == []
    one = writer(stage)
    one.write(NOON_US, 1, b"{}")
    await one.sync(NOON_US)
    assert (files.keys(), bodies(files)) == ([KEY], [b"{}"])
    opened = files.open(KEY)
    await one.close(NOON_US)
    assert (files.keys(), bodies(files)) == ([KEY], [b"{}"])
    await deliver_segment(stage, output, KEY)
    assert (files.keys(), bodies(files)) == ([KEY], [b"{}"])
    assert files.keys("live/futures/um/aggTrade/") == [KEY]
    assert files.keys("live/spot/") == []
    assert opened is not None
    assert [*opened[1]][:1] == [LiveMessage(NOON_US, 1, b"{}")]
    for place in (files, RecordedFiles(stage)):
        with pytest.raises(StoreError, match="No such file"):
            place.open(KEY.replace("T12", "T13"))


async def test_what_cannot_be_read_is_an_error_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, content, _ = await part_of(tmp_path)
    other = RecordedFiles(store, LocalStore(tmp_path / "none"))
    with pytest.raises(StoreError, match=r"leave|outside"):
        other.open("../outside")
    monkeypatch.setattr(live_open, "FRAME_BYTES", 100)
    with pytest.raises(SegmentError, match="a frame of its part has more than 100 bytes"):
        bodies(other)
    (tmp_path / (KEY + PART_SUFFIX)).unlink()
    (tmp_path / KEY).mkdir()
    await store.put(KEY + ".CHECKSUM", b"no sidecar")
    for files in (other, RecordedFiles(store)):
        with pytest.raises(StoreError, match="directory"):
            files.open(KEY)
    folder = tmp_path / "live" / "spot"
    folder.write_bytes(content)
    assert RecordedFiles(store).keys() == []
