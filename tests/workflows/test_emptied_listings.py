"""A listing that has gone empty is a fault of the source: the plan is incomplete, exit code 5."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from tests.workflows.conftest import KEY, Collection

from crypto_lakehouse.core.errors import SelectionError
from crypto_lakehouse.core.report import CollectionReport
from crypto_lakehouse.ledger.coverage_view import recorded_series
from crypto_lakehouse.planning.emptied import EmptiedFolders
from crypto_lakehouse.testing import ArchiveServer, faults
from crypto_lakehouse.workflows import run_plan

DAILY, MONTHLY = "data/spot/daily/klines/", "data/spot/monthly/klines/"
JULY: dict[str, Any] = {"start": date(2025, 7, 10), "end": date(2025, 7, 20)}

#: Ways to select what is listed.
SELECTIONS: dict[str, dict[str, Any]] = {
    "a name": {"symbols": ["BTCUSDT"]},
    "names, with an open end": {
        "symbols": ["BTCUSDT", "ETHUSDT"],
        "default_date": None,
        "date_range": {"start": "2025-07-10"},
    },
    "a name, all intervals": {"symbols": ["BTCUSDT"], "intervals": None},
    "a glob": {"symbols": ["BTC*"]},
    "all": {"symbols": None},
    "all, of all days": {"symbols": None, "default_date": None},
    "a filter": {"symbols": None, "quote_assets": ["USDT"]},
}


@pytest.fixture
def archive_server() -> Iterator[ArchiveServer]:
    with ArchiveServer(symbols=["BTCUSDT", "ETHUSDT"], **JULY) as server:
        yield server


@pytest.fixture
def listed(collection: Collection) -> Collection:
    url = collection.server.url
    collection.config |= {"discovery": "listing", "source_url": url, "listing_url": url}
    return collection


@pytest.fixture
def empty() -> Iterator[str]:
    """The address of a source that lists nothing."""
    with ArchiveServer(generate=False) as server:
        yield server.url


async def from_other(listed: Collection, url: str, **changes: Any) -> CollectionReport:
    return await listed.run(source_url=url, listing_url=url, **changes)


def ledger(root: Path) -> Path:
    return root / ".lakehouse" / "ledger.sqlite"


@pytest.mark.parametrize("name", SELECTIONS)
async def test_a_listing_that_has_gone_empty_leaves_the_plan_incomplete(
    listed: Collection, empty: str, name: str
) -> None:
    assert (await listed.run(**SELECTIONS[name])).exit_code == 0
    before = list(recorded_series(ledger(listed.root)))
    report = await from_other(listed, empty, **SELECTIONS[name])
    assert (report.exit_code, report.totals["planned"]) == (5, 0)
    assert len(report.unlisted) <= 2, "a sentence for each data type, not for each symbol"
    assert "although verified archives of it are stored" in report.unlisted[0]
    assert [record.folders for record in before] == [
        record.folders for record in recorded_series(ledger(listed.root))
    ], "nothing is called missing"


@pytest.mark.parametrize("name", SELECTIONS)
async def test_a_listing_that_names_no_symbols_leaves_the_plan_incomplete(
    listed: Collection, empty: str, name: str
) -> None:
    report = await from_other(listed, empty, **SELECTIONS[name])
    assert (report.exit_code, report.totals["planned"]) == (5, 0)
    (reason,) = report.unlisted
    assert "names no symbol in any of the selected markets and data types" in reason


async def test_a_plan_says_so_too(listed: Collection, empty: str) -> None:
    await listed.run()
    config = {**listed.config, "source_url": empty, "listing_url": empty}
    plan = await run_plan(config, retry=listed.retry)
    assert [reason.split("`")[1] for reason in plan.unlisted] == [DAILY]
    assert plan.series == ()


@pytest.mark.parametrize("name", ["a name", "a name, all intervals", "all", "a glob"])
async def test_one_partition_that_has_gone_empty_is_not_made_up_for_by_the_other(
    listed: Collection, name: str
) -> None:
    """Monthly archives are still listed; of the days nothing is known."""
    await listed.run(**SELECTIONS[name])
    with ArchiveServer(generate=False) as other:
        month = f"{MONTHLY}BTCUSDT/1h/BTCUSDT-1h-2025-06.zip"
        other.publish(month, b"a month")
        days = {"default_date": None, "date_range": {"start": "2025-06-01", "end": "2025-07-31"}}
        report = await from_other(listed, other.url, **SELECTIONS[name] | days)
    assert report.exit_code == 5
    assert [reason.split("`")[1] for reason in report.unlisted] == [DAILY]
    assert report.totals["planned"] == 0


async def test_one_symbol_that_has_gone_is_as_before(listed: Collection) -> None:
    await listed.run(symbols=["BTCUSDT", "ETHUSDT"])
    with ArchiveServer(symbols=["ETHUSDT"], **JULY) as other:
        report = await from_other(listed, other.url, symbols=None)
        assert (report.exit_code, report.totals["unchanged"]) == (0, 1)
        with pytest.raises(SelectionError, match="no such symbol in spot: `BTCUSDT`"):
            await from_other(listed, other.url, symbols=["BTCUSDT", "ETHUSDT"])


async def test_a_source_may_have_only_some_of_the_data_types(listed: Collection) -> None:
    await listed.run(symbols=["BTCUSDT"])
    for partition in ("daily", "monthly"):
        prefix = f"list:data/spot/{partition}/trades/"
        listed.server.inject(prefix, faults.Body(EMPTY_PAGE), endless=True)
    report = await listed.run(symbols=["BTC*"], data_types=["klines", "trades"])
    assert (report.exit_code, report.unlisted) == (0, ())


#: A page of a listing without entries.
EMPTY_PAGE = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>'
    b"<Prefix></Prefix><Marker></Marker><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>"
    b"</ListBucketResult>"
)


async def test_what_was_never_verified_may_be_absent(listed: Collection, empty: str) -> None:
    """A row of another verdict does not show that the source ever had an archive."""
    listed.server.remove(KEY)
    await listed.run()
    report = await from_other(listed, empty, symbols=["BTC*"])
    assert "names no symbol" in report.unlisted[0]


async def test_each_data_type_is_looked_at_once(listed: Collection, empty: str) -> None:
    names = ["BTCUSDT", "ETHUSDT"]
    await listed.run(symbols=names, intervals=["1h", "4h"])
    with ArchiveServer(generate=False) as other:
        await from_other(listed, other.url, symbols=names, intervals=["1h", "4h"])
        whole = [each for each in other.requests if each.path == f"list:{DAILY}"]
    assert 1 <= len(whole) <= 4, "at most one for each series that is listed at the same time"


async def test_a_folder_without_stored_archives_is_not_looked_at() -> None:
    async def nothing(_prefix: str) -> bool:
        return False

    class NoListing:
        pages = folders = None

    await EmptiedFolders(NoListing(), nothing).refuse(DAILY)  # type: ignore[arg-type]


async def test_an_emptied_folder_that_cannot_be_listed_is_a_failure(listed: Collection) -> None:
    await listed.run()
    with ArchiveServer(generate=False) as other:
        other.inject(f"list:{DAILY}", faults.Status(403), endless=True)
        report = await from_other(listed, other.url)
    assert report.exit_code == 5
    assert f"`{DAILY}` cannot be listed" in report.unlisted[0]
