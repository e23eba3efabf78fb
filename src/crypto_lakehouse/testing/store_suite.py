"""Requirements of every store, as pytest tests of an application's own store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from crypto_lakehouse.core.archive import SIDECAR_SUFFIX
from crypto_lakehouse.core.errors import StoreError
from crypto_lakehouse.core.origin import Origin
from crypto_lakehouse.core.protocols import KeepsSegments, PutsArchives, Store
from crypto_lakehouse.testing.base_suite import (
    FOLDER,
    KEY,
    NAME,
    NOTE,
    OTHER,
    SIDECAR,
    digest,
    fill,
    leave,
)
from crypto_lakehouse.testing.part_suite import PartSuite

__all__ = ["StoreSuite"]

_NAMES = ["币安人生USDT-trades-2025-07-15.zip", "a b.zip", "100%.zip", "a%2Fb.zip", "#1+?&=.zip"]


class StoreSuite(PartSuite):
    """Tests of a store, which a subclass provides.

    No plugin for async tests is needed.

    Examples:
        >>> class TestMyStore(StoreSuite):
        ...     def make_store(self):
        ...         return MyStore()
    """

    def test_an_empty_store_has_nothing(self) -> None:
        """An absent key is reported as absent, without an error."""

        async def check(store: Store) -> None:
            assert dict(await store.scan(FOLDER)) == {}
            scan = store.scan_now(FOLDER)
            assert (dict(scan.zips), set(scan.others)) == ({}, set())
            assert await store.sha256(KEY) is None
            assert await store.read(KEY, 10) is None
            assert list(store.quarantined()) == []
            assert list(store.kept_versions()) == []
            await store.remove(KEY)
            store.remove_now(KEY)
            store.release(KEY)

        self._run(check)

    def test_a_body_is_stored_and_read_back(self) -> None:
        """Bytes, digest, size and both scans agree."""

        async def check(store: Store) -> None:
            stat = await store.put(KEY, b"zip bytes")
            await store.put(SIDECAR, b"sidecar", sync=True)
            assert stat.size_bytes == 9
            assert await store.read(KEY, 3) == b"zip"
            assert await store.read(KEY, 100) == b"zip bytes"
            assert await store.sha256(KEY) == digest(b"zip bytes")
            with store.reader(KEY) as file:
                assert file.read() == b"zip bytes"
            assert (await store.scan(FOLDER))[NAME] == stat
            scan = store.scan_now(FOLDER)
            assert dict(scan.zips) == {NAME: tuple(stat)}
            assert set(scan.others) == {NAME + ".CHECKSUM"}
            store.make_durable([KEY])

        self._run(check)

    def test_an_archive_is_stored_with_its_sidecar(self) -> None:
        """A store that offers `put_archive` stores what two calls of `put` do."""

        async def check(store: Store) -> None:
            if not isinstance(store, PutsArchives):
                return
            await store.put(OTHER, b"other bytes")
            assert NAME not in store.scan_now(FOLDER).zips
            for data, sidecar in ((b"zip bytes", b"sidecar"), (b"newer", b"newer sidecar")):
                stat = await store.put_archive(KEY, data, sidecar, sha256=digest(data))
                assert stat.size_bytes == len(data)
                assert await store.read(KEY, 100) == data
                assert await store.read(SIDECAR, 100) == sidecar
                assert await store.sha256(KEY) == digest(data)
                scan = store.scan_now(FOLDER)
                assert scan.zips[NAME] == tuple(stat)
                assert set(scan.others) == {NAME + ".CHECKSUM"}

        self._run(check)

    def test_a_prefix_is_scanned_with_and_without_its_slash(self) -> None:
        """The name of a folder means the same in both forms, and never includes deeper keys."""

        async def check(store: Store) -> None:
            await store.put(KEY, b"zip bytes")
            assert set(await store.scan(FOLDER)) == set(await store.scan(FOLDER[:-1])) == {NAME}
            assert dict(await store.scan("data/spot/daily/trades/")) == {}

        self._run(check)

    def test_folders_are_listed_once_and_in_order(self) -> None:
        """What has no archives may be among them; quarantine and replaced versions are not."""

        async def check(store: Store) -> None:
            assert [name for name in store.folders() if store.scan_now(name).zips] == []
            symbols = ["ETHUSDT", "BTCUSDT", "1INCHUSDT"]
            klines = "data/futures/um/daily/klines/"
            wanted = {f"{klines}{symbol}/{of}/" for symbol in symbols for of in ("1mo", "1h")}
            wanted |= {FOLDER, f"{klines}BTCUSDT/"}  # which has files and folders
            for folder in wanted:
                await store.put(f"{folder}A-2025-07-15.zip", b"zip bytes")
                await store.put(f"{folder}Z-2025-07-15.zip", b"zip bytes")
            await store.quarantine(OTHER, b"bad", NOTE)
            await store.keep_replaced(KEY, digest(b"zip bytes"))
            names = []
            for name in store.folders():
                found = set(store.scan_now(name).zips)
                assert found in ({"A-2025-07-15.zip", "Z-2025-07-15.zip"}, set())
                names += [name] if found else []
            assert names == sorted(wanted) == [name for name in store.folders() if name in wanted]

        self._run(check)

    def test_segments_are_listed_and_are_no_archives(self) -> None:
        """A store that keeps segments lists those of an origin, without their sidecars."""

        async def check(store: Store) -> None:
            if not isinstance(store, KeepsSegments):
                return
            assert list(store.segments(_refuse)) == []
            folder = "rest/futures/um/daily/klines/BTCUSDT/1h/"
            names = [f"{folder}BTCUSDT-1h-2025-07-{day}.jsonl.zst" for day in (15, 16)]
            stats = []
            for name in names:
                await store.put(f"{name}{SIDECAR_SUFFIX}", b"sidecar")
                stats.append(await store.put(name, b"segment"))
            await store.put(KEY, b"zip bytes")
            recorded = "live/spot/trade/2025-07-15/trade-2025-07-15T12-0000-9f3c01ab.jsonl.zst"
            recorded_stat = await store.put(recorded, b"messages")
            await store.put(f"{recorded}{SIDECAR_SUFFIX}", b"sidecar")
            assert list(store.segments(_refuse)) == list(zip(names, stats, strict=True))
            assert list(store.segments(_refuse, Origin.LIVE)) == [(recorded, recorded_stat)]
            assert {name for name in store.folders() if store.scan_now(name).zips} == {FOLDER}

        self._run(check)

    def test_a_body_is_replaced_and_removed(self) -> None:
        """The last bytes that were put are stored; nothing is stored after a removal."""

        async def check(store: Store) -> None:
            await store.put(KEY, b"old")
            stat = await store.put(KEY, b"newer")
            assert (stat.size_bytes, await store.read(KEY, 100)) == (5, b"newer")
            await store.remove(KEY)
            assert await store.sha256(KEY) is None
            await store.put(KEY, b"again")
            store.remove_now(KEY)
            assert dict(store.scan_now(FOLDER).zips) == {}

        self._run(check)

    def test_a_name_may_have_any_visible_characters(self) -> None:
        """Names come from the source, and have letters of any language."""

        async def check(store: Store) -> None:
            for name in _NAMES:
                await store.put(FOLDER + name, name.encode())
            assert set(await store.scan(FOLDER)) == set(_NAMES)
            assert set(store.scan_now(FOLDER).zips) == set(_NAMES)
            for name in _NAMES:
                assert await store.read(FOLDER + name, 100) == name.encode()
                await store.remove(FOLDER + name)
            assert dict(await store.scan(FOLDER)) == {}

        self._run(check)

    def test_a_scan_has_what_was_changed_after_an_earlier_one(self) -> None:
        """A store may remember what it has listed, but not beyond a change."""

        async def check(store: Store) -> None:
            await store.put(KEY, b"zip bytes")
            await store.put(OTHER, b"zip bytes")
            assert len(store.scan_now(FOLDER).zips) == 2
            await store.remove(KEY)
            assert dict(store.scan_now(FOLDER).zips).keys() == {OTHER.removeprefix(FOLDER)}
            stat = await store.put(KEY, b"again")
            assert store.scan_now(FOLDER).zips[NAME] == tuple(stat)
            part = await store.open_part(OTHER, resume=False)
            await fill(part, b"newer bytes")
            committed = await part.commit()
            name = OTHER.removeprefix(FOLDER)
            assert store.scan_now(FOLDER).zips[name] == tuple(committed)

        self._run(check)

    def test_a_body_may_be_empty(self) -> None:
        """Whether such a body is an archive is not the store's to decide."""

        async def check(store: Store) -> None:
            assert (await store.put(KEY, b"")).size_bytes == 0
            part = await store.open_part(OTHER, resume=False)
            assert (await part.commit()).size_bytes == 0
            for key in (KEY, OTHER):
                assert await store.read(key, 10) == b""
                assert await store.sha256(key) == digest(b"")

        self._run(check)

    def test_bodies_may_be_put_at_once(self) -> None:
        """Bodies with one key replace each other as wholes."""

        async def check(store: Store) -> None:
            bodies = [b"%d" % number * 1000 for number in range(10)]
            keys = [f"{FOLDER}BTCUSDT-trades-2025-08-{10 + number}.zip" for number in range(10)]
            puts = [store.put(key, body) for key, body in zip(keys, bodies, strict=True)]
            await asyncio.gather(*puts, *(store.put(KEY, body) for body in bodies))
            for key, body in zip(keys, bodies, strict=True):
                assert await store.read(key, 2000) == body
            assert await store.read(KEY, 2000) in bodies

        self._run(check)

    def test_preparing_keeps_bodies_and_parts(self) -> None:
        """It clears what a killed run left in an intermediate state, and nothing else."""

        async def check(store: Store) -> None:
            await store.put(KEY, b"zip bytes")
            await leave(await store.open_part(OTHER, resume=False), b"first ")
            before = (await store.open_part(OTHER, resume=True)).size_bytes
            store.prepare()
            assert await store.read(KEY, 100) == b"zip bytes"
            assert (await store.open_part(OTHER, resume=True)).size_bytes == before

        self._run(check)

    def test_a_mark_changes_with_the_body(self) -> None:
        """A coarse clock may give some bodies of one size the same mark, but not all."""

        async def check(store: Store) -> None:
            first = await store.put(KEY, b"0")
            for number in range(1, 100_000):
                if await store.put(KEY, b"%d" % (number % 10)) != first:
                    return
            raise AssertionError("the mark is the same for all bodies; change it with the body")

        self._run(check)

    def test_what_is_kept_beside_the_archives_is_listed_in_the_order_of_keys(self) -> None:
        """Displays and repairs read these lists as they come."""

        async def check(store: Store) -> None:
            for key in (OTHER, KEY):
                await store.quarantine(key, b"bad", {**NOTE, "key": key})
                await store.put(key, b"old")
                await store.keep_replaced(key, digest(b"old"))
            keys = sorted((KEY, OTHER))
            assert [item.archive.key for item in store.quarantined()] == keys
            assert [item.key for item in store.kept_versions()] == keys

        self._run(check)

    def test_what_is_quarantined_is_listed_and_released(self) -> None:
        """Small bodies and parts are quarantined with a note, and never at the final name."""

        async def check(store: Store) -> None:
            await store.quarantine(KEY, b"bad", NOTE)
            part = await store.open_part(KEY, resume=False, doubtful=True)
            await fill(part, b"worse")
            assert await part.quarantine({**NOTE, "reason": "worse"})
            (item,) = store.quarantined()
            assert (item.archive.key, item.reason) == (KEY, "corrupt: worse")
            assert dict(store.scan_now(FOLDER).zips) == {}
            store.release(KEY)
            assert list(store.quarantined()) == []

        self._run(check)

    def test_a_replaced_version_is_kept_listed_and_removed(self) -> None:
        """The file stays where it is; the kept bytes outlive its replacement."""

        async def check(store: Store) -> None:
            await store.put(KEY, b"old")
            assert await store.keep_replaced(KEY, digest(b"other")) == ""
            place = await store.keep_replaced(KEY, digest(b"old"))
            await store.put(KEY, b"newer")
            (kept,) = store.kept_versions()
            assert (kept.key, kept.sha256, kept.size_bytes) == (KEY, digest(b"old"), 3)
            assert kept.place == place != ""
            assert store.remove_kept(place) == 3
            assert store.remove_kept(place) is None
            assert list(store.kept_versions()) == []
            assert await store.read(KEY, 100) == b"newer"

        self._run(check)

    def test_keys_that_leave_the_store_are_refused(self) -> None:
        """Keys come from the source, which is not trusted."""

        async def check(store: Store) -> None:
            for key in ("../outside.zip", "data/../../outside.zip", "/outside.zip", "data//a.zip"):
                uses: dict[str, Callable[[], Awaitable[object]]] = {
                    "put": partial(store.put, key, b"x"),
                    "open_part": partial(store.open_part, key, resume=False),
                    "quarantine": partial(store.quarantine, key, b"x", NOTE),
                    "sha256": partial(store.sha256, key),
                    "read": partial(store.read, key, 10),
                    "remove": partial(store.remove, key),
                    "keep_replaced": partial(store.keep_replaced, key, digest(b"x")),
                }
                if isinstance(store, PutsArchives):
                    uses["put_archive"] = partial(store.put_archive, key, b"x", b"x", sha256="")
                for name, use in uses.items():
                    await _refused(name, key, use)

        self._run(check)


async def _refused(name: str, key: str, use: Callable[[], Awaitable[object]]) -> None:
    try:
        await use()
    except StoreError:
        return
    raise AssertionError(f"`{name}` took the key {key!r}; raise StoreError for it")


def _refuse(folder: str, reason: str) -> None:
    raise AssertionError(f"`segments` cannot read {folder}: {reason}")
