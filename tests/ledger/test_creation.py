"""A ledger is created in one step: a reader finds none, or a whole one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from crypto_lakehouse.core.errors import LedgerError
from crypto_lakehouse.ledger.connection import LedgerConnection
from crypto_lakehouse.ledger.schema import SCHEMA_VERSION, version_of
from crypto_lakehouse.ledger.sqlite import SqliteLedger


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def test_a_reader_never_finds_half_a_ledger(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    execute, seen = LedgerConnection.execute, []

    def look(connection: LedgerConnection, *arguments: Any) -> sqlite3.Cursor:
        done = execute(connection, *arguments)
        seen.append(path.exists())
        if path.exists():
            with closing(sqlite3.connect(path)) as reader:
                assert version_of(reader, path) == SCHEMA_VERSION, arguments
                assert reader.execute("SELECT count(*) FROM runs").fetchone() == (0,)
        return done

    monkeypatch.setattr(LedgerConnection, "execute", look)
    SqliteLedger.open(path)[0].close()
    assert set(seen) == {True, False}
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_what_a_killed_run_left_of_a_new_ledger_is_replaced(path: Path) -> None:
    for end in ("", "-wal", "-shm"):
        path.with_name(f"{path.name}.new{end}").write_bytes(b"half")
    SqliteLedger.open(path)[0].close()
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_what_cannot_be_replaced_is_named(path: Path) -> None:
    path.with_name(f"{path.name}.new").mkdir()
    with pytest.raises(LedgerError, match=r"cannot be created: .*; move \S+sqlite\.new away"):
        SqliteLedger.open(path)
    assert not path.exists()
