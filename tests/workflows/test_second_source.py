"""What one source serves wrong is asked of another; and what a listing alone can prove."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.workflows.conftest import KEY, SIDECAR, Collection, make_zip, member_of, sidecar_of

from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.testing import ArchiveServer
from crypto_lakehouse.testing.faults import Flip, Headers, Redirect, Status

NEWS = make_zip(member_of(KEY), b"other,bars\n")
NAME = KEY.rpartition("/")[2]


@pytest.fixture
def second() -> Iterator[ArchiveServer]:
    """Another server of the same archive."""
    with ArchiveServer() as server:
        yield server


@pytest.fixture
def twofold(collection: Collection, second: ArchiveServer) -> Collection:
    """A collection that knows a second source."""
    collection.config["second_source_url"] = second.url
    return collection


def verdict(report: Any) -> Verdict:
    (found,) = [name for name, count in report.totals.items() if count and name != "planned"]
    return Verdict(found)


def asked(server: ArchiveServer) -> list[str]:
    return [record.path for record in server.requests if not record.path.startswith("list:")]


# A second source ---------------------------------------------------------------------------------


async def test_a_stale_sidecar_is_asked_of_the_second_source(
    twofold: Collection, second: ArchiveServer
) -> None:
    twofold.server.put(SIDECAR, sidecar_of(b"older", NAME))
    assert verdict(await twofold.run()) is Verdict.VERIFIED
    assert asked(twofold.server) == asked(second) == [KEY, SIDECAR]
    assert twofold.path(SIDECAR).read_bytes() == second.read(SIDECAR)


async def test_corrupt_bytes_are_asked_of_the_second_source(
    twofold: Collection, second: ArchiveServer
) -> None:
    twofold.server.inject(KEY, Flip(50), endless=True)
    assert verdict(await twofold.run()) is Verdict.VERIFIED
    assert twofold.path(KEY).read_bytes() == second.read(KEY)


async def test_a_fault_of_both_is_the_publishers(
    twofold: Collection, second: ArchiveServer
) -> None:
    for server in (twofold.server, second):
        server.put(SIDECAR, sidecar_of(b"another", NAME))
    report = await twofold.run()
    assert verdict(report) is Verdict.UPSTREAM_MISMATCH
    note = json.loads(twofold.quarantined(KEY).with_name(f"{NAME}.json").read_text())
    assert note["url"] == f"{second.url}/{KEY}"
    assert {"sha256", "published_sha256", "reason", "quarantined_at"} <= note.keys()
    assert {name.lower(): text for name, text in note["headers"].items()}["etag"] == note["etag"]


@pytest.mark.parametrize("trouble", [Status(503), Status(404)])
async def test_a_second_source_that_cannot_help_is_no_fault_of_the_first(
    twofold: Collection, second: ArchiveServer, trouble: Status
) -> None:
    second.inject("*", trouble, endless=True)
    good = sidecar_of(twofold.server.read(KEY), NAME)
    twofold.server.put(SIDECAR, sidecar_of(b"another", NAME))
    assert verdict(await twofold.run()) is Verdict.UPSTREAM_MISMATCH
    twofold.server.put(SIDECAR, good)
    assert verdict(await twofold.run()) is Verdict.VERIFIED


async def test_each_source_is_told_its_own_name_and_password_only(
    twofold: Collection, second: ArchiveServer
) -> None:
    twofold.config["source_url"] = twofold.server.url.replace("//", "//one:first@")
    twofold.config["second_source_url"] = second.url.replace("//", "//two:second@")
    twofold.server.put(SIDECAR, sidecar_of(b"older", NAME))
    report = await twofold.run()
    assert verdict(report) is Verdict.VERIFIED
    sent = [
        {record.headers.get("Authorization") for record in server.requests}
        for server in (twofold.server, second)
    ]
    assert sent == [{"Basic b25lOmZpcnN0"}, {"Basic dHdvOnNlY29uZA=="}]


async def test_a_redirect_to_the_second_source_is_followed(
    twofold: Collection, second: ArchiveServer
) -> None:
    twofold.server.inject(KEY, Redirect(f"{second.url}/{KEY}"))
    assert verdict(await twofold.run()) is Verdict.VERIFIED
    assert asked(second) == [KEY]


# A cache that is behind the listing --------------------------------------------------------------


@pytest.fixture
def behind(twofold: Collection, second: ArchiveServer) -> Collection:
    """The first source serves an old version; the second one lists and serves the new one."""
    old = datetime(2025, 7, 16, 3, tzinfo=UTC)
    new = datetime(2025, 9, 1, tzinfo=UTC)
    twofold.server.publish(KEY, twofold.server.read(KEY), last_modified=old)
    second.publish(KEY, NEWS, last_modified=new)
    twofold.config["listing_url"] = second.url
    return twofold


async def test_a_stale_cache_is_passed_by(behind: Collection) -> None:
    assert verdict(await behind.run()) is Verdict.VERIFIED
    assert behind.path(KEY).read_bytes() == NEWS


async def test_a_stale_version_is_better_than_none_and_is_asked_for_again(
    behind: Collection, second: ArchiveServer
) -> None:
    del behind.config["second_source_url"]
    report = await behind.run()
    assert verdict(report) is Verdict.VERIFIED
    assert behind.path(KEY).read_bytes() == behind.server.read(KEY)
    behind.server.publish(KEY, NEWS, last_modified=datetime(2025, 9, 1, tzinfo=UTC))
    assert verdict(await behind.run()) is Verdict.VERIFIED
    assert behind.path(KEY).read_bytes() == NEWS


async def test_a_stale_version_never_takes_the_place_of_a_verified_one(
    behind: Collection,
) -> None:
    await behind.run()
    behind.server.publish(
        KEY, make_zip(member_of(KEY), b"third\n"), last_modified=datetime(2024, 1, 1, tzinfo=UTC)
    )
    del behind.config["second_source_url"]
    report = await behind.run(force_redownload=True)
    assert verdict(report) is Verdict.FAILED
    assert "another version than it lists" in report.problems[0].reason
    assert behind.path(KEY).read_bytes() == NEWS


async def test_a_version_that_is_newer_than_the_listing_is_taken(
    behind: Collection, second: ArchiveServer
) -> None:
    newest = make_zip(member_of(KEY), b"newest\n")
    behind.server.publish(KEY, newest, last_modified=datetime(2026, 1, 1, tzinfo=UTC))
    assert verdict(await behind.run()) is Verdict.VERIFIED
    assert behind.path(KEY).read_bytes() == newest
    assert asked(second) == []


async def test_a_mirror_with_etags_of_its_own_is_not_stale(collection: Collection) -> None:
    collection.config["listing_url"] = collection.server.url
    body = collection.server.read(KEY)
    with ArchiveServer() as mirror:
        mirror.put(KEY, body, etag="67-abc")
        report = await collection.run(source_url=mirror.url)
        assert verdict(report) is Verdict.VERIFIED
        assert asked(mirror) == [KEY, SIDECAR]
        mirror.put(KEY, NEWS, etag="68-abc")
        report = await collection.run(source_url=mirror.url, force_redownload=True)
        assert verdict(report) is Verdict.FAILED


@pytest.mark.parametrize("stale", [True, False])
async def test_without_an_etag_the_size_tells_a_stale_version(
    behind: Collection, *, stale: bool
) -> None:
    if not stale:
        behind.server.publish(KEY, NEWS)
    behind.server.inject(KEY, Headers({"ETag": None}), endless=True)
    assert verdict(await behind.run()) is Verdict.VERIFIED
    assert behind.path(KEY).read_bytes() == NEWS


# integrity: listing and both ---------------------------------------------------------------------


@pytest.fixture
def proven(collection: Collection) -> Collection:
    """The listing proves; no sidecar is kept."""
    collection.config |= {
        "listing_url": collection.server.url,
        "integrity": "listing",
        "download_checksum": False,
    }
    return collection


async def test_one_archive_is_one_request(proven: Collection) -> None:
    report = await proven.run()
    assert verdict(report) is Verdict.VERIFIED
    assert asked(proven.server) == [KEY]
    with sqlite3.connect(proven.root / ".lakehouse" / "ledger.sqlite") as connection:
        ((digest,),) = connection.execute("SELECT sha256 FROM archives")
    assert digest == hashlib.sha256(proven.path(KEY).read_bytes()).hexdigest()


async def test_a_multipart_etag_falls_back_to_the_sidecar(proven: Collection) -> None:
    proven.server.put(KEY, proven.server.read(KEY), etag="0" * 32 + "-3")
    assert verdict(await proven.run()) is Verdict.VERIFIED
    assert asked(proven.server) == [KEY, SIDECAR]


async def test_bytes_that_are_not_those_listed_are_not_taken(proven: Collection) -> None:
    proven.server.inject(KEY, Flip(50), endless=True)
    report = await proven.run()
    assert verdict(report) is Verdict.CORRUPT
    assert not proven.path(KEY).exists()


async def test_another_version_than_is_listed_fails_and_is_asked_for_again(
    proven: Collection,
) -> None:
    with ArchiveServer() as mirror:
        mirror.put(KEY, NEWS)
        report = await proven.run(source_url=mirror.url)
        assert verdict(report) is Verdict.FAILED
        assert not proven.path(KEY).exists()
    assert verdict(await proven.run()) is Verdict.VERIFIED


@pytest.mark.parametrize("wrong", ["etag", "sidecar", "none"])
async def test_both_must_agree_where_both_are_asked_for(proven: Collection, wrong: str) -> None:
    if wrong == "etag":
        proven.server.put(KEY, proven.server.read(KEY), etag="0" * 32)
    elif wrong == "sidecar":
        proven.server.put(SIDECAR, sidecar_of(b"another", NAME))
    expected = {
        "etag": Verdict.CORRUPT,
        "sidecar": Verdict.UPSTREAM_MISMATCH,
        "none": Verdict.VERIFIED,
    }
    assert verdict(await proven.run(integrity="both")) is expected[wrong]


# Let in by policy --------------------------------------------------------------------------------


@pytest.fixture
async def mismatched(collection: Collection) -> Collection:
    """A readable archive that disagrees with its sidecar, let in by policy."""
    collection.config |= {
        "listing_url": collection.server.url,
        "accept_upstream_mismatch": True,
    }
    collection.server.put(SIDECAR, sidecar_of(b"another", NAME))
    report = await collection.run()
    assert verdict(report) is Verdict.UPSTREAM_MISMATCH
    assert report.exit_code == 0
    return collection


def accepted(collection: Collection) -> bool:
    with sqlite3.connect(collection.root / ".lakehouse" / "ledger.sqlite") as connection:
        ((at,),) = connection.execute("SELECT accepted_at FROM archives")
    return at is not None


async def test_a_policy_lets_readable_bytes_in_without_their_sidecar(
    mismatched: Collection,
) -> None:
    assert mismatched.path(KEY).read_bytes() == mismatched.server.read(KEY)
    assert not mismatched.path(SIDECAR).exists()
    assert not mismatched.quarantined(KEY).exists()
    assert accepted(mismatched)


@pytest.mark.parametrize("policy", [True, False])
async def test_what_was_let_in_is_not_fetched_again(
    mismatched: Collection, *, policy: bool
) -> None:
    mismatched.server.clear()
    report = await mismatched.run(accept_upstream_mismatch=policy)
    assert verdict(report) is Verdict.UPSTREAM_MISMATCH
    assert "a policy let it in" in report.problems[0].reason
    assert asked(mismatched.server) == [SIDECAR]
    assert mismatched.path(KEY).is_file()


async def test_the_ledger_says_for_ever_that_a_policy_let_it_in(mismatched: Collection) -> None:
    mismatched.server.put(SIDECAR, sidecar_of(mismatched.server.read(KEY), NAME))
    assert verdict(await mismatched.run()) is Verdict.VERIFIED
    assert verdict(await mismatched.run()) is Verdict.UNCHANGED
    assert accepted(mismatched)


async def test_what_was_let_in_gives_way_to_a_good_version(mismatched: Collection) -> None:
    mismatched.server.publish(KEY, NEWS)
    assert verdict(await mismatched.run()) is Verdict.VERIFIED
    assert mismatched.path(KEY).read_bytes() == NEWS


async def test_a_policy_lets_in_what_was_quarantined_before(collection: Collection) -> None:
    collection.config["listing_url"] = collection.server.url
    collection.server.put(SIDECAR, sidecar_of(b"another", NAME))
    await collection.run()
    assert not collection.path(KEY).exists()
    await collection.run(accept_upstream_mismatch=True)
    assert collection.path(KEY).is_file()


async def test_no_policy_lets_in_what_is_no_readable_zip(collection: Collection) -> None:
    collection.server.put(KEY, b"no zip")
    report = await collection.run(accept_upstream_mismatch=True)
    assert verdict(report) is Verdict.CORRUPT
    assert not collection.path(KEY).exists()
