"""An ingestion whose connection to the catalog in PostgreSQL is cut around a COMMIT."""

from __future__ import annotations

from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from tests.ledger.postgres.test_lost_connections import cutting
from tests.services.bucket import Bucket
from tests.services.postgres import PostgresServer
from tests.tables.at_url.lakes import LakeAtUrl
from tests.tables.sample_data import bars, ingest, put

from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.ledger.postgres.server import Server
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.lake_place import LakePlace
from crypto_lakehouse.tables.ingest.recovery import recover
from crypto_lakehouse.tables.lake.lake import Lake
from crypto_lakehouse.tables.reading.batch import Source

pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_no_row_is_lost_or_repeated_whichever_commit_has_no_answer(
    tmp_path: Path, postgres_server: PostgresServer, ministack_bucket: Bucket, moment: str
) -> None:
    """Each COMMIT of a whole ingestion in turn, the tables' and their records'."""
    archives = [put(tmp_path / "tree", bars(date(2024, 1, day))) for day in (1, 2)]
    number, is_cut = 0, True
    states: list[str] = []
    while is_cut:
        folder = tmp_path / str(number)
        place = LakePlace(folder / "state", LakeAtUrl.in_bucket(ministack_bucket, folder).client)
        with cutting(postgres_server) as cutter:
            url = cutter.instead_of(Server(postgres_server.url(), "public")).url
            cutter.cut, cutter.passes = moment, number
            states.append(ingested(place, url, archives))
            is_cut = not cutter.cut
        states[-1] += f", then {ingested(place, postgres_server.url(), archives)}"
        assert ingested(place, postgres_server.url(), archives) == "nothing to do"
        with closing(LakeCatalog(place, postgres_server.url(), create=False)) as catalog:
            rows = Lake(catalog).scan("spot.klines", columns=["open_time"]).polars().collect()
            records = catalog.catalog.load_table("lakehouse.archives").scan().to_arrow()
        assert (rows.height, rows.n_unique()) == (48, 48), states
        assert (records.num_rows, len({*records["archive"].to_pylist()})) == (2, 2), states
        number += 1
    assert states.pop() == "2 ingested, then nothing to do", "no COMMIT was cut"
    assert {*states} == {"cut, then 2 ingested", "cut, then nothing to do"}


def ingested(place: LakePlace, url: str, archives: list[Source]) -> str:
    """Say what a run over a catalog came to, which begins with what an earlier one left."""
    try:
        with closing(LakeCatalog(place, url, create=True)) as catalog:
            recover(catalog)
            done = ingest(catalog, archives)
    except LakeError as error:
        assert "connection" in str(error)
        return "cut"
    return f"{len(done)} ingested" if done else "nothing to do"
