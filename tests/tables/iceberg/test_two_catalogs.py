"""Two catalogs with tables in one warehouse: what one has is kept by the other."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from attrs import frozen
from tests.services.bucket import Bucket
from tests.services.postgres import PostgresServer
from tests.tables.at_url.lakes import LakeAtUrl
from tests.tables.sample_data import bars, ingest, put

from crypto_lakehouse.core.errors import LakeError, NoLakeError
from crypto_lakehouse.tables.iceberg.bounded_files import MOST_BYTES
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.lake_place import LakePlace
from crypto_lakehouse.tables.iceberg.local_io import path_in_lake
from crypto_lakehouse.tables.ingest.journal import Journal
from crypto_lakehouse.tables.ingest.recovery import recover
from crypto_lakehouse.tables.lake.lake import Lake
from crypto_lakehouse.tables.lake.maintenance import expire, sweep

pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")

FOREIGN = r"than `spot\.klines` has metadata .*`metadata/0.*metadata\.json`.*`--catalog`"


@frozen
class Warehouse:
    """A warehouse with the tables of two catalogs: the embedded one, and one in PostgreSQL."""

    place: LakePlace
    server: str

    def catalog(self, name: str) -> closing[LakeCatalog]:
        """Open the catalog `embedded` or `postgresql`."""
        server = self.server if name == "postgresql" else None
        return closing(LakeCatalog(self.place, server, create=True))

    def files(self) -> dict[str, bytes]:
        """The contents of all files of the lake."""
        if (client := self.place.client) is not None:
            return {info.key: client.read(info.key) or b"" for info in client.objects("")}
        root = self.place.folder
        found = (path for path in root.rglob("*") if path.is_file())
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}

    def write(self, files: dict[str, bytes]) -> None:
        for key, data in files.items():
            if self.place.client is not None:
                self.place.client.put(key, data)
                continue
            path = self.place.folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def clear(self) -> None:
        for key in self.files():
            if self.place.client is None:
                (self.place.folder / key).unlink()
            else:
                self.place.client.delete(key)

    def tables(self) -> set[str]:
        return {key for key in self.files() if key.startswith("warehouse/")}

    def rows(self, name: str) -> int:
        with self.catalog(name) as catalog:
            frame = Lake(catalog).scan("spot.klines", columns=["symbol"]).polars()
            return frame.collect().height


@pytest.fixture(params=["directory", "url"])
def warehouse(
    request: pytest.FixtureRequest, tmp_path: Path, postgres_server: PostgresServer
) -> Warehouse:
    place = LakePlace(tmp_path / uuid4().hex)
    if request.param == "url":
        bucket: Bucket = request.getfixturevalue("ministack_bucket")
        place = LakePlace(tmp_path / "state", LakeAtUrl.in_bucket(bucket, tmp_path).client)
    made = Warehouse(place, postgres_server.url())
    first = put(tmp_path / "tree", bars(date(2024, 1, 1)))
    with made.catalog("embedded") as catalog:
        ingest(catalog, [first])
    aside = made.files()
    made.clear()
    with made.catalog("postgresql") as catalog:
        ingest(catalog, [first, put(tmp_path / "tree", bars(date(2024, 1, 2)))])
    made.write(aside)
    return made


Upkeep = Callable[[LakeCatalog], object]


def swept(catalog: LakeCatalog) -> None:
    sweep(catalog, "spot.klines", before=None)


def expired(catalog: LakeCatalog) -> None:
    expire(catalog, "spot.klines", before=datetime.now(UTC))


@pytest.mark.parametrize("name", ["embedded", "postgresql"])
def test_no_file_of_the_other_table_is_deleted(warehouse: Warehouse, name: str) -> None:
    before = warehouse.tables()
    with warehouse.catalog(name) as catalog:
        for upkeep in (swept, expired) if not catalog.is_shared else (swept,):
            with pytest.raises(LakeError, match=FOREIGN) as refused:
                upkeep(catalog)
            assert refused.value.exit_code == 2
    assert warehouse.tables() == before
    assert (warehouse.rows("embedded"), warehouse.rows("postgresql")) == (24, 48)


def test_what_a_killed_run_of_the_other_catalog_announced_is_kept(warehouse: Warehouse) -> None:
    with warehouse.catalog("postgresql") as catalog:
        table = catalog.catalog.load_table("spot.klines")
        named = [task.file.file_path for task in table.scan().plan_files()]
        journal = Journal(catalog.place.journals, uuid4().hex, "spot.klines")
        for location in named:
            journal.announce(location)
        journal.close()
    before = warehouse.tables()
    with (
        warehouse.catalog("embedded") as catalog,
        pytest.raises(LakeError, match=FOREIGN),
    ):
        recover(catalog)
    assert warehouse.tables() == before


@pytest.mark.parametrize("left", ["no snapshot", "cut", "cut at its end"])
def test_metadata_that_no_table_can_be_read_by_is_an_orphan(
    warehouse: Warehouse, left: str
) -> None:
    named = "warehouse/spot/klines/metadata/"
    with warehouse.catalog("embedded") as catalog:
        table = catalog.catalog.load_table("spot.klines")
        first = table.metadata.metadata_log[0].metadata_file.rpartition("/")[2]
        own = {location.metadata_file for location in table.metadata.metadata_log}
    files = warehouse.files()
    assert own
    data = files[f"{named}{first}"].replace(str(table.metadata.table_uuid).encode(), b"0" * 36)
    for key in files:
        if key.startswith(named) and key.endswith(".metadata.json"):
            other = str(table.metadata.table_uuid).encode() not in files[key]
            if other and warehouse.place.client is None:
                (warehouse.place.folder / key).unlink()
            elif other and warehouse.place.client is not None:
                warehouse.place.client.delete(key)
    stray = f"{named}00000-{uuid4()}.metadata.json"
    ends_at = {"no snapshot": len(data), "cut": 40, "cut at its end": len(data) - 9}
    warehouse.write({stray: data[: ends_at[left]]})
    with warehouse.catalog("embedded") as catalog:
        deleted = sweep(catalog, "spot.klines", before=None)
    assert any(path.endswith(stray) for path in deleted)
    assert warehouse.rows("embedded") == 24


@pytest.mark.parametrize("ending", [".gz.metadata.json", ".metadata.json.gz"])
@pytest.mark.parametrize(
    ("left", "reason"),
    [
        ("cut", r"another table than `spot\.klines` has metadata"),
        ("bomb", r"as it may be metadata of another table: it has more than 64 MiB"),
        ("damaged", r"as it may be metadata of another table: it is damaged"),
    ],
)
def test_packed_metadata_that_may_be_of_another_table_is_kept(
    tmp_path: Path, left: str, reason: str, ending: str
) -> None:
    with closing(LakeCatalog(tmp_path / "lake", create=True)) as catalog:
        ingest(catalog, [put(tmp_path / "tree", bars(date(2024, 1, 1)))])
        table = catalog.catalog.load_table("spot.klines")
        folder = tmp_path / "lake" / "warehouse" / "spot" / "klines"
        plain = path_in_lake(table.metadata_location, str(tmp_path / "lake"))
        other = Path(plain).read_bytes().replace(str(table.metadata.table_uuid).encode(), b"0" * 36)
        packed = gzip.compress(other if left != "bomb" else other + b" " * MOST_BYTES, 1)
        ends_at = len(packed) * 3 // 4 if left == "cut" else len(packed)
        packed = packed[:ends_at] if left != "damaged" else b"\x1f\x8b" + packed[12:]
        (folder / "metadata" / f"00009-{uuid4()}{ending}").write_bytes(packed)
        (folder / "data" / "of-the-other.parquet").write_bytes(b"rows")
        before = {path for path in folder.rglob("*") if path.is_file()}
        for upkeep in (swept, expired):
            with pytest.raises(LakeError, match=reason) as refused:
                upkeep(catalog)
            assert refused.value.exit_code == 2
        assert {path for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["embedded", "postgresql"])
def test_no_file_of_a_copy_of_the_table_in_the_other_catalog_is_deleted(
    tmp_path: Path, postgres_server: PostgresServer, name: str
) -> None:
    """The same table, by its identity, is registered in both; then the other one goes on."""
    other = {"embedded": "postgresql", "postgresql": "embedded"}[name]
    both = Warehouse(LakePlace(tmp_path / uuid4().hex), postgres_server.url())
    archives = [put(tmp_path / "tree", bars(date(2024, 1, day))) for day in (1, 2, 3)]
    with both.catalog(name) as copy, both.catalog(other) as catalog:
        ingest(catalog, archives[:1])
        for table in catalog.names():
            copy.catalog.create_namespace_if_not_exists(table.rpartition(".")[0])
            copy.catalog.register_table(table, catalog.catalog.load_table(table).metadata_location)
        for archive in archives[1:]:
            ingest(catalog, [archive])
        before = both.tables()
        for upkeep in (swept, expired) if not copy.is_shared else (swept,):
            with pytest.raises(LakeError, match="of commits that this catalog does") as refused:
                upkeep(copy)
            assert refused.value.exit_code == 2
    assert both.tables() == before
    assert (both.rows(other), both.rows(name)) == (72, 24)


OTHERS = r"has metadata of tables \(`warehouse/.*metadata\.json`\) that the catalog does not have"


@pytest.mark.parametrize("create", [True, False])
def test_no_lake_begins_where_another_catalog_has_tables(
    warehouse: Warehouse, *, create: bool
) -> None:
    with warehouse.catalog("postgresql") as catalog:
        for name in catalog.names():
            catalog.catalog.drop_table(name)
    before = warehouse.files()
    with pytest.raises(NoLakeError, match=OTHERS) as refused:
        LakeCatalog(warehouse.place, warehouse.server, create=create)
    assert refused.value.exit_code == 2
    assert warehouse.files() == before
    assert warehouse.rows("embedded") == 24


def test_a_lake_that_another_machine_begins_meanwhile_is_the_same(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse.clear()
    with warehouse.catalog("postgresql") as catalog:
        for name in catalog.names():
            catalog.catalog.drop_table(name)
    looked, first = LakePlace.tables_of_others, put(tmp_path / "tree", bars(date(2024, 1, 1)))

    def after_the_other(place: LakePlace) -> str:
        monkeypatch.undo()
        with warehouse.catalog("postgresql") as other:
            ingest(other, [first])
        found = looked(place)
        assert "metadata of tables" in found
        return found

    monkeypatch.setattr(LakePlace, "tables_of_others", after_the_other)
    with warehouse.catalog("postgresql") as catalog:
        assert catalog.names() == ["lakehouse.archives", "spot.klines"]
    assert warehouse.rows("postgresql") == 24
