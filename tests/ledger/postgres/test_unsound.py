"""Rows in PostgreSQL that no run writes: they are set aside, said once, and the rest is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import date
from typing import Any

import pytest
from tests.ledger.postgres.test_place import ask, of_output, opened
from tests.stores.conftest import ARCHIVE, FOLDER, KEY, NAME, NOON, OTHER, finished, run_started

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import LedgerError
from crypto_lakehouse.core.events import FolderListed
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.ledger.coverage_view import recorded_series
from crypto_lakehouse.ledger.history import changes_since, versions_of
from crypto_lakehouse.ledger.postgres.place import PostgresPlace
from crypto_lakehouse.ledger.postgres.server import Server
from crypto_lakehouse.ledger.runs import recorded_runs

pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")

REPLACED: dict[str, Any] = {
    "change": "replaced",
    "kept_as": f".lakehouse/replaced/{KEY}/old.zip",
}

#: Also sound, although the server alone cannot know it.
LEAP_DAY = Archive.parse(KEY.replace("2025-07-15", "2024-02-29"))

LISTED = FolderListed(folder=FOLDER, first=NAME, last=NAME, archives=1, size_bytes=1, at=NOON)

#: A table, and what makes its first row unsound.
UNSOUND = [
    ("archives", "verdict = 'good'"),
    ("archives", "newer_verdict = 'good'"),
    ("archives", "size_bytes = -1"),
    ("archives", "size_bytes = 1::bigint << 60"),
    ("archives", "sha256 = upper(sha256)"),
    ("archives", "published_sha256 = 'x'"),
    ("archives", "first_seen_at = E'2025\\x1b[2J'"),
    ("archives", "accepted_at = 'yesterday'"),
    ("archives", "name = '../../../x.zip'"),
    ("archives", "name = E'it''s \\\\\\n.zip'"),
    ("archives", "name = replace(name, '07-15', '02-29')"),
    ("archives", "name = 'C' || name"),
    ("archives", "folder = '../'"),
    ("versions", "kept_as = '../../x.zip'"),
    ("versions", "kept_as = '/etc/passwd'"),
    ("versions", "kept_as = kept_as || E'\\x1b]0;x\\x07.zip'"),
    ("versions", "kept_as = replace(kept_as, '07-15', '07-17')"),
    ("versions", "name = replace(name, '07-15', '07-17')"),
    ("versions", "change = 'x'"),
    ("versions", "sha256 = 'x'"),
    ("versions", "folder = 'data/'"),
    ("runs", "selection = '['"),
    ("listings", "folder = 'x'"),
    ("listings", "listed_at = 'x'"),
]


def written(database: Server, name: str = "s3://bucket/prefix") -> PostgresPlace:
    """A ledger with two versions of an archive, other archives, a run and a listing."""
    place = of_output(database, name)
    with opened(place) as ledger:
        ledger.write([finished(), finished(archive=OTHER), finished(archive=LEAP_DAY)])
        ledger.write([finished(sha256="c" * 64, published_sha256="c" * 64, **REPLACED)])
        ledger.write([run_started("one"), LISTED])
    return place


def every_reader(place: PostgresPlace) -> Iterator[object]:
    """All that a command reads without the lock."""
    yield from recorded_series(place)
    yield from changes_since(place, date.min)
    yield from versions_of(place, ARCHIVE)
    yield from versions_of(place, OTHER)
    yield from recorded_runs(place)


def rows(database: Server) -> dict[str, int]:
    tables = ("archives", "versions", "runs", "listings", "set_aside")
    return {each: ask(database, f"SELECT count(*) FROM {each}")[0][0] for each in tables}  # noqa: S608


@pytest.mark.parametrize(("table", "damage"), UNSOUND)
def test_a_row_that_no_run_writes_is_set_aside_once_and_the_others_are_kept(
    database: Server, table: str, damage: str
) -> None:
    place, other = written(database), written(database, "s3://bucket/other")
    before = rows(database)
    which = f"AND folder || name = '{KEY}'" if table == "archives" else ""
    ask(database, f"UPDATE {table} SET {damage} WHERE output_id = 1 {which}")  # noqa: S608
    # Readers ignore such a row, or say that the next run mends it; they show nothing raw.
    try:
        assert "\x1b" not in str([*every_reader(place)])
    except LedgerError as error:
        assert "the next `collect` moves it to the table `set_aside`" in str(error)
        assert "\x1b" not in str(error)
    with place.locked():
        ledger, note = place.open()
        with closing(ledger):
            assert "1 row that no run writes was moved to the table `set_aside`" in note
            assert (table in note, note.isprintable()) == (True, True)
            assert list(ledger.rows_now(OTHER.folder)) == [OTHER.name]
            ledger.write([finished()])
    after = rows(database)
    assert after["set_aside"] == 1
    assert after["versions"] == before["versions"] - (table == "versions")
    assert after["listings"] == before["listings"] - (table == "listings")
    assert after["runs"] == before["runs"], "one that stands for what is lost"
    assert after["archives"] == before["archives"], "it was verified again"
    assert ask(database, "SELECT output_id, source FROM set_aside") == [(1, table)]
    assert [*every_reader(place)]
    assert [*every_reader(other)]
    with place.locked():
        again, note = place.open()
        again.close()
    assert note == ""


def test_all_that_runs_write_is_sound(database: Server) -> None:
    place = written(database)
    with opened(place) as ledger:
        ledger.write([finished(verdict=each) for each in Verdict])
    assert rows(database)["set_aside"] == 0
    with place.locked():
        ledger, note = place.open()
        ledger.close()
    assert note == ""


def test_a_large_ledger_is_not_searched(database: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    place = written(database)
    ask(database, "UPDATE archives SET verdict = 'good'")
    monkeypatch.setattr("crypto_lakehouse.ledger.postgres.unsound.CHECKED_BYTES", 0)
    with place.locked():
        ledger, note = place.open()
        ledger.close()
    assert (note, rows(database)["set_aside"]) == ("", 0)
    with pytest.raises(LedgerError, match=f"a row that no run writes: .*{KEY}.*correct or delete"):
        versions_of(place, ARCHIVE)


def test_tables_of_the_first_version_get_the_table(database: Server) -> None:
    place = written(database)
    ask(database, "DROP TABLE set_aside, fills")
    ask(database, "UPDATE schema_version SET version = 1")
    assert [*every_reader(place)]
    with opened(place) as ledger:
        assert list(ledger.rows_now(OTHER.folder)) == [OTHER.name]
    assert rows(database)["set_aside"] == 0
