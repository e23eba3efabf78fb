"""Requirements of every store, as pytest tests of an application's own store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from hashlib import sha256

from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.protocols import PART_SUFFIX, Part, Store

__all__ = ["StoreSuite"]

_FOLDER = "data/spot/daily/trades/BTCUSDT/"
_NAME = "BTCUSDT-trades-2025-07-15.zip"
_KEY = _FOLDER + _NAME
_SIDECAR = _KEY + ".CHECKSUM"
_OTHER = _FOLDER + "BTCUSDT-trades-2025-07-16.zip"
_NOTE = {"verdict": "corrupt", "reason": "no readable zip"}


class StoreSuite:
    """Tests of a store, which a subclass provides.

    No plugin for async tests is needed.

    Example:
        >>> class TestMyStore(StoreSuite):
        ...     def make_store(self):
        ...         return MyStore()
    """

    def make_store(self) -> Store:
        """Make an empty store; called once for each test."""
        raise NotImplementedError(
            f"{type(self).__name__} lacks `make_store`, which must return a store"
        )

    def _run(self, check: Callable[[Store], Awaitable[None]]) -> None:
        async def checked() -> None:
            store = self.make_store()
            store.prepare()
            await check(store)

        asyncio.run(checked())

    def test_an_empty_store_has_nothing(self) -> None:
        """An absent key is reported as absent, without an error."""

        async def check(store: Store) -> None:
            assert dict(await store.scan(_FOLDER)) == {}
            scan = store.scan_now(_FOLDER)
            assert (dict(scan.zips), set(scan.others)) == ({}, set())
            assert await store.sha256(_KEY) is None
            assert await store.read(_KEY, 10) is None
            assert list(store.quarantined()) == []
            assert list(store.kept_versions()) == []
            await store.remove(_KEY)
            store.remove_now(_KEY)
            store.release(_KEY)

        self._run(check)

    def test_a_body_is_stored_and_read_back(self) -> None:
        """Bytes, digest, size and both scans agree."""

        async def check(store: Store) -> None:
            stat = await store.put(_KEY, b"zip bytes")
            await store.put(_SIDECAR, b"sidecar", sync=True)
            assert stat.size_bytes == 9
            assert await store.read(_KEY, 3) == b"zip"
            assert await store.read(_KEY, 100) == b"zip bytes"
            assert await store.sha256(_KEY) == _digest(b"zip bytes")
            with store.reader(_KEY) as file:
                assert file.read() == b"zip bytes"
            assert (await store.scan(_FOLDER))[_NAME] == stat
            scan = store.scan_now(_FOLDER)
            assert dict(scan.zips) == {_NAME: tuple(stat)}
            assert set(scan.others) == {_NAME + ".CHECKSUM"}
            store.make_durable([_KEY])

        self._run(check)

    def test_a_prefix_is_scanned_with_and_without_its_slash(self) -> None:
        """The name of a folder means the same in both forms, and never includes deeper keys."""

        async def check(store: Store) -> None:
            await store.put(_KEY, b"zip bytes")
            assert set(await store.scan(_FOLDER)) == set(await store.scan(_FOLDER[:-1])) == {_NAME}
            assert dict(await store.scan("data/spot/daily/trades/")) == {}

        self._run(check)

    def test_a_body_is_replaced_and_removed(self) -> None:
        """The last bytes that were put are stored; nothing is stored after a removal."""

        async def check(store: Store) -> None:
            await store.put(_KEY, b"old")
            stat = await store.put(_KEY, b"newer")
            assert (stat.size_bytes, await store.read(_KEY, 100)) == (5, b"newer")
            await store.remove(_KEY)
            assert await store.sha256(_KEY) is None
            await store.put(_KEY, b"again")
            store.remove_now(_KEY)
            assert dict(store.scan_now(_FOLDER).zips) == {}

        self._run(check)

    def test_a_part_becomes_a_body_when_it_is_committed(self) -> None:
        """Unfinished bytes are visible and hashed, but not yet an archive."""

        async def check(store: Store) -> None:
            seen = bytearray()
            part = await store.open_part(_KEY, resume=False, watch=seen.extend)
            await _fill(part, b"first ", b"second")
            assert (part.size_bytes, bytes(seen)) == (12, b"first second")
            assert part.sha256() == _digest(b"first second")
            assert _NAME not in store.scan_now(_FOLDER).zips
            stat = await part.commit(sync=True)
            assert (await store.scan(_FOLDER))[_NAME] == stat
            assert await store.sha256(_KEY) == _digest(b"first second")
            assert set(store.scan_now(_FOLDER).others) == set()

        self._run(check)

    def test_a_part_that_was_closed_is_gone_on_with(self) -> None:
        """A store that keeps no parts starts with none; it hashes the parts that it has."""

        async def check(store: Store) -> None:
            await _fill(await store.open_part(_KEY, resume=False), b"first ")
            seen = bytearray()
            part = await store.open_part(_KEY, resume=True, watch=seen.extend)
            assert bytes(seen) == b"first "[: part.size_bytes]
            await _fill(part, b"first second"[part.size_bytes :])
            assert part.sha256() == _digest(b"first second")
            await part.commit()
            assert await store.read(_KEY, 100) == b"first second"

        self._run(check)

    def test_a_part_can_be_given_up(self) -> None:
        """After `discard`, a restart or the removal of the part, nothing of it is left."""

        async def check(store: Store) -> None:
            part = await store.open_part(_KEY, resume=False)
            await _fill(part, b"first ")
            await part.discard()
            assert (await store.open_part(_KEY, resume=True)).size_bytes == 0
            await _fill(await store.open_part(_KEY, resume=False), b"more")
            assert (await store.open_part(_KEY, resume=False)).size_bytes == 0
            await _fill(await store.open_part(_KEY, resume=False), b"more")
            await store.remove(_KEY + PART_SUFFIX)
            assert (await store.open_part(_KEY, resume=True)).size_bytes == 0

        self._run(check)

    def test_preparing_keeps_bodies_and_parts(self) -> None:
        """It clears what a killed run left in an intermediate state, and nothing else."""

        async def check(store: Store) -> None:
            await store.put(_KEY, b"zip bytes")
            await _fill(await store.open_part(_OTHER, resume=False), b"first ")
            before = (await store.open_part(_OTHER, resume=True)).size_bytes
            store.prepare()
            assert await store.read(_KEY, 100) == b"zip bytes"
            assert (await store.open_part(_OTHER, resume=True)).size_bytes == before

        self._run(check)

    def test_a_mark_changes_with_the_body(self) -> None:
        """A coarse clock may give some bodies of one size the same mark, but not all."""

        async def check(store: Store) -> None:
            first = await store.put(_KEY, b"0")
            for number in range(1, 100_000):
                if await store.put(_KEY, b"%d" % (number % 10)) != first:
                    return
            raise AssertionError("the mark is the same for all bodies; change it with the body")

        self._run(check)

    def test_what_is_kept_beside_the_archives_is_listed_in_the_order_of_keys(self) -> None:
        """Displays and repairs read these lists as they come."""

        async def check(store: Store) -> None:
            for key in (_OTHER, _KEY):
                await store.quarantine(key, b"bad", {**_NOTE, "key": key})
                await store.put(key, b"old")
                await store.keep_replaced(key, _digest(b"old"))
            keys = sorted((_KEY, _OTHER))
            assert [item.archive.key for item in store.quarantined()] == keys
            assert [item.key for item in store.kept_versions()] == keys

        self._run(check)

    def test_what_is_quarantined_is_listed_and_released(self) -> None:
        """Small bodies and parts are quarantined with a note, and never at the final name."""

        async def check(store: Store) -> None:
            await store.quarantine(_KEY, b"bad", _NOTE)
            part = await store.open_part(_KEY, resume=False)
            await _fill(part, b"worse")
            await part.quarantine({**_NOTE, "reason": "worse"})
            (item,) = store.quarantined()
            assert (item.archive.key, item.reason) == (_KEY, "corrupt: worse")
            assert dict(store.scan_now(_FOLDER).zips) == {}
            store.release(_KEY)
            assert list(store.quarantined()) == []

        self._run(check)

    def test_a_replaced_version_is_kept_listed_and_removed(self) -> None:
        """The file stays where it is; the kept bytes outlive its replacement."""

        async def check(store: Store) -> None:
            await store.put(_KEY, b"old")
            assert await store.keep_replaced(_KEY, _digest(b"other")) == ""
            place = await store.keep_replaced(_KEY, _digest(b"old"))
            await store.put(_KEY, b"newer")
            (kept,) = store.kept_versions()
            assert (kept.key, kept.sha256, kept.size_bytes) == (_KEY, _digest(b"old"), 3)
            assert kept.place == place != ""
            assert store.remove_kept(place) == 3
            assert store.remove_kept(place) is None
            assert list(store.kept_versions()) == []
            assert await store.read(_KEY, 100) == b"newer"

        self._run(check)

    def test_keys_that_leave_the_store_are_refused(self) -> None:
        """Keys come from the source, which is not trusted."""

        async def check(store: Store) -> None:
            for key in ("../outside.zip", "data/../../outside.zip", "/outside.zip", "data//a.zip"):
                uses: dict[str, Callable[[], Awaitable[object]]] = {
                    "put": partial(store.put, key, b"x"),
                    "open_part": partial(store.open_part, key, resume=False),
                    "quarantine": partial(store.quarantine, key, b"x", _NOTE),
                    "sha256": partial(store.sha256, key),
                    "read": partial(store.read, key, 10),
                    "remove": partial(store.remove, key),
                    "keep_replaced": partial(store.keep_replaced, key, _digest(b"x")),
                }
                for name, use in uses.items():
                    await _refused(name, key, use)

        self._run(check)


async def _refused(name: str, key: str, use: Callable[[], Awaitable[object]]) -> None:
    try:
        await use()
    except StoreError:
        return
    raise AssertionError(f"`{name}` took the key {key!r}; raise StoreError for it")


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()


async def _fill(part: Part, *buffers: bytes) -> None:
    for buffer in buffers:
        await part.append(buffer)
    await part.close()
