"""A finished segment of a recording goes from the state folder to an output in an object store."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.segments.test_live_segment import FOLDER, KEY, NOON_US, lines, stored, writer

from crypto_lakehouse.core.errors import SegmentError
from crypto_lakehouse.segments.live_delivery import deliver_segment
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.stores.objects.store import ObjectStore


async def test_a_segment_is_moved_whole_or_stays(client: ObjectClient, tmp_path: Path) -> None:
    stage, store = LocalStore(tmp_path), ObjectStore(client)
    one = writer(stage)
    one.write(NOON_US, 1, b"{}")
    await one.close(NOON_US)
    before = lines(stage, KEY)
    await deliver_segment(stage, store, KEY)
    assert (stored(stage), stored(store), lines(store, KEY)) == ([], [KEY], before)
    assert dict(await stage.scan(FOLDER)) == {}
    await stage.put(KEY, b"damaged")
    with pytest.raises(SegmentError, match="its sidecar does not name it"):
        await deliver_segment(stage, store, KEY)
    assert (lines(store, KEY), await stage.read(KEY, 9)) == (before, b"damaged")
