"""Lakes at URLs, for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from attrs import frozen
from obstore.store import MemoryStore
from tests.services.bucket import Bucket

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.config.storage import StoreUrl
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.lake_place import LakePlace
from crypto_lakehouse.tables.iceberg.orphans import _referenced
from crypto_lakehouse.tables.ingest.ingested import Ingested
from crypto_lakehouse.tables.ingest.ingestion import Ingestion, IngestSettings
from crypto_lakehouse.tables.ingest.recovery import recover
from crypto_lakehouse.tables.lake.lake import Lake
from crypto_lakehouse.tables.reading.batch import Source
from crypto_lakehouse.tables.schema.schemas import schema_of


@frozen
class LakeAtUrl:
    """A lake at a URL, and the folder for the local folders of machines that use it."""

    client: ObjectClient
    folder: Path

    @classmethod
    def in_memory(cls, folder: Path) -> LakeAtUrl:
        return cls(ObjectClient(MemoryStore(), "memory://bucket/lake"), folder)

    @classmethod
    def in_bucket(cls, bucket: Bucket, folder: Path, url: str = "", **storage: str) -> LakeAtUrl:
        with bucket.credentials():
            place = StoreUrl.parse(url or bucket.fresh_prefix())
            opened = LakePlace.at_url(place, {**bucket.storage, **storage}, None, str(folder))
        assert opened.client is not None
        return cls(opened.client, folder)

    def catalog(self, machine: str = "here", *, create: bool = True) -> LakeCatalog:
        return LakeCatalog(LakePlace(self.folder / machine, self.client), create=create)

    def ingest(
        self,
        sources: Iterable[Source],
        machine: str = "here",
        check: Callable[[], None] = lambda: None,
    ) -> list[Ingested]:
        """Do what a run does: recover what others left, then ingest what is new."""
        catalog, told = self.catalog(machine), list[Ingested]()
        try:
            recover(catalog)
            ingestion = Ingestion(catalog, IngestSettings(), told.append, check)
            of_table: dict[str, list[Source]] = {}
            for source in sources:
                of_table.setdefault(schema_of(source.archive).name, []).append(source)
            for some in of_table.values():
                schema = schema_of(some[0].archive)
                ingestion.run(schema, ingestion.plan(schema, some))
        finally:
            catalog.close()
        return told

    def rows(self, machine: str = "here") -> list[tuple[str, int]]:
        """How many rows of `spot.klines` each archive has; none is there twice."""
        with Lake(self.catalog(machine, create=False)) as lake:
            columns = ["symbol", "open_time", "archive"]
            frame = lake.scan("spot.klines", columns=columns).polars().collect()
        assert frame.select("symbol", "open_time").n_unique() == frame.height
        return sorted(frame["archive"].value_counts().iter_rows())

    def orphans(self, machine: str = "here") -> set[str]:
        """The objects in the tables' folders that no snapshot refers to."""
        catalog = self.catalog(machine, create=False)
        try:
            found = [catalog.find(name) for name in catalog.names()]
            known = {each for table in found if table is not None for each in _referenced(table)}
        finally:
            catalog.close()
        there = {self.client.place(each.key) for each in self.client.objects("warehouse/")}
        assert known <= there
        return there - known


def expected(archives: Iterable[Archive], rows: int = 24) -> list[tuple[str, int]]:
    return sorted((archive.key, rows) for archive in archives)
