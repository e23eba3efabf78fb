"""What is known to be wrong at the source is told, and fetched again only when that may help."""

from __future__ import annotations

import pytest
from attrs import evolve
from tests.collection.known_here import knowing
from tests.collection.test_inventory_listed import KNOWN, LISTED, Listed

from crypto_lakehouse.collection.work import Action
from crypto_lakehouse.core.listed import ListedArchive
from crypto_lakehouse.core.verdicts import Verdict

REFUSED = knowing(KNOWN, size_bytes=None, mark=None, published_sha256="b" * 64)._replace(
    verdict=Verdict.UPSTREAM_MISMATCH
)
STANDS = KNOWN._replace(newer=Verdict.UPSTREAM_MISMATCH, newer_etag='"n"', newer_sidecar_etag='"m"')
NEWER = evolve(LISTED, etag='"n"', sidecar_etag='"m"')


@pytest.fixture
def listed() -> Listed:
    return Listed()


async def test_the_publishers_old_fault_is_told_and_not_fetched_again(listed: Listed) -> None:
    await listed.plan(1, row=REFUSED, stored=False)
    (event,), work = await listed.sort()
    assert work == []
    assert (event.verdict, event.stands) == (Verdict.UPSTREAM_MISMATCH, False)
    assert (event.etag, event.sidecar_etag) == ('"e"', '"s"')
    assert "as when it was quarantined" in event.reason


async def test_the_fault_of_a_newer_version_is_told_beside_what_stands(listed: Listed) -> None:
    await listed.plan(1, NEWER, row=STANDS)
    (event,), work = await listed.sort()
    assert work == []
    assert (event.verdict, event.stands) == (Verdict.UPSTREAM_MISMATCH, True)
    assert (event.etag, event.sidecar_etag) == ('"n"', '"m"')


async def test_the_fault_of_a_sidecar_alone_is_not_asked_for_again_either(listed: Listed) -> None:
    row = STANDS._replace(newer_etag='"e"')
    await listed.plan(1, evolve(LISTED, sidecar_etag='"m"'), row=row)
    (event,), work = await listed.sort()
    assert work == []
    assert (event.verdict, event.stands) == (Verdict.UPSTREAM_MISMATCH, True)


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("option", ["retry_mismatch", "force"])
async def test_a_policy_or_force_has_the_fault_fetched_again(
    listed: Listed, option: str, *, stored: bool
) -> None:
    listed.options[option] = True
    await listed.plan(1, NEWER if stored else LISTED, row=STANDS if stored else REFUSED)
    if not stored:
        listed.store.files.clear()
    settled, (work,) = await listed.sort()
    assert settled == []
    assert work.action is Action.FETCH


@pytest.mark.parametrize(
    "listing",
    [
        evolve(LISTED, etag='"f"'),
        evolve(LISTED, sidecar_etag='"t"'),
        evolve(LISTED, sidecar_etag=None),
        evolve(LISTED, etag=None),
        None,
    ],
)
async def test_a_fault_is_fetched_again_once_the_source_changed_anything(
    listed: Listed, listing: ListedArchive | None
) -> None:
    await listed.plan(1, listing, row=REFUSED, stored=False)
    settled, (work,) = await listed.sort()
    assert settled == []
    assert (work.action, work.verified_row) == (Action.FETCH, None)


@pytest.mark.parametrize(
    "verdict", [Verdict.CORRUPT, Verdict.FAILED, Verdict.SIDECAR_MISSING, None]
)
async def test_only_a_mismatch_is_known_to_be_the_same_again(
    listed: Listed, verdict: Verdict | None
) -> None:
    await listed.plan(1, NEWER, row=STANDS._replace(newer=verdict))
    settled, (work,) = await listed.sort()
    assert settled == []
    assert (work.action, work.verified_row) == (Action.FETCH, work.row)


async def test_a_newer_version_that_was_taken_back_is_forgotten(listed: Listed) -> None:
    await listed.plan(1, LISTED, row=STANDS)
    (event,), work = await listed.sort()
    assert work == []
    assert (event.verdict, event.seen, event.stands) == (Verdict.UNCHANGED, True, False)
