"""Sidecars that are published anew or taken away: no verified archive is lost."""

from __future__ import annotations

from tests.workflows.conftest import (
    KEY,
    SIDECAR,
    Collection,
    sidecar_of,
)
from tests.workflows.listed_archive import (
    NAME,
    NEWS,
    counts,
    only,
    rows,
    zips,
)

from crypto_lakehouse.core.verdicts import Verdict


async def test_a_sidecar_published_anew_is_fetched_alone(synced: Collection) -> None:
    synced.server.put(SIDECAR, synced.server.read(SIDECAR) + b"\n")
    assert counts(await synced.run()) == only(Verdict.UNCHANGED)
    assert zips(synced) == [SIDECAR]
    assert synced.path(SIDECAR).read_bytes().endswith(b"\n")
    synced.server.clear()
    await synced.run()
    assert zips(synced) == []


async def test_a_wrong_sidecar_published_anew_takes_nothing_away(synced: Collection) -> None:
    synced.server.put(SIDECAR, sidecar_of(b"another", NAME))
    before = synced.path(SIDECAR).read_bytes()
    assert counts(await synced.run()) == only(Verdict.UPSTREAM_MISMATCH)
    assert synced.path(SIDECAR).read_bytes() == before


async def test_a_sidecar_that_is_gone_here_and_there_costs_one_request(
    synced: Collection,
) -> None:
    synced.path(SIDECAR).unlink()
    synced.server.remove(SIDECAR)
    assert counts(await synced.run()) == only(Verdict.UNCHANGED)
    assert zips(synced) == [SIDECAR]


async def test_forced_bytes_that_are_the_same_stay_though_their_sidecar_is_gone(
    synced: Collection,
) -> None:
    synced.server.remove(SIDECAR)
    report = await synced.run(force_redownload=True)
    assert counts(report) == only(Verdict.VERIFIED)
    assert not synced.quarantined(KEY).exists()
    assert rows(synced, "SELECT verdict FROM archives") == [("verified",)]
    assert synced.path(SIDECAR).exists()


async def test_an_archive_that_never_had_a_sidecar_is_unchanged_without_one(
    collection: Collection,
) -> None:
    collection.server.remove(SIDECAR)
    assert counts(await collection.run(integrity="listing")) == only(Verdict.VERIFIED)
    assert counts(await collection.run(integrity="listing")) == only(Verdict.UNCHANGED)


async def test_a_sidecar_published_anew_is_read_and_not_kept_where_none_is(
    collection: Collection,
) -> None:
    collection.config |= {"listing_url": collection.server.url, "download_checksum": False}
    await collection.run()
    collection.server.put(SIDECAR, collection.server.read(SIDECAR) + b"\n")
    collection.server.clear()
    assert counts(await collection.run()) == only(Verdict.UNCHANGED)
    assert zips(collection) == [SIDECAR]
    assert not collection.path(SIDECAR).exists()


async def test_an_old_sidecar_does_not_stay_beside_new_bytes(synced: Collection) -> None:
    synced.publish(KEY, NEWS)
    await synced.run(download_checksum=False)
    assert synced.path(KEY).read_bytes() == NEWS
    assert not synced.path(SIDECAR).exists()
