"""Large bodies on their way: parts, resumption, quarantine."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.stores.conftest import FOLDER, KEY, NAME, part_of, sha256, tree

from crypto_lakehouse.core.config.own_folder import OWN_FOLDER
from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.stores.directory import LocalStore

# Parts ---------------------------------------------------------------------------------------


async def test_a_large_body_is_invisible_until_it_is_committed(
    store: LocalStore, root: Path
) -> None:
    part = await part_of(store, b"first ", b"second")
    assert tree(root) == {KEY + ".part"}
    assert part.size_bytes == 12
    assert part.sha256() == sha256(b"first second")
    stat = await part.commit()
    assert tree(root) == {KEY}
    assert (root / KEY).read_bytes() == b"first second"
    assert stat == FileStat(12, (root / KEY).stat().st_mtime_ns)
    assert await store.scan(FOLDER) == {NAME: stat}


async def test_a_commit_replaces_the_old_file_at_once(store: LocalStore, root: Path) -> None:
    await store.put(KEY, b"old")
    part = await part_of(store, b"new")
    assert (root / KEY).read_bytes() == b"old"
    await part.commit()
    assert (root / KEY).read_bytes() == b"new"


async def test_a_part_that_is_begun_forgets_what_was_there(store: LocalStore) -> None:
    await (await part_of(store, b"leftover")).close()
    part = await part_of(store, b"new")
    assert part.sha256() == sha256(b"new")
    await part.commit()
    assert await store.read(KEY, 100) == b"new"


@pytest.mark.parametrize("times", [1, 200_000], ids=["one step", "several steps"])
async def test_a_part_that_is_resumed_goes_on_where_it_ended(store: LocalStore, times: int) -> None:
    half = b"the first half, " * times
    await (await part_of(store, half)).close()
    part = await store.open_part(KEY, resume=True)
    assert part.size_bytes == 16 * times
    assert part.sha256() == sha256(half)
    await part.append(b"the second")
    assert part.size_bytes == 16 * times + 10
    assert part.sha256() == sha256(half + b"the second")
    await part.commit()
    assert await store.read(KEY, 1 << 24) == half + b"the second"


async def test_nothing_can_be_resumed_where_nothing_is(store: LocalStore, root: Path) -> None:
    part = await store.open_part(KEY, resume=True)
    assert part.size_bytes == 0
    assert tree(root) == set()
    await part.append(b"content")
    await part.commit()
    assert tree(root) == {KEY}


async def test_a_part_that_is_whole_already_can_be_committed(store: LocalStore) -> None:
    await (await part_of(store, b"content")).close()
    part = await store.open_part(KEY, resume=True)
    assert (await part.commit()).size_bytes == 7


async def test_a_part_can_be_appended_to_after_it_was_closed(store: LocalStore) -> None:
    part = await part_of(store, b"one ")
    await part.close()
    await part.close()
    await part.append(b"two")
    await part.commit()
    assert await store.read(KEY, 100) == b"one two"


@settings(max_examples=examples(30), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(buffers=st.lists(st.binary(max_size=20)), resumed_at=st.sets(st.integers(0, 5)))
async def test_the_digest_does_not_depend_on_buffers_and_resumptions(
    store: LocalStore, root: Path, buffers: list[bytes], resumed_at: set[int]
) -> None:
    part = await store.open_part(KEY, resume=False)
    for number, buffer in enumerate(buffers):
        if number in resumed_at:
            await part.close()
            part = await store.open_part(KEY, resume=True)
        await part.append(buffer)
    await part.close()
    assert part.size_bytes == (root / (KEY + ".part")).stat().st_size
    assert (
        part.sha256() == sha256(b"".join(buffers)) == sha256((root / (KEY + ".part")).read_bytes())
    )


async def test_a_system_that_takes_little_at_a_time_gets_all_of_a_buffer(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Sluggish(io.FileIO):
        def write(self, data: Any, /) -> int:
            return super().write(memoryview(data)[:2]) or 0

    def sluggish(descriptor: int, *_arguments: Any, **_options: Any) -> io.FileIO:
        return Sluggish(descriptor, "wb")

    monkeypatch.setattr(os, "fdopen", sluggish)
    part = await part_of(store, b"an odd number")
    await part.commit()
    assert await store.read(KEY, 100) == b"an odd number"


async def test_a_part_that_is_discarded_is_gone(store: LocalStore, root: Path) -> None:
    part = await part_of(store, b"content")
    await part.discard()
    await part.discard()
    assert tree(root) == set()


async def test_a_commit_that_is_refused_keeps_the_part(store: LocalStore, root: Path) -> None:
    part = await part_of(store, b"content")
    (root / KEY / "mine").mkdir(parents=True)
    with pytest.raises(StoreError, match="directory"):
        await part.commit()
    assert tree(root) == {KEY + ".part"}


async def test_a_part_that_was_removed_by_others_is_a_refusal(
    store: LocalStore, root: Path
) -> None:
    part = await part_of(store, b"content")
    (root / (KEY + ".part")).unlink()
    with pytest.raises(StoreError, match="No such file"):
        await part.commit()
    with pytest.raises(StoreError, match="No such file"):
        await part.quarantine({})
    assert not (root / KEY).exists()


# Quarantine ----------------------------------------------------------------------------------

NOTE = {"key": KEY, "reason": "häßlich", "sha256": None}


def quarantined(root: Path) -> tuple[bytes, object]:
    path = root / OWN_FOLDER / "quarantine" / KEY
    return path.read_bytes(), json.loads((path.parent / (NAME + ".json")).read_bytes())


async def test_a_small_body_is_set_aside_with_its_note(store: LocalStore, root: Path) -> None:
    await store.put(KEY, b"good")
    await store.quarantine(KEY, b"bad", NOTE)
    assert quarantined(root) == (b"bad", NOTE)
    assert (root / KEY).read_bytes() == b"good"
    assert len(tree(root)) == 3


async def test_a_part_is_set_aside_with_its_note(store: LocalStore, root: Path) -> None:
    await (await part_of(store, b"bad")).quarantine(NOTE)
    assert quarantined(root) == (b"bad", NOTE)
    assert len(tree(root)) == 2


async def test_a_body_in_quarantine_takes_the_place_of_an_earlier_one(
    store: LocalStore, root: Path
) -> None:
    await store.quarantine(KEY, b"bad, and long", {"reason": "first"})
    await store.quarantine(KEY, b"worse", NOTE)
    assert quarantined(root) == (b"worse", NOTE)
    await (await part_of(store, b"worst")).quarantine({"reason": "third"})
    assert quarantined(root) == (b"worst", {"reason": "third"})
    assert len(tree(root)) == 2


async def test_a_quarantine_that_is_refused_is_told(store: LocalStore, root: Path) -> None:
    (root / OWN_FOLDER / "quarantine" / KEY).mkdir(parents=True)
    with pytest.raises(StoreError, match="directory"):
        await store.quarantine(KEY, b"bad", NOTE)
    part = await part_of(store, b"bad")
    with pytest.raises(StoreError, match="directory"):
        await part.quarantine(NOTE)
    assert tree(root) == {KEY + ".part"}
