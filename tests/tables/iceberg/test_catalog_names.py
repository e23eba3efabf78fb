"""Lakes with the same URL in two object stores, and one catalog in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import date
from pathlib import Path
from uuid import uuid4

import pytest
from obstore.store import MemoryStore
from sqlalchemy import text
from tests.services.bucket import Bucket
from tests.services.postgres import PostgresServer
from tests.tables.sample_data import bars, ingest, put

from crypto_lakehouse.core.config.storage import StoreUrl
from crypto_lakehouse.core.errors import LakeError
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.catalog_names import catalog_name
from crypto_lakehouse.tables.iceberg.embedded_catalog import EmbeddedCatalog
from crypto_lakehouse.tables.iceberg.lake_place import LakePlace
from crypto_lakehouse.tables.lake.lake import Lake

pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")

Opener = Callable[[MemoryStore, str], LakeCatalog]

ONE, TWO = "endpoint=http://one:9000", "endpoint=http://two:9000"


@pytest.fixture
def opened(tmp_path: Path, postgres_server: PostgresServer) -> Iterator[Opener]:
    """Opens the lake at one URL, in the store that is given, by its endpoint or account."""
    url = f"s3://bucket/{uuid4().hex}"
    with ExitStack() as catalogs:

        def at(store: MemoryStore, where: str = "") -> LakeCatalog:
            identity = f"{url} {where}" if where else ""
            place = LakePlace(tmp_path / (where or "no"), ObjectClient(store, url), identity)
            catalog = LakeCatalog(place, postgres_server.url(), create=True)
            return catalogs.enter_context(closing(catalog))

        yield at


def count(catalog: LakeCatalog) -> int:
    return Lake(catalog).scan("spot.klines", columns=["symbol"]).polars().collect().height


def fill(catalog: LakeCatalog, tmp_path: Path, days: int) -> None:
    ingest(catalog, [put(tmp_path / "tree", bars(date(2024, 1, 1 + day))) for day in range(days)])


def test_two_stores_are_two_lakes(opened: Opener, tmp_path: Path) -> None:
    one, two = MemoryStore(), MemoryStore()
    fill(opened(one, ONE), tmp_path, 1)
    assert opened(two, TWO).names() == []
    fill(opened(two, TWO), tmp_path, 2)
    assert (count(opened(one, ONE)), count(opened(two, TWO))) == (24, 48)


def test_tables_that_are_named_by_the_url_alone_are_adopted_by_their_store(
    opened: Opener, tmp_path: Path
) -> None:
    one, two = MemoryStore(), MemoryStore()
    fill(opened(one, ""), tmp_path, 1)
    assert opened(two, TWO).names() == [], "its store has no metadata of them"
    for _ in range(2):
        mine = opened(one, ONE)
        assert (mine.names(), count(mine)) == (["lakehouse.archives", "spot.klines"], 24)
    fill(mine, tmp_path, 2)
    assert count(opened(one, ONE)) == 48
    assert isinstance(mine.catalog, EmbeddedCatalog)
    with mine.catalog.engine.begin() as connection:
        found = connection.execute(
            text(
                "SELECT DISTINCT catalog_name FROM iceberg_tables WHERE metadata_location LIKE :l"
            ),
            {"l": f"{mine.place.root}/%"},
        ).all()
    assert [row[0] for row in found] == [catalog_name(mine.place)]


def test_a_lake_is_not_begun_again_under_another_endpoint(opened: Opener, tmp_path: Path) -> None:
    store = MemoryStore()
    fill(opened(store, ONE), tmp_path, 1)
    for other in (TWO, ""):
        with pytest.raises(LakeError, match=f"tables of this lake as `.* {ONE}`.* each machine"):
            opened(store, other)
    assert count(opened(store, ONE)) == 24


def test_the_endpoint_is_in_the_name(ministack_bucket: Bucket, tmp_path: Path) -> None:
    url = StoreUrl.parse(ministack_bucket.fresh_prefix())
    with ministack_bucket.credentials():
        place = LakePlace.at_url(url, ministack_bucket.storage, None, str(tmp_path))
    assert catalog_name(place) == f"lakehouse {url} endpoint={ministack_bucket.storage['endpoint']}"
    plain = LakePlace(tmp_path)
    assert catalog_name(plain) == f"lakehouse {plain.root}", "as ever"
