"""Corners of one archive's way that a server alone cannot bring about."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from yarl import URL

from crypto_lakehouse.collection.collector import ArchiveCollector
from crypto_lakehouse.collection.download.fetcher import Fetcher, Transfer
from crypto_lakehouse.collection.lost_claims import ClaimLost
from crypto_lakehouse.collection.verdicts.inspect_download import DownloadInspector
from crypto_lakehouse.collection.verdicts.local_copy import NOTHING, LocalCopyChecker
from crypto_lakehouse.collection.work import Action, Work
from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.events import ArchiveFinished, Event
from crypto_lakehouse.core.object_facts import FileStat
from crypto_lakehouse.core.plan import PlannedArchive
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.http.allowed_hosts import AllowedHosts
from crypto_lakehouse.http.client import engine_client
from crypto_lakehouse.http.concurrency_limit import FixedLimit
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.http.transport import HttpTransport
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.testing import ArchiveServer

ARCHIVE = Archive.parse("data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-07-15.zip")


async def collect(
    server: ArchiveServer,
    store: LocalStore,
    work: Work,
    *,
    keep_sidecars: bool = True,
    check: Callable[[Archive], Awaitable[None]] | None = None,
) -> ArchiveFinished:
    """Settle one archive without a pipeline around it."""

    async def emit(_events: list[Event] | tuple[Event, ...] | object) -> None:
        return None

    async with engine_client(1, 5.0) as client:
        transport = HttpTransport(client, AllowedHosts.of(server.url, []))
        fetcher = Fetcher(
            transport, URL(server.url), store, RetryPolicy(), FixedLimit(1), emit, check=check
        )
        collector = ArchiveCollector(
            fetcher=fetcher, store=store, integrity="sidecar", keep_sidecars=keep_sidecars,
            today=date(2026, 11, 23),
        )  # fmt: skip
        return await collector.collect(work)


async def test_a_file_that_vanishes_after_the_scan_is_fetched(
    archive_server: ArchiveServer, tmp_path: Path
) -> None:
    store = LocalStore(tmp_path)
    work = Work(planned=PlannedArchive(ARCHIVE), action=Action.CHECK, stat=FileStat(10, 10))
    event = await collect(archive_server, store, work)
    assert event.verdict is Verdict.VERIFIED
    assert event.requests == 2


async def test_a_file_proven_by_the_published_sidecar_alone_needs_not_keep_it(
    archive_server: ArchiveServer, tmp_path: Path
) -> None:
    store = LocalStore(tmp_path)
    fetched = await collect(
        archive_server, store, Work(planned=PlannedArchive(ARCHIVE), action=Action.FETCH),
        keep_sidecars=False,
    )  # fmt: skip
    stat = fetched.facts.stat
    assert stat is not None
    work = Work(planned=PlannedArchive(ARCHIVE), action=Action.CHECK, stat=stat)
    event = await collect(archive_server, store, work, keep_sidecars=False)
    assert event.verdict is Verdict.VERIFIED
    assert event.requests == 1
    assert not Path(store.path(ARCHIVE.sidecar_key)).exists()


async def test_a_file_that_cannot_be_read_back_fails_its_archive_only(
    archive_server: ArchiveServer, tmp_path: Path
) -> None:
    class BadDisk(LocalStore):
        def reader(self, key: str) -> BinaryIO:
            raise OSError(errno.EIO, "Input/output error", key)

    store = BadDisk(tmp_path)
    fetched = Work(planned=PlannedArchive(ARCHIVE), action=Action.FETCH)
    stat = await store.put(ARCHIVE.key, b"anything")
    await store.put(ARCHIVE.sidecar_key, hashlib.sha256(b"anything").hexdigest().encode())
    assert (await collect(archive_server, store, fetched)).verdict is Verdict.VERIFIED
    await store.put(ARCHIVE.key, b"anything")
    await store.put(ARCHIVE.sidecar_key, hashlib.sha256(b"anything").hexdigest().encode())
    work = Work(planned=PlannedArchive(ARCHIVE), action=Action.CHECK, stat=stat)
    event = await collect(archive_server, store, work)
    assert event.verdict is Verdict.FAILED
    assert "Input/output error" in event.reason


async def test_an_archive_whose_claim_is_lost_is_not_asked_for_and_has_no_verdict(
    archive_server: ArchiveServer, tmp_path: Path
) -> None:
    async def lost(archive: Archive) -> None:
        raise ClaimLost(archive.key)

    work = Work(planned=PlannedArchive(ARCHIVE), action=Action.FETCH)
    with pytest.raises(ClaimLost):
        await collect(archive_server, LocalStore(tmp_path), work, check=lost)
    assert archive_server.requests == []


async def test_a_file_without_a_sidecar_anywhere_that_is_no_zip_is_fetched(
    archive_server: ArchiveServer, tmp_path: Path
) -> None:
    store = LocalStore(tmp_path)
    stat = await store.put(ARCHIVE.key, b"junk")
    archive_server.remove(ARCHIVE.sidecar_key)
    work = Work(planned=PlannedArchive(ARCHIVE), action=Action.CHECK, stat=stat)
    event = await collect(archive_server, store, work)
    assert event.verdict is Verdict.SIDECAR_MISSING
    assert event.requests == 3, "its sidecar, then the zip and its sidecar"


async def test_where_no_file_stands_nothing_is_asked(tmp_path: Path) -> None:
    checker = LocalCopyChecker(
        LocalStore(tmp_path), cast("DownloadInspector", None), keep_sidecars=True
    )
    work = Work(planned=PlannedArchive(ARCHIVE), action=Action.FETCH)
    assert await checker.check(work, cast("Transfer", None)) is NOTHING
