"""Lakes at URLs that were made elsewhere, for tests."""

from __future__ import annotations

import gzip
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
from obstore.store import MemoryStore
from tests.tables.at_url.lakes import LakeAtUrl
from tests.tables.sample_data import bars, changed_text, days, ingest, month_of, put

from crypto_lakehouse.stores.objects.client import ObjectClient
from crypto_lakehouse.tables.iceberg.avro_file import AvroFile
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.lake_place import LakePlace
from crypto_lakehouse.tables.lake.maintenance import compact
from crypto_lakehouse.tables.reading.batch import Source

KLINES = "spot.klines"
FIRST = date(2023, 7, 1)
LATER = date(2023, 8, 2)
ROWS = 32 * 24


def make(lake: LakeAtUrl, tree: Path) -> None:
    """Give a lake several snapshots, manifests that were merged, and differences."""
    make_at(LakePlace(lake.folder / "here", lake.client), tree)


def make_at(place: LakePlace, tree: Path) -> None:
    """Do the same for a lake anywhere."""
    ingest_at(place, [put(tree, bars(day)) for day in days(FIRST, 3)])
    ingest_at(place, [put(tree, month_of(bars(FIRST)))])
    ingest_at(place, [put(tree, bars(FIRST), changed_text(bars(FIRST)))])
    ingest_at(place, [put(tree, bars(date(2023, 8, 1)))])
    catalog = LakeCatalog(place)
    compact(catalog, KLINES, tool_version="test")
    catalog.close()


def ingest_at(place: LakePlace, sources: list[Source]) -> list[str]:
    """Ingest archives; return the keys of those that were ingested."""
    catalog = LakeCatalog(place, create=True)
    try:
        return [each.archive.key for each in ingest(catalog, sources)]
    finally:
        catalog.close()


def at(url: str, folder: Path) -> LakeAtUrl:
    """An empty prefix in memory."""
    return LakeAtUrl(ObjectClient(MemoryStore(), url), folder)


def contents(client: ObjectClient) -> dict[str, bytes]:
    """All objects, by their keys."""
    return {each.key: client.read(each.key) or b"" for each in client.objects("")}


def copy_objects(source: ObjectClient, target: ObjectClient) -> None:
    """Do what `rclone copy` does."""
    for key, data in contents(source).items():
        target.put(key, data)


def versions(lake: LakeAtUrl, machine: str = "here") -> dict[str, list[tuple[Any, ...]]]:
    """What `versions_at` returns, of a machine."""
    return versions_at(LakePlace(lake.folder / machine, lake.client))


def versions_at(place: LakePlace) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of every snapshot of every table: how many, and for bars the sum of volumes."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    catalog = LakeCatalog(place)
    for name in catalog.names():
        table = catalog.find(name)
        assert table is not None
        for snapshot in table.snapshots():
            rows = table.scan(snapshot_id=snapshot.snapshot_id).to_arrow()
            volumes = pc.sum(rows["volume"]).as_py() if name == KLINES else 0
            found.setdefault(name, []).append((snapshot.snapshot_id, rows.num_rows, volumes))
    catalog.close()
    return found


def text_of(key: str, data: bytes) -> str:
    """The text of a file of metadata; Avro files are compressed."""
    if key.endswith(".avro"):
        return str(AvroFile.read(data).records)
    return (gzip.decompress(data) if key.endswith(".gz.metadata.json") else data).decode()


def naming(files: dict[str, bytes], place: str) -> list[str]:
    """The files of metadata, and the records, that name a place."""
    kinds = (".json", ".avro")
    return [
        key
        for key, data in files.items()
        if key.endswith(kinds) and f"{place}/" in text_of(key, data)
    ]
