"""Whatever one archive, folder or listing page raises, the rest of the run goes on."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from typing import Any

import pytest
from tests.workflows.conftest import Collection

from crypto_lakehouse.collection.verifier import FileState, StoredArchive, Verifier
from crypto_lakehouse.core.errors import ConfigurationError, StoreError
from crypto_lakehouse.core.report import CollectionReport
from crypto_lakehouse.http.s3_listing_xml import PageParser
from crypto_lakehouse.ledger.sqlite import SqliteLedger
from crypto_lakehouse.planning import listed_plan
from crypto_lakehouse.planning.listed_cover import cover_listed
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.testing import ArchiveServer, faults

DAYS = "2025-07-10", "2025-07-15"
FOLDER = "data/spot/daily/klines/BTCUSDT/1h/"
KEY = f"{FOLDER}BTCUSDT-1h-2025-07-12.zip"


class Unexpected(Exception):
    """Nothing in the package knows it."""


class Raises(LocalStore):
    """A store of which one method raises for one archive."""

    method = ""
    error: Exception = Unexpected("secret of https://me:hunter2@h/")

    def _may(self, method: str, key: str) -> None:
        if method == self.method and key.startswith(KEY):
            raise self.error

    async def put(self, key: str, data: bytes, **options: Any) -> Any:
        self._may("put", key)
        return await super().put(key, data, **options)

    async def sha256(self, key: str) -> str | None:
        self._may("sha256", key)
        return await super().sha256(key)

    async def read(self, key: str, limit: int) -> bytes | None:
        self._may("read", key)
        return await super().read(key, limit)


@pytest.fixture
def six(collection: Collection) -> Collection:
    """Six days of one series."""
    collection.config |= {"date_range": {"start": DAYS[0], "end": DAYS[1]}}
    collection.config.pop("default_date", None)
    return collection


@pytest.fixture
def archive_server() -> Iterator[ArchiveServer]:
    """A fortnight of one symbol."""
    with ArchiveServer(start=date(2025, 7, 1), end=date(2025, 7, 20), symbols=["BTCUSDT"]) as it:
        yield it


async def check_the_rest(collection: Collection, report: CollectionReport, reason: str) -> None:
    """One archive failed for this reason; the next run completes."""
    assert (report.totals["verified"], report.totals["failed"]) == (5, 1)
    (problem,) = report.problems
    assert problem.key == KEY
    assert reason in problem.reason
    again = await collection.run()
    assert again.exit_code == 0
    assert (again.totals["verified"], again.totals["unchanged"]) == (1, 5)


@pytest.mark.parametrize("method", ["put", "read"])
async def test_an_archive_whose_storing_raises_fails_alone(
    six: Collection, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    store = Raises(six.root)
    store.method = method
    with caplog.at_level(logging.ERROR, "crypto_lakehouse"):
        report = await six.run(store=store, download_checksum=method == "put")
    assert "hunter2" not in caplog.text
    assert "in _may" in caplog.text
    six.config["download_checksum"] = method == "put"
    await check_the_rest(six, report, "unforeseen Unexpected")


async def test_a_stored_archive_whose_check_raises_fails_alone(six: Collection) -> None:
    await six.run()
    os.utime(six.path(KEY), (0, 0))
    store = Raises(six.root)
    store.method = "sha256"
    report = await six.run(store=store)
    assert (report.totals["unchanged"], report.totals["failed"]) == (5, 1)


async def test_an_error_of_every_archive_still_ends_the_run(six: Collection) -> None:
    store = Raises(six.root)
    store.method, store.error = "put", ConfigurationError([])
    with pytest.raises(ConfigurationError):
        await six.run(store=store)


class NoFolder(LocalStore):
    """A store that cannot scan one folder, in a way that no code foresaw."""

    error: Exception = Unexpected()

    def scan_now(self, folder: str) -> Any:
        if folder == FOLDER:
            raise self.error
        return super().scan_now(folder)


async def test_a_folder_whose_scan_raises_fails_alone(six: Collection) -> None:
    six.config["data_types"] = ["klines", "trades"]
    report = await six.run(store=NoFolder(six.root))
    assert (report.totals["verified"], report.totals["failed"]) == (6, 6)
    assert all("unforeseen Unexpected" in problem.reason for problem in report.problems)


@pytest.mark.parametrize("stops_run", [False, True])
async def test_a_folder_that_the_store_refuses_fails_alone(
    six: Collection, *, stops_run: bool
) -> None:
    store = NoFolder(six.root)
    store.error = StoreError("/x", "no such luck", stops_run=stops_run)
    if stops_run:
        with pytest.raises(StoreError, match="no such luck"):
            await six.run(store=store)
        return
    report = await six.run(store=store)
    assert report.totals["failed"] == 6
    assert {problem.reason for problem in report.problems} == {"`/x`: no such luck"}


async def test_an_archive_whose_hashing_raises_is_unreadable_and_the_rest_is_verified(
    six: Collection,
) -> None:
    await six.run()
    store = Raises(six.root)
    store.method = "sha256"
    told: list[StoredArchive] = []

    async def tell(archive: StoredArchive) -> None:
        told.append(archive)

    async def folders() -> Any:
        yield FOLDER

    ledger, _ = SqliteLedger.open(six.root / ".lakehouse" / "ledger.sqlite")

    async def never(_key: str, _sha256: str) -> bool:
        raise AssertionError("no file is damaged")

    report = await Verifier(store, ledger, 2, never).verify(folders(), tell)
    ledger.close()
    assert report.totals == {FileState.OK: 5, FileState.UNREADABLE: 1}
    assert "unforeseen Unexpected" in report.problems[0].reason


# Listings ---------------------------------------------------------------------------------------


@pytest.fixture
def listed(six: Collection) -> Collection:
    """Two series, planned from the source's listing."""
    six.config |= {
        "discovery": "listing",
        "listing_url": six.server.url,
        "data_types": ["klines", "trades"],
    }
    return six


async def check_one_series(report: CollectionReport, what: str) -> None:
    assert report.totals["verified"] == 6
    assert report.exit_code == 5
    assert any("unforeseen Unexpected" in item and what in item for item in report.unlisted)


async def test_a_page_that_raises_leaves_its_prefix_unlisted(
    listed: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = PageParser.close

    def raising(parser: PageParser) -> Any:
        if "trades" in parser._url:
            raise Unexpected
        return close(parser)

    monkeypatch.setattr(PageParser, "close", raising)
    await check_one_series(await listed.run(), "daily/trades/")


async def test_a_series_whose_cover_raises_leaves_the_others(
    listed: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    cover = cover_listed

    def raising(series: Any, *rest: Any) -> Any:
        if not hasattr(raising, "done"):
            raising.done = True  # type: ignore[attr-defined]
            raise Unexpected
        return cover(series, *rest)

    monkeypatch.setattr(listed_plan, "cover_listed", raising)
    await check_one_series(await listed.run(), "BTCUSDT")


# Numbers that no file has -------------------------------------------------------------------------


async def test_listed_sizes_of_more_than_the_ledger_can_store_end_no_run(
    six: Collection,
) -> None:
    six.config |= {"discovery": "listing", "listing_url": six.server.url}
    objects = "".join(
        f"<Contents><Key>{key}</Key><Size>{(1 << 63) - 1}</Size></Contents>"
        for day in range(10, 16)
        for key in [f"{FOLDER}BTCUSDT-1h-2025-07-{day}.zip"]
    )
    page = f"<ListBucketResult><IsTruncated>false</IsTruncated>{objects}</ListBucketResult>"
    six.server.inject("list:data/spot/daily/klines/BTCUSDT/1h/", faults.Body(page.encode()) * 99)
    report = await six.run()
    assert sum(report.totals.values()) >= 6
    with closing(sqlite3.connect(six.root / ".lakehouse" / "ledger.sqlite")) as ledger:
        rows = ledger.execute("SELECT archives, size_bytes FROM listings WHERE archives").fetchall()
        assert (6, (1 << 63) - 1) in rows


async def test_a_file_of_the_year_2300_is_stored_in_the_ledger(six: Collection) -> None:
    await six.run()
    moment = 10_413_792_000  # 2300-01-01
    os.utime(six.path(KEY), (moment, moment))
    report = await six.run()
    assert report.exit_code == 0
    assert (await six.run()).totals["unchanged"] == 6
    before = six.path(KEY).read_bytes()
    six.path(KEY).write_bytes(b"x" * len(before))
    os.utime(six.path(KEY), (moment + 1, moment + 1))
    assert (await six.run()).totals["verified"] == 1
    assert six.path(KEY).read_bytes() == before
