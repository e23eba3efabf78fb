"""Two machines that write to the tables of one catalog."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from tests.services.postgres import PostgresServer
from tests.tables.ingest.machines import Machine, objects_in_memory
from tests.tables.sample_data import bars


@pytest.fixture(params=["server", "url", "postgres"])
def here(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Machine]:
    database = None
    if request.param == "postgres":
        pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
        server: PostgresServer = request.getfixturevalue("postgres_server")
        database = server.url()
    client = None if request.param == "server" else objects_in_memory()
    machine = Machine(tmp_path, "here", client, database)
    with closing(machine.catalog):
        yield machine


@pytest.fixture
def there(tmp_path: Path, here: Machine) -> Iterator[Machine]:
    here.ingest([here.put(bars(date(2022, 1, 1)))])  # both find the tables
    machine = Machine(tmp_path, "there", here.client, here.database)
    with closing(machine.catalog):
        yield machine
