"""An empty ledger of each kind, and what SQLite itself says of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.services.postgres import PostgresServer

from crypto_lakehouse.ledger.place import LedgerPlace, RunLedger
from crypto_lakehouse.ledger.postgres.identity import UrlIdentity
from crypto_lakehouse.ledger.postgres.place import PostgresPlace
from crypto_lakehouse.ledger.postgres.server import Server
from crypto_lakehouse.ledger.sqlite import SqliteLedger
from crypto_lakehouse.ledger.sqlite_file import SqliteFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[SqliteLedger]:
    opened, note = SqliteLedger.open(path)
    assert note == ""
    with closing(opened):
        yield opened


@pytest.fixture
def database(postgres_server: PostgresServer) -> Server:
    """A schema that does not exist yet, in a database that others use."""
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    return Server(postgres_server.url(), f"ledger_{uuid4().hex}")


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, path: Path) -> LedgerPlace:
    """Where a ledger may be; there is none yet."""
    if request.param == "sqlite":
        return SqliteFile(path)
    return PostgresPlace(request.getfixturevalue("database"), UrlIdentity("s3://bucket/prefix"))


@pytest.fixture
def of_run(place: LedgerPlace) -> Iterator[RunLedger]:
    """A ledger that is open for a run."""
    with place.locked():
        opened, note = place.open()
        assert note == ""
        with closing(opened):
            yield opened


def query(path: Path, statement: str, *parameters: object) -> list[Any]:
    """Ask SQLite itself, and write what the statement writes."""
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement, parameters).fetchall()
