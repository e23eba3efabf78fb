"""Items of an ingestion for other processes: what they must know, and how they write an item.

A process that writes an item has no part in the commit, and gives its data files names that no
other process uses: one that was cut off and comes back harms nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from attrs import evolve, frozen
from pyiceberg.table import Table

from crypto_lakehouse.core.file_identity import StoredFiles
from crypto_lakehouse.stores.local_files import LocalFiles
from crypto_lakehouse.tables.files.partition_writer import WriterFactory
from crypto_lakehouse.tables.files.series_writer import Written
from crypto_lakehouse.tables.iceberg.local_io import sync_files
from crypto_lakehouse.tables.iceberg.table_at import TableStates
from crypto_lakehouse.tables.ingest.ingest_plan import Rebuild
from crypto_lakehouse.tables.ingest.ingest_settings import IngestSettings
from crypto_lakehouse.tables.ingest.items import Item, ItemResult, ItemWriter, archives_of
from crypto_lakehouse.tables.quality.findings import ArchiveQuality
from crypto_lakehouse.tables.reading.batch import Source
from crypto_lakehouse.tables.schema.schemas import load_schemas

__all__ = ["ItemJob", "ItemRunner", "held_back_item", "sendable", "write_item"]


@frozen(kw_only=True)
class ItemJob:
    """What a process must know to write an item.

    Attributes:
        catalog: The catalog of pyiceberg's configuration; None for one of this package.
        table: The table's full name.
        metadata: The location of the metadata file with the state of the table.
        settings: How to ingest.
        item: The archives, as `sendable` returns them.
        unread: The locations of data files that cannot be read.
        stem: The beginning of the names of its data files.
    """

    catalog: str | None
    table: str
    metadata: str
    settings: IngestSettings
    item: Item
    unread: frozenset[str]
    stem: str


class ItemRunner(Protocol):
    """Writes items in other processes."""

    @property
    def losses(self) -> int:
        """How many items were lost with a process, which may have left data files."""
        ...

    def run(
        self, jobs: Iterator[ItemJob], check: Callable[[], None]
    ) -> Generator[ItemResult, None, None]:
        """Write items, and yield the result of each as it ends.

        Args:
            jobs: The items; each is taken when a process is free.
            check: Called regularly; may raise to cancel.

        Raises:
            LakehouseError: The error concerns every archive.
            OSError: A file cannot be written.
        """
        ...


#: In place of the files of archives, which are not sent: the receiver has its own.
_NOWHERE = LocalFiles(Path("/nowhere"))


def _moved(item: Item, files: StoredFiles) -> Item:
    return tuple(
        evolve(each, files=files) if isinstance(each, Source) else _merge_moved(each, files)
        for each in item
    )


def _merge_moved(merge: Rebuild, files: StoredFiles) -> Rebuild:
    return evolve(
        merge,
        changed=tuple(evolve(each, files=files) for each in merge.changed),
        others=tuple(evolve(each, files=files) for each in merge.others),
    )


def sendable(item: Item) -> Item:
    """Return an item without the files of its archives."""
    return _moved(item, _NOWHERE)


def write_item(
    job: ItemJob, tables: TableStates, archives: StoredFiles, check: Callable[[], None]
) -> ItemResult:
    """Write the data files of an item; none is left if it fails or is cancelled.

    Args:
        job: The item.
        tables: Loads the tables of the lake.
        archives: Where the zips are.
        check: Called regularly; may raise to cancel.

    Raises:
        LakehouseError: The error concerns every archive.
        OSError: A file cannot be read or written.
    """
    table, place = tables.at(job.catalog, job.table, job.metadata), tables.place
    schema = next(each for each in load_schemas().values() if each.name == job.table)
    locations: list[str] = []
    files = WriterFactory(
        table=table, layout=job.settings.layout, stem=f"{job.stem}-{uuid4().hex[:8]}",
        announce=locations.append,
    )  # fmt: skip
    writer = ItemWriter.of(
        table, schema, job.settings, archives_of(job.item),
        unread=job.unread,
        folder=place.folder if place.is_url else Path(tempfile.gettempdir()),
    )  # fmt: skip
    try:
        result = writer.write(_moved(job.item, archives), files, check)
        if job.catalog is None and not place.is_url:
            # This machine may have another view of the disk than that of the run.
            sync_files(Path(place.root), [file.file_path for file in result.files])
    except BaseException:
        _delete(table, locations)
        raise
    return ItemResult(
        files=result.files,
        written=tuple(
            evolve(each, source=evolve(each.source, files=_NOWHERE)) for each in result.written
        ),
        merges=tuple(
            evolve(each, rebuild=_merge_moved(each.rebuild, _NOWHERE)) for each in result.merges
        ),
    )


def _delete(table: Table, locations: list[str]) -> None:
    for location in locations:
        with suppress(OSError):
            table.io.delete(location)


def held_back_item(item: Item, reason: str) -> ItemResult:
    """Return the result of an item that no process could write: the next run tries it again."""
    new = (
        source
        for each in item
        for source in ((each,) if isinstance(each, Source) else each.changed)
    )
    return ItemResult(
        written=tuple(
            Written(source, "held_back", 0, ArchiveQuality(key=source.archive.key, fault=reason))
            for source in new
        )
    )
