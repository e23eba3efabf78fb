"""What a lake or a folder of Parquet files has: rows, files and differences."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
from attrs import evolve
from tests.tables.sample_data import text_of

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.ingest.ingested import Ingested
from crypto_lakehouse.tables.ingest.ingestion import IngestSettings
from crypto_lakehouse.tables.ingest.plain_parquet import PlainParquet
from crypto_lakehouse.tables.lake.lake import Lake
from crypto_lakehouse.tables.reading.batch import Source
from crypto_lakehouse.tables.schema.schemas import schema_of

TABLE = "spot.klines"

#: The first day of most lakes; the fifth is in another year.
FIRST = date(2023, 12, 28)


def rows(catalog: LakeCatalog, as_of: datetime | None = None) -> list[tuple[Any, ...]]:
    scan = Lake(catalog).scan(TABLE, columns=["archive", "open_time", "volume"], as_of=as_of)
    return sorted(scan.polars().collect().iter_rows())


def files(catalog: LakeCatalog) -> list[Any]:
    return list(Lake(catalog).data_files(TABLE)[1])


def differences(lake: Lake) -> set[tuple[str, str, datetime]]:
    if "lakehouse.differences" not in lake.tables:
        return set()
    found = lake.sql(
        "SELECT archive, other_archive, key FROM lakehouse.differences WHERE \"column\" = 'volume'"
    ).fetchall()
    return _by_time(found)


def _by_time(found: list[tuple[Any, ...]]) -> set[tuple[str, str, datetime]]:
    assert len(found) == len(set(found))
    return {
        (archive, other, datetime.fromisoformat(json.loads(key)["open_time"]))
        for archive, other, key in found
    }


class ParquetFiles:
    """A folder of plain Parquet files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.counts = (0, 0)

    def ingest(self, sources: list[Source], **settings: Any) -> list[Ingested]:
        """Ingest archives of one table; what each came to."""
        told: list[Ingested] = []
        if sources:
            plain = PlainParquet(
                self.root, evolve(IngestSettings(), **settings), told.append, lambda: None
            )
            self.counts = plain.write(schema_of(sources[0].archive), sources)
        return told

    @property
    def files(self) -> list[str]:
        """The files of the bars, by name."""
        return sorted(path.name for path in (self.root / "spot").rglob("*") if path.is_file())

    def frame(self) -> pl.DataFrame:
        """All bars."""
        return pl.read_parquet(self.root / "spot/**/*.parquet", hive_partitioning=False)

    def rows(self) -> list[tuple[Any, ...]]:
        return sorted(self.frame().select("archive", "open_time", "volume").iter_rows())

    def standings(self) -> list[tuple[str, str, int]]:
        """How archives stand by the metadata of the files."""
        found = []
        for path in (self.root / "spot").rglob("*.parquet"):
            known = pq.read_metadata(path).metadata or {}
            notes = json.loads(known[b"crypto-lakehouse.archives"])
            found += [(key, each["state"], each["rows"]) for key, each in notes.items()]
        return found

    def differences(self) -> set[tuple[str, str, datetime]]:
        """As `differences`, of the files below `lakehouse/differences`."""
        there = sorted((self.root / "lakehouse/differences").rglob("*.parquet"))
        if not there:
            return set()
        found = pl.concat([pl.read_parquet(path, hive_partitioning=False) for path in there])
        volumes = found.filter(pl.col("column") == "volume")
        return _by_time(volumes.select("archive", "other_archive", "key").rows())


def with_volume(archive: Archive, volume: int) -> str:
    """The text of an archive of bars, all with one volume."""
    lines = [line.split(",") for line in text_of(archive).splitlines()]
    for line in lines:
        line[5] = line[9] = f"{volume}.5"
        line[9] = "0"
        line[10] = "0"
    return "\n".join(map(",".join, lines)) + "\n"


def joined(lines: list[list[str]]) -> str:
    """The text of lines."""
    return "\n".join(map(",".join, lines)) + "\n"
