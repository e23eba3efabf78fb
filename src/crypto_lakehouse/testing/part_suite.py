"""Requirements of bodies that arrive in parts, as pytest tests of an application's own store."""

from __future__ import annotations

import asyncio
from hashlib import sha256

from crypto_lakehouse.core.protocols import PART_SUFFIX, Store
from crypto_lakehouse.testing.base_suite import (
    FOLDER,
    KEY,
    NAME,
    NOTE,
    OTHER,
    BaseSuite,
    digest,
    fill,
    leave,
)

__all__ = ["PartSuite"]

_MIB = 1 << 20


class PartSuite(BaseSuite):
    """Tests of the parts of a store, which a subclass provides."""

    def test_large_bodies_may_arrive_at_once(self) -> None:
        """Each has its own bytes; nothing is at a final name before the commit."""

        async def check(store: Store) -> None:
            parts = {key: await store.open_part(key, resume=False) for key in (KEY, OTHER)}
            bodies = dict.fromkeys(parts, b"")
            for number in range(18):
                for key, part in parts.items():
                    buffer = sha256(f"{key} {number}".encode()).digest() * (_MIB // 32)
                    bodies[key] += buffer
                    await part.append(buffer)
            assert dict(store.scan_now(FOLDER).zips) == {}
            assert {key: part.sha256() for key, part in parts.items()} == {
                key: digest(body) for key, body in bodies.items()
            }
            await asyncio.gather(*(part.commit() for part in parts.values()))
            for key, body in bodies.items():
                assert await store.sha256(key) == digest(body)
                with store.reader(key) as file:
                    file.seek(-_MIB, 2)
                    assert file.read() == body[-_MIB:]
                    file.seek(9 * _MIB - 3)
                    assert file.read(6) == body[9 * _MIB - 3 : 9 * _MIB + 3]

        self._run(check)

    def test_a_part_becomes_a_body_when_it_is_committed(self) -> None:
        """Unfinished bytes are visible and hashed, but not yet an archive."""

        async def check(store: Store) -> None:
            seen = bytearray()
            part = await store.open_part(KEY, resume=False, watch=seen.extend)
            await fill(part, b"first ", b"second")
            assert (part.size_bytes, bytes(seen)) == (12, b"first second")
            assert part.sha256() == digest(b"first second")
            assert NAME not in store.scan_now(FOLDER).zips
            stat = await part.commit(sync=True)
            assert (await store.scan(FOLDER))[NAME] == stat
            assert await store.sha256(KEY) == digest(b"first second")
            assert set(store.scan_now(FOLDER).others) == set()

        self._run(check)

    def test_a_part_that_was_closed_is_gone_on_with(self) -> None:
        """A store that keeps no parts starts with none; it hashes the parts that it has."""

        async def check(store: Store) -> None:
            await leave(await store.open_part(KEY, resume=False), b"first ")
            seen = bytearray()
            part = await store.open_part(KEY, resume=True, watch=seen.extend)
            assert bytes(seen) == b"first "[: part.size_bytes]
            await fill(part, b"first second"[part.size_bytes :])
            assert part.sha256() == digest(b"first second")
            await part.commit()
            await part.close()
            assert await store.read(KEY, 100) == b"first second"

        self._run(check)

    def test_a_part_can_be_given_up(self) -> None:
        """After `discard`, a restart or the removal of the part, nothing of it is left."""

        async def check(store: Store) -> None:
            part = await store.open_part(KEY, resume=False)
            await fill(part, b"first ")
            await part.discard()
            assert (await store.open_part(KEY, resume=True)).size_bytes == 0
            await leave(await store.open_part(KEY, resume=False), b"more")
            assert (await store.open_part(KEY, resume=False)).size_bytes == 0
            assert NAME not in store.scan_now(FOLDER).zips
            await leave(await store.open_part(KEY, resume=False), b"more")
            await store.remove(KEY + PART_SUFFIX)
            assert (await store.open_part(KEY, resume=True)).size_bytes == 0

        self._run(check)

    def test_a_part_that_cannot_be_quarantined_is_removed(self) -> None:
        """A store may have to remove the bytes of a first download, but never stores them."""

        async def check(store: Store) -> None:
            part = await store.open_part(KEY, resume=False)
            await fill(part, b"bad")
            is_there = await part.quarantine(NOTE)
            assert [item.archive.key for item in store.quarantined()] == [KEY] * is_there
            assert await store.read(KEY, 10) is None
            assert (await store.open_part(KEY, resume=True)).size_bytes == 0

        self._run(check)

    def test_a_doubtful_part_can_be_committed(self) -> None:
        """The second download may be good; nothing of it is in quarantine then."""

        async def check(store: Store) -> None:
            part = await store.open_part(KEY, resume=False, doubtful=True)
            await fill(part, b"good ", b"bytes")
            assert NAME not in store.scan_now(FOLDER).zips
            stat = await part.commit()
            assert (await store.scan(FOLDER))[NAME] == stat
            assert await store.read(KEY, 100) == b"good bytes"
            assert list(store.quarantined()) == []

        self._run(check)
