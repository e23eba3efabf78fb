"""Machines that write to the tables of one catalog, each with a lake's folder of its own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

from obstore.store import MemoryStore
from pyiceberg.catalog.sql import SqlCatalog
from tests.tables.sample_data import bars, put, text_of

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.lake_place import LakePlace
from crypto_lakehouse.tables.ingest.ingested import Ingested
from crypto_lakehouse.tables.ingest.ingestion import Ingestion, IngestSettings
from crypto_lakehouse.tables.ingest.recorded_meanwhile import Recorded
from crypto_lakehouse.tables.lake.lake import Lake
from crypto_lakehouse.tables.reading.batch import Source
from crypto_lakehouse.tables.schema.schemas import schema_of

FIRST = date(2023, 12, 1)
SCHEMA = schema_of(bars(FIRST))


class SharedCatalog(LakeCatalog):
    """A machine's view of a catalog that others write to; SQLite stands for the server."""

    def _configured(self, name: str) -> SqlCatalog:
        place = self.place.folder.parent
        return SqlCatalog(
            name, uri=f"sqlite:///{place / 'shared.db'}", warehouse=f"file://{place / 'warehouse'}"
        )


class Machine:
    """One of the writers: to a catalog on a server, or to a lake at a URL, with its own folder."""

    def __init__(
        self, root: Path, name: str, client: ObjectClient | None = None, database: str | None = None
    ) -> None:
        self.root = root
        self.archives = root / f"{name}-archives"
        self.client = client
        self.database = database
        if client is None:
            self.catalog: LakeCatalog = SharedCatalog(root / name, "shared", create=True)
        else:
            self.catalog = LakeCatalog(LakePlace(root / name, client), database, create=True)
        self.told: list[Ingested] = []
        self.recorded: list[Recorded] = []

    def put(self, archive: Archive, text: str | None = None) -> Source:
        return put(self.archives, archive, text)

    def ingestion(self, meanwhile: Callable[[], None] = lambda: None) -> Ingestion:
        """An ingestion during which something is done, once it has begun to read."""
        left = [meanwhile]

        def check() -> None:
            if left:
                left.pop()()

        return Ingestion(
            self.catalog, IngestSettings(), self.told.append, check,
            on_recorded=self.recorded.append,
        )  # fmt: skip

    def ingest(self, sources: list[Source], meanwhile: Callable[[], None] = lambda: None) -> None:
        ingestion = self.ingestion(meanwhile)
        ingestion.run(SCHEMA, ingestion.plan(SCHEMA, sources))


def objects_in_memory() -> ObjectClient:
    return ObjectClient(MemoryStore(), f"memory://bucket/{uuid4().hex}")


def rows(machine: Machine) -> list[tuple[Any, ...]]:
    scan = Lake(machine.catalog).scan("spot.klines", columns=["symbol", "archive", "open_time"])
    return sorted(scan.polars().collect().iter_rows())


def held_once(machine: Machine, *sources: Source) -> bool:
    """Whether the table has the rows of these archives, all of them, once."""
    found = [row for row in rows(machine) if row[2].year != 2022]
    assert len({(row[0], row[2]) for row in found}) == len(found)
    wanted = {each.archive.key: len(text_of(each.archive).splitlines()) for each in sources}
    counted = {key: sum(row[1] == key for row in found) for key in {row[1] for row in found}}
    return wanted == counted


def files_on_disk(machine: Machine) -> list[str]:
    if machine.client is not None:
        objects = machine.client.objects("warehouse/spot/klines/data/")
        return sorted(machine.client.place(each.key) for each in objects)
    found = (machine.root / "warehouse").rglob("klines/data/**/*.parquet")
    return sorted(f"file://{path}" for path in found)


def no_orphan(machine: Machine) -> bool:
    """Whether every data file in the warehouse is one of the table's."""
    table = machine.catalog.find("spot.klines")
    assert table is not None
    known = table.inspect.all_files()["file_path"].to_pylist()
    return set(files_on_disk(machine)) <= set(known)
