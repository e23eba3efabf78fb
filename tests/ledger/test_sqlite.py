"""The ledger: what is written is read, wholly or not at all, and never in the way."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.stores.conftest import (
    ARCHIVE,
    FOLDER,
    NAME,
    NOON,
    OTHER,
    body_started,
    finished,
    run_finished,
    run_started,
)

from crypto_lakehouse.core.errors import LedgerError
from crypto_lakehouse.core.events import ArchiveFinished
from crypto_lakehouse.core.object_facts import FileStat, ObjectFacts
from crypto_lakehouse.core.protocols import Ledger, LedgerRow
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.ledger.schema import SCHEMA_VERSION
from crypto_lakehouse.ledger.sqlite import LedgerEvent, SqliteLedger


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[SqliteLedger]:
    opened, note = SqliteLedger.open(path)
    assert note == ""
    with closing(opened):
        yield opened


def query(path: Path, statement: str, *parameters: object) -> list[Any]:
    """Ask SQLite itself, and write what the statement writes."""
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement, parameters).fetchall()


def row_of(event: ArchiveFinished) -> LedgerRow:
    return LedgerRow(event.verdict, event.facts)


def test_it_is_a_ledger(ledger: SqliteLedger) -> None:
    def takes_a_ledger(_ledger: Ledger) -> None: ...

    takes_a_ledger(ledger)


async def test_a_new_ledger_knows_nothing(ledger: SqliteLedger) -> None:
    assert await ledger.rows(FOLDER) == {}
    assert ledger.parts_now(FOLDER) == {}
    assert await ledger.folders() == []


async def test_what_is_written_is_read(ledger: SqliteLedger) -> None:
    event = finished()
    ledger.write([event])
    assert await ledger.rows(FOLDER) == {NAME: row_of(event)}
    assert (await ledger.rows(FOLDER))[NAME].facts.describes(FileStat(7, 1_752_580_800_123_456_789))


texts = st.none() | st.text(st.characters(codec="utf-8"), max_size=20)
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
            reason=st.text(st.characters(codec="utf-8"), max_size=20),
        ),
        min_size=1,
    )
)
async def test_the_last_verdict_on_an_archive_is_the_one_that_is_known(
    ledger: SqliteLedger, events: list[ArchiveFinished]
) -> None:
    ledger.write(events)
    for event in {event.archive: event for event in events}.values():
        row = (await ledger.rows(event.archive.folder))[event.archive.name]
        kept = Verdict.VERIFIED if event.verdict is Verdict.UNCHANGED else event.verdict
        assert row.verdict is kept
        assert row == row_of(event) or event.verdict is Verdict.UNCHANGED


async def test_an_unchanged_archive_stays_verified(ledger: SqliteLedger) -> None:
    ledger.write([finished(Verdict.UNCHANGED)])
    assert (await ledger.rows(FOLDER))[NAME].verdict is Verdict.VERIFIED


async def test_a_folder_is_asked_for_by_its_whole_name(ledger: SqliteLedger) -> None:
    ledger.write([finished(), finished(archive=OTHER)])
    assert list(await ledger.rows(FOLDER)) == [NAME]
    assert list(await ledger.rows(OTHER.folder)) == [OTHER.name]
    assert await ledger.rows(FOLDER.rstrip("/")) == {}
    assert await ledger.rows("data/%") == {}
    assert await ledger.folders() == [FOLDER, OTHER.folder]


async def test_a_folder_is_named_once(ledger: SqliteLedger) -> None:
    ledger.write(finished(archive=archive) for archive in (ARCHIVE, OTHER, ARCHIVE))
    assert len(await ledger.folders()) == 2


def test_when_an_archive_was_first_seen_is_kept(ledger: SqliteLedger, path: Path) -> None:
    ledger.write([finished(Verdict.MISSING, reason="not there")])
    query(path, "UPDATE archives SET first_seen_at = 'then', last_seen_at = 'then'")
    ledger.write([finished()])
    ((first, last, verdict, reason),) = query(
        path, "SELECT first_seen_at, last_seen_at, verdict, reason FROM archives"
    )
    assert first == "then"
    assert last != "then"
    assert (verdict, reason) == ("verified", "")


def test_times_are_utc(ledger: SqliteLedger, path: Path) -> None:
    ledger.write([finished()])
    ((first, last),) = query(path, "SELECT first_seen_at, last_seen_at FROM archives")
    assert first == last
    assert first.endswith("+00:00")


# Parts ---------------------------------------------------------------------------------------


async def test_a_body_that_began_is_known(ledger: SqliteLedger) -> None:
    ledger.write([body_started(etag='"one"'), body_started(etag='"two"')])
    assert ledger.parts_now(FOLDER) == {NAME: ObjectFacts(etag='"two"', size_bytes=5_000_000_000)}
    assert ledger.parts_now(OTHER.folder) == {}


@pytest.mark.parametrize("verdict", Verdict)
async def test_a_body_stays_known_only_where_its_transfer_failed(
    ledger: SqliteLedger, verdict: Verdict
) -> None:
    ledger.write([body_started(), body_started(OTHER), finished(verdict)])
    assert list(ledger.parts_now(FOLDER)) == ([NAME] if verdict is Verdict.FAILED else [])
    assert list(ledger.parts_now(OTHER.folder)) == [OTHER.name]


# Runs ----------------------------------------------------------------------------------------


def test_a_run_is_kept_with_its_end(ledger: SqliteLedger, path: Path) -> None:
    ledger.write([run_started("one"), run_started("two")])
    ledger.write([run_finished("two", "interrupted"), run_finished("of nobody")])
    assert query(path, "SELECT * FROM runs ORDER BY run_id") == [
        ("one", "test", 3, NOON.isoformat(), *[None] * 5),
        ("two", "test", 3, NOON.isoformat(), NOON.isoformat(), "interrupted", *[None] * 3),
    ]


# All or nothing ------------------------------------------------------------------------------


async def test_a_batch_that_sqlite_refuses_is_not_written_at_all(ledger: SqliteLedger) -> None:
    batch: list[LedgerEvent] = [
        finished(),
        body_started(OTHER),
        finished(archive=OTHER, reason=None),
    ]
    with pytest.raises(LedgerError, match="cannot be written"):
        ledger.write(batch)
    assert await ledger.rows(FOLDER) == await ledger.rows(OTHER.folder) == {}
    assert ledger.parts_now(OTHER.folder) == {}
    ledger.write([finished()])
    assert list(await ledger.rows(FOLDER)) == [NAME]


async def test_a_batch_that_is_written_twice_is_written_once(ledger: SqliteLedger) -> None:
    """A flush that was cancelled may be repeated."""
    batch: list[LedgerEvent] = [run_started("one"), body_started(OTHER), finished()]
    ledger.write(batch)
    once = await ledger.rows(FOLDER), ledger.parts_now(OTHER.folder)
    ledger.write(batch)
    assert (await ledger.rows(FOLDER), ledger.parts_now(OTHER.folder)) == once


async def test_a_batch_that_ends_early_is_not_written_at_all(ledger: SqliteLedger) -> None:
    def events() -> Iterator[ArchiveFinished]:
        yield finished()
        raise LookupError("no more of them")

    with pytest.raises(LookupError):
        ledger.write(events())
    assert await ledger.rows(FOLDER) == {}


async def test_a_batch_under_way_is_not_seen(ledger: SqliteLedger, path: Path) -> None:
    seen: list[Any] = []

    def events() -> Iterator[ArchiveFinished]:
        yield finished()
        seen.extend(query(path, "SELECT name FROM archives"))
        yield finished(archive=OTHER)

    ledger.write(events())
    assert seen == []
    assert len(query(path, "SELECT name FROM archives")) == 2


async def test_another_reader_sees_what_was_written(ledger: SqliteLedger, path: Path) -> None:
    with closing(SqliteLedger.open_read_only(path)) as other:
        assert await other.rows(FOLDER) == {}
        ledger.write([finished()])
        assert list(await other.rows(FOLDER)) == [NAME]


async def test_a_ledger_that_was_closed_is_read_again(path: Path) -> None:
    for archive in (ARCHIVE, OTHER):
        opened, note = SqliteLedger.open(path)
        assert note == ""
        with closing(opened):
            opened.write([finished(archive=archive)])
    opened, _ = SqliteLedger.open(path)
    with closing(opened):
        assert len(await opened.folders()) == 2


async def test_a_ledger_that_is_closed_says_so(ledger: SqliteLedger) -> None:
    ledger.close()
    with pytest.raises(LedgerError, match="cannot be read"):
        await ledger.rows(FOLDER)
    with pytest.raises(LedgerError, match="cannot be written"):
        ledger.write([finished()])


# Opening -------------------------------------------------------------------------------------


def test_a_ledger_of_a_later_version_is_refused_and_left(path: Path) -> None:
    SqliteLedger.open(path)[0].close()
    query(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(LedgerError, match=r"later version .* upgrade"):
        SqliteLedger.open(path)
    assert query(path, "PRAGMA user_version") == [(SCHEMA_VERSION + 1,)]
    assert query(path, "SELECT count(*) FROM archives") == [(0,)]


async def test_a_damaged_ledger_is_set_aside_and_begun_anew(path: Path) -> None:
    path.write_bytes(b"this is no database " * 100)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).write_bytes(b"what belonged to it")
    opened, note = SqliteLedger.open(path)
    with closing(opened):
        opened.write([finished()])
        assert list(await opened.rows(FOLDER)) == [NAME]
    (aside,) = path.parent.glob("*.damaged-*")
    assert aside.read_bytes() == b"this is no database " * 100
    assert str(path) in note
    assert aside.name in note
    assert "rebuilt" in note
    assert list(path.parent.glob("*.damaged-*-wal")) == []


async def test_a_ledger_that_was_cut_short_is_set_aside_and_begun_anew(path: Path) -> None:
    opened, _ = SqliteLedger.open(path)
    opened.write(finished(archive=archive) for archive in (ARCHIVE, OTHER))
    opened.close()
    os.truncate(path, path.stat().st_size // 2 + 1)
    opened, note = SqliteLedger.open(path)
    with closing(opened):
        assert await opened.rows(FOLDER) == {}
        opened.write([finished()])
    assert "damaged" in note


@pytest.fixture
def damaged_inside(path: Path) -> Iterator[SqliteLedger]:
    """A ledger whose pages for archives are overwritten while a run uses it."""
    opened, _ = SqliteLedger.open(path)
    opened.write([finished()])
    opened.close()
    opened, note = SqliteLedger.open(path)
    assert note == ""
    ((page, size),) = query(
        path,
        "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_schema"
        " WHERE name = 'archives'",
    )
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * 64)
    with closing(opened):
        yield opened


async def test_damage_that_is_found_while_reading_concerns_one_run_only(
    damaged_inside: SqliteLedger, path: Path
) -> None:
    with pytest.raises(LedgerError, match=r"damaged .* run again"):
        await damaged_inside.rows(FOLDER)
    with pytest.raises(LedgerError):
        await damaged_inside.rows(FOLDER)
    await knows_nothing_and_learns(path)


async def test_damage_that_is_found_while_writing_concerns_one_run_only(
    damaged_inside: SqliteLedger, path: Path
) -> None:
    with pytest.raises(LedgerError, match=r"damaged .* run again"):
        damaged_inside.write([finished()])
    damaged_inside.close()
    await knows_nothing_and_learns(path)


async def test_damage_that_is_found_by_a_mere_reader_is_left_as_it_is(
    damaged_inside: SqliteLedger, path: Path
) -> None:
    other = SqliteLedger.open_read_only(path)
    with closing(other), pytest.raises(LedgerError, match="cannot be read"):
        await other.rows(FOLDER)
    assert path.exists()
    assert list(path.parent.glob("*.damaged-*")) == []


async def knows_nothing_and_learns(path: Path) -> None:
    """The next run begins a new ledger; the damaged one lies beside it."""
    opened, note = SqliteLedger.open(path)
    with closing(opened):
        assert note == ""
        assert await opened.rows(FOLDER) == {}
        opened.write([finished()])
        assert list(await opened.rows(FOLDER)) == [NAME]
    assert len(list(path.parent.glob("*.damaged-*"))) == 1


async def test_an_empty_file_becomes_a_ledger(path: Path) -> None:
    path.touch()
    opened, note = SqliteLedger.open(path)
    with closing(opened):
        assert note == ""
        assert await opened.folders() == []


def test_a_ledger_that_cannot_be_opened_is_told(path: Path) -> None:
    path.mkdir()
    with pytest.raises(LedgerError, match="cannot be opened") as refused:
        SqliteLedger.open(path)
    assert refused.value.path == str(path)
    with pytest.raises(LedgerError, match="cannot be opened"):
        SqliteLedger.open(path.parent / "absent" / "ledger.sqlite")


# Reading without changing --------------------------------------------------------------------


async def test_a_ledger_opened_to_read_changes_nothing(ledger: SqliteLedger, path: Path) -> None:
    ledger.write([finished()])
    with closing(SqliteLedger.open_read_only(path)) as other:
        assert list(await other.rows(FOLDER)) == [NAME]
        with pytest.raises(LedgerError, match="readonly"):
            other.write([finished(archive=OTHER)])
    assert list(await ledger.rows(OTHER.folder)) == []


@pytest.mark.parametrize("name", ["ledger.sqlite", "led ger?mode=rwc#100%25.sqlite"])
async def test_a_ledger_that_is_absent_is_not_made_by_reading(tmp_path: Path, name: str) -> None:
    with pytest.raises(LedgerError, match="cannot be read"):
        SqliteLedger.open_read_only(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


async def test_a_path_with_the_marks_of_an_address_is_a_path(tmp_path: Path) -> None:
    path = tmp_path / "a b?mode=ro#100%25.sqlite"
    opened, _ = SqliteLedger.open(path)
    with closing(opened):
        opened.write([finished()])
        with closing(SqliteLedger.open_read_only(path)) as other:
            assert list(await other.rows(FOLDER)) == [NAME]


def test_a_damaged_ledger_cannot_be_opened_for_reading(path: Path) -> None:
    path.write_bytes(b"this is no database " * 100)
    with pytest.raises(LedgerError, match=r"cannot be read, .* sets it aside and rebuilds it"):
        SqliteLedger.open_read_only(path)
    assert path.read_bytes() == b"this is no database " * 100
