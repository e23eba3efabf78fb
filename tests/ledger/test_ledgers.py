"""Every ledger: what is written is read, wholly or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.stores.conftest import (
    ARCHIVE,
    FOLDER,
    NAME,
    OTHER,
    body_started,
    finished,
    run_finished,
    run_started,
)

from crypto_lakehouse.core.errors import LedgerError
from crypto_lakehouse.core.events import ArchiveFinished, UnrecordedVersion
from crypto_lakehouse.core.ledger_protocols import Ledger, LedgerRow
from crypto_lakehouse.core.object_facts import FileStat, ObjectFacts
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.ledger.history import changes_since, kept_before, known_names, versions_of
from crypto_lakehouse.ledger.place import LedgerEvent, LedgerPlace, RunLedger
from crypto_lakehouse.ledger.runs import recorded_runs


def row_of(event: ArchiveFinished) -> LedgerRow:
    return LedgerRow(event.verdict, event.facts)


def test_it_is_a_ledger(of_run: RunLedger) -> None:
    def takes_a_ledger(_ledger: Ledger) -> None: ...

    takes_a_ledger(of_run)


async def test_a_new_ledger_knows_nothing(of_run: RunLedger) -> None:
    assert await of_run.rows(FOLDER) == {}
    assert of_run.parts_now(FOLDER) == {}
    assert await of_run.folders() == []


async def test_what_is_written_is_read(of_run: RunLedger) -> None:
    event = finished()
    of_run.write([event])
    assert await of_run.rows(FOLDER) == {NAME: row_of(event)}
    assert (await of_run.rows(FOLDER))[NAME].facts.describes(FileStat(7, 1_752_580_800_123_456_789))


texts = st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
numbers = st.none() | st.integers(0, 2**63 - 1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(50))
@given(
    events=st.lists(
        st.builds(
            ArchiveFinished,
            archive=st.sampled_from([ARCHIVE, OTHER]),
            verdict=st.sampled_from(Verdict),
            facts=st.builds(
                ObjectFacts,
                size_bytes=numbers,
                mark=numbers,
                sha256=st.just("a" * 64),
                published_sha256=st.none() | st.just("a" * 64),
                etag=texts,
                last_modified=texts,
                sidecar_etag=st.none(),  # an older one is remembered
            ),
            reason=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
        ),
        min_size=1,
    )
)
async def test_the_last_verdict_on_an_archive_is_the_one_that_is_known(
    of_run: RunLedger, events: list[ArchiveFinished]
) -> None:
    of_run.write(events)
    for event in {event.archive: event for event in events}.values():
        row = (await of_run.rows(event.archive.folder))[event.archive.name]
        kept = Verdict.VERIFIED if event.verdict is Verdict.UNCHANGED else event.verdict
        assert row.verdict is kept
        assert row == row_of(event) or event.verdict is Verdict.UNCHANGED


async def test_an_unchanged_archive_stays_verified(of_run: RunLedger) -> None:
    of_run.write([finished(Verdict.UNCHANGED)])
    assert (await of_run.rows(FOLDER))[NAME].verdict is Verdict.VERIFIED


async def test_a_folder_is_asked_for_by_its_whole_name(of_run: RunLedger) -> None:
    of_run.write([finished(), finished(archive=OTHER)])
    assert list(await of_run.rows(FOLDER)) == [NAME]
    assert list(await of_run.rows(OTHER.folder)) == [OTHER.name]
    assert await of_run.rows(FOLDER.rstrip("/")) == {}
    assert await of_run.rows("data/%") == {}
    assert await of_run.folders() == [FOLDER, OTHER.folder]


async def test_a_folder_is_named_once(of_run: RunLedger) -> None:
    of_run.write(finished(archive=archive) for archive in (ARCHIVE, OTHER, ARCHIVE))
    assert len(await of_run.folders()) == 2


async def test_a_body_that_began_is_known(of_run: RunLedger) -> None:
    of_run.write([body_started(etag='"one"'), body_started(etag='"two"')])
    assert of_run.parts_now(FOLDER) == {NAME: ObjectFacts(etag='"two"', size_bytes=5_000_000_000)}
    assert of_run.parts_now(OTHER.folder) == {}


@pytest.mark.parametrize("verdict", Verdict)
async def test_a_body_stays_known_only_where_its_transfer_failed(
    of_run: RunLedger, verdict: Verdict
) -> None:
    of_run.write([body_started(), body_started(OTHER), finished(verdict)])
    assert list(of_run.parts_now(FOLDER)) == ([NAME] if verdict is Verdict.FAILED else [])
    assert list(of_run.parts_now(OTHER.folder)) == [OTHER.name]


async def test_a_batch_that_is_refused_is_not_written_at_all(of_run: RunLedger) -> None:
    batch: list[LedgerEvent] = [
        finished(),
        body_started(OTHER),
        finished(archive=OTHER, reason=None),
    ]
    with pytest.raises(LedgerError, match="cannot be written"):
        of_run.write(batch)
    assert await of_run.rows(FOLDER) == await of_run.rows(OTHER.folder) == {}
    assert of_run.parts_now(OTHER.folder) == {}
    of_run.write([finished()])
    assert list(await of_run.rows(FOLDER)) == [NAME]


async def test_a_batch_that_is_written_twice_is_written_once(of_run: RunLedger) -> None:
    """A flush that was cancelled may be repeated."""
    batch: list[LedgerEvent] = [run_started("one"), body_started(OTHER), finished()]
    of_run.write(batch)
    once = await of_run.rows(FOLDER), of_run.parts_now(OTHER.folder)
    of_run.write(batch)
    assert (await of_run.rows(FOLDER), of_run.parts_now(OTHER.folder)) == once


async def test_a_batch_that_ends_early_is_not_written_at_all(of_run: RunLedger) -> None:
    def events() -> Iterator[ArchiveFinished]:
        yield finished()
        raise LookupError("no more of them")

    with pytest.raises(LookupError):
        of_run.write(events())
    assert await of_run.rows(FOLDER) == {}


# Other readers --------------------------------------------------------------------------------


async def test_another_reader_sees_what_was_written(place: LedgerPlace, of_run: RunLedger) -> None:
    with closing(place.open_read_only()) as other:
        assert await other.rows(FOLDER) == {}
        of_run.write([finished()])
        assert list(await other.rows(FOLDER)) == [NAME]
        with pytest.raises(LedgerError):
            other.write([finished()])


def test_a_ledger_exists_once_a_run_has_opened_it(place: LedgerPlace) -> None:
    assert not place.exists()
    with pytest.raises(LedgerError):
        place.open_read_only()
    with place.locked():
        place.open()[0].close()
    assert place.exists()


def test_a_run_is_open_until_it_has_ended(place: LedgerPlace, of_run: RunLedger) -> None:
    with closing(place.open_read_only()) as other:
        of_run.write([run_started("one"), run_finished("one"), run_started("two")])
        assert other.has_open_run()


def test_runs_are_read_in_their_order(place: LedgerPlace, of_run: RunLedger) -> None:
    of_run.write([run_started("two"), run_started("one"), run_finished("two", "interrupted")])
    assert [run.status for run in recorded_runs(place)] == ["interrupted", None]


async def test_a_ledger_that_is_closed_says_so(of_run: RunLedger) -> None:
    of_run.close()
    with pytest.raises(LedgerError, match="cannot be read"):
        await of_run.rows(FOLDER)


# Versions -------------------------------------------------------------------------------------


def test_a_replaced_version_is_in_the_history(place: LedgerPlace, of_run: RunLedger) -> None:
    kept = f".lakehouse/replaced/{ARCHIVE.key}/x.zip"
    of_run.write([finished(sha256="a" * 64), finished(archive=OTHER)])
    of_run.write([finished(sha256="b" * 64, change="replaced", kept_as=kept)])
    of_run.write([finished(sha256="b" * 64, change="restamped"), finished(archive=OTHER)])
    versions = versions_of(place, ARCHIVE)
    assert [(each.sha256, each.change, each.kept_as) for each in versions] == [
        ("a" * 64, "replaced", kept), ("b" * 64, "restamped", None), ("b" * 64, "", None),
    ]  # fmt: skip
    changes = [*changes_since(place, date.min)]
    assert [(each.before_sha256, each.after_sha256) for each in changes] == [
        ("a" * 64, "b" * 64), ("b" * 64, "b" * 64),
    ]  # fmt: skip
    assert [*changes_since(place, date.max)] == []
    assert known_names(place, ARCHIVE) == (1, NAME, NAME)
    ((number, key, where),) = kept_before(place, date(2999, 1, 1), 0)
    assert (key, where) == (ARCHIVE.key, kept)
    place.forget_kept([number])
    assert kept_before(place, date(2999, 1, 1), 0) == []


@pytest.mark.parametrize("known", [True, False])
def test_a_version_that_has_no_row_gets_one_when_it_is_replaced(
    place: LedgerPlace, of_run: RunLedger, *, known: bool
) -> None:
    kept = f".lakehouse/replaced/{ARCHIVE.key}/{{}}.zip"
    facts = ObjectFacts(size_bytes=3, sha256="b" * 64, published_sha256="b" * 64)
    between = UnrecordedVersion(verdict=Verdict.UNCHANGED, facts=facts, kept_as=kept.format("b"))
    if known:
        of_run.write([finished(sha256="a" * 64)])
    last = finished(
        sha256="c" * 64, change="replaced", kept_as=kept.format("a"), unrecorded=between
    )
    of_run.write([last, finished(archive=OTHER)])
    versions = versions_of(place, ARCHIVE)
    assert [(each.sha256, each.change, each.kept_as) for each in versions][-2 - known :] == [
        *([("a" * 64, "replaced", kept.format("a"))] if known else []),
        ("b" * 64, "replaced", kept.format("b")), ("c" * 64, "", None),
    ]  # fmt: skip
    assert len(versions) == 2 + known
    added = versions[-2]
    assert (added.verdict, added.size_bytes, added.etag) == (Verdict.VERIFIED, 3, None)
    assert added.first_seen_at == added.last_seen_at == added.until == versions[-1].first_seen_at
    assert [each.after_sha256 for each in changes_since(place, date.min)][-1] == "c" * 64
    assert len(kept_before(place, date(2999, 1, 1), 0)) == 1 + known


def test_a_version_that_was_refused_leaves_the_stored_one(
    place: LedgerPlace, of_run: RunLedger
) -> None:
    of_run.write([finished()])
    of_run.write([finished(Verdict.UPSTREAM_MISMATCH, reason="it differs", stands=True)])
    row = of_run.row_now(FOLDER, NAME)
    assert row is not None
    assert (row.verdict, row.newer) == (Verdict.VERIFIED, Verdict.UPSTREAM_MISMATCH)
    assert of_run.verified_now(FOLDER) == {}
    assert of_run.objects_now(FOLDER) == {}
    (version,) = versions_of(place, ARCHIVE)
    assert (version.newer_verdict, version.newer_reason) == (
        Verdict.UPSTREAM_MISMATCH, "it differs",
    )  # fmt: skip
    assert of_run.archives_of_now([Verdict.UPSTREAM_MISMATCH]) == [ARCHIVE]


async def test_a_verified_archive_is_found_by_its_prefix(of_run: RunLedger) -> None:
    of_run.write([finished(), finished(Verdict.MISSING, archive=OTHER)])
    assert of_run.verified_now(FOLDER) == {NAME: finished().facts.stat}
    assert list(of_run.objects_now(FOLDER)) == [NAME]
    assert await of_run.has_verified(FOLDER)
    assert await of_run.has_verified("data/")
    assert not await of_run.has_verified(OTHER.folder)
    assert await of_run.archives_of([Verdict.VERIFIED]) == [ARCHIVE]


def test_unfinished_bodies_can_be_forgotten(place: LedgerPlace, of_run: RunLedger) -> None:
    of_run.write([body_started(), body_started(OTHER)])
    assert place.forget_unfinished() == 2
    assert of_run.parts_now(FOLDER) == {}
