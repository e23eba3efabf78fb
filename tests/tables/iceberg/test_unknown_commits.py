"""A commit to a catalog in PostgreSQL whose answer was lost: its outcome is waited for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import cast

import pytest
from pyiceberg.catalog.sql import SqlCatalog
from sqlalchemy import text
from tests.services.postgres import PostgresServer
from tests.tables.sample_data import bars

from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.tables.iceberg import server_catalog
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.schema.schemas import schema_of

SCHEMA = schema_of(bars(date(2023, 12, 1)))
_CHANGE = text(
    "UPDATE iceberg_tables SET previous_metadata_location = 'late' "
    "WHERE catalog_name = :lake AND table_name = 'klines'"
)
_PROCESS = text("SELECT pg_backend_pid()")
_WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE :process = ANY(pg_blocking_pids(pid))")


@pytest.mark.parametrize("is_made", [True, False])
def test_the_outcome_of_a_commit_under_way_is_waited_for(
    postgres_server: PostgresServer, tmp_path: Path, *, is_made: bool
) -> None:
    catalog = LakeCatalog(tmp_path / "lake", postgres_server.url(), create=True)
    catalog.table_for(SCHEMA, exact=False)
    lake = cast("SqlCatalog", catalog.catalog)
    with (
        ThreadPoolExecutor(1) as threads,
        lake.engine.connect() as commit,
        lake.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as other,
    ):
        process = {"process": commit.execute(_PROCESS).scalar_one()}
        commit.execute(_CHANGE, {"lake": lake.name})
        settled = threads.submit(catalog.settle, SCHEMA.name)
        while not other.execute(_WAITING, process).scalar_one():
            assert not settled.done()
        commit.commit() if is_made else commit.rollback()
        assert settled.result()
    assert catalog.embedded.locations(SCHEMA.name)[1] == ("late" if is_made else None)  # type: ignore[index]
    catalog.close()


def test_a_commit_that_does_not_end_is_an_error(
    postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_catalog, "_WAIT_S", 1)
    catalog = LakeCatalog(tmp_path / "lake", postgres_server.url(), create=True)
    catalog.table_for(SCHEMA, exact=False)
    lake = cast("SqlCatalog", catalog.catalog)
    with lake.engine.connect() as commit:
        commit.execute(_CHANGE, {"lake": lake.name})
        with pytest.raises(LakeError, match="lock timeout"):
            catalog.settle(SCHEMA.name)
        commit.rollback()
    catalog.close()
