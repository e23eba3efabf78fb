"""A damaged ledger is set aside, and another is begun in its place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.ledger.conftest import query
from tests.stores.conftest import (
    ARCHIVE,
    FOLDER,
    NAME,
    OTHER,
    finished,
)

from crypto_lakehouse.core.errors import LedgerError
from crypto_lakehouse.ledger.sqlite import SqliteLedger


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


def test_a_damaged_ledger_cannot_be_opened_for_reading(path: Path) -> None:
    path.write_bytes(b"this is no database " * 100)
    with pytest.raises(LedgerError, match=r"cannot be read, .* sets it aside and rebuilds it"):
        SqliteLedger.open_read_only(path)
    assert path.read_bytes() == b"this is no database " * 100
