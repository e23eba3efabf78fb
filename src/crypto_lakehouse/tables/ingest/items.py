"""Writes the data files of one item of an ingestion: archives of some series.

No part of the commit is here, so an item may be written in a thread, or in another process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from attrs import field, frozen
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.protocols import ignore
from crypto_lakehouse.tables.files.partition_writer import WriterFactory
from crypto_lakehouse.tables.files.series_writer import SeriesWriter, Written
from crypto_lakehouse.tables.ingest.ingest_plan import Rebuild
from crypto_lakehouse.tables.ingest.ingest_settings import IngestSettings
from crypto_lakehouse.tables.ingest.merge_outcome import MergeOutcome
from crypto_lakehouse.tables.ingest.merge_settings import MergeSettings
from crypto_lakehouse.tables.ingest.merging import ArchiveMerge
from crypto_lakehouse.tables.ingest.stored_rows import TableRows
from crypto_lakehouse.tables.reading.batch import Source
from crypto_lakehouse.tables.schema.received import RECEIVED_AT
from crypto_lakehouse.tables.schema.schemas import TableSchema

__all__ = ["Item", "ItemResult", "ItemWriter", "archives_of", "in_order"]

#: Archives and merges of some series, sorted.
Item = tuple[Source | Rebuild, ...]


@frozen(kw_only=True)
class ItemResult:
    """What the commit must know of an item that is written.

    Attributes:
        files: Its data files, which no reader sees yet.
        written: The result for each archive.
        merges: The result of each merge.
    """

    files: tuple[DataFile, ...] = ()
    written: tuple[Written, ...] = ()
    merges: tuple[MergeOutcome, ...] = ()


@frozen(kw_only=True)
class ItemWriter:
    """Writes items into one state of a table; threads may share it.

    Attributes:
        schema: The table.
        settings: How to ingest.
        stored: Reads the rows that the table has.
        folder: Where rows wait that do not fit in memory.
        on_read: Called with the number of new archives that were read since the last call.
    """

    schema: TableSchema
    settings: IngestSettings
    stored: TableRows
    folder: Path
    on_read: Callable[[int], None] = field(default=ignore)

    @classmethod
    def of(
        cls,
        table: Table,
        schema: TableSchema,
        settings: IngestSettings,
        archives: tuple[Archive, ...],
        *,
        unread: frozenset[str],
        folder: Path,
        on_read: Callable[[int], None] = ignore,
    ) -> ItemWriter:
        """Return a writer.

        Args:
            table: The table.
            schema: Its schema.
            settings: How to ingest.
            archives: Those whose rows in the table may be needed.
            unread: The locations of data files that cannot be read.
            folder: As of the class.
            on_read: As of the class.
        """
        there = table.schema().column_names
        names = [*(column.name for column in schema.stored), RECEIVED_AT]
        columns = tuple(dict.fromkeys(name for name in names if name in there))
        stored = TableRows(table, archives, columns, unread)
        return cls(schema=schema, settings=settings, stored=stored, folder=folder, on_read=on_read)

    def write(self, item: Item, files: WriterFactory, check: Callable[[], None]) -> ItemResult:
        """Write an item.

        Args:
            item: What to read.
            files: Opens its data files.
            check: Called regularly; may raise to cancel.

        Raises:
            LakehouseError: The error concerns every archive.
            OSError: A file cannot be written.
        """
        settings = self.settings
        shared = MergeSettings(
            schema=self.schema, exact=settings.exact, policies=settings.policies,
            stored=self.stored, folder=self.folder,
        )  # fmt: skip
        works = [ArchiveMerge(each, shared) if isinstance(each, Rebuild) else each for each in item]
        done, written = SeriesWriter(
            schema=self.schema,
            works=tuple(works),
            exact=settings.exact,
            policies=settings.policies,
            files=files,
            check=check,
            ahead=settings.workers > 1,
            on_read=self.on_read,
        ).run()
        merges = (each.outcome for each in works if isinstance(each, ArchiveMerge))
        return ItemResult(files=tuple(done), written=tuple(written), merges=tuple(merges))


def in_order(results: Iterable[ItemResult], items: Iterable[Item]) -> list[ItemResult]:
    """Return results, which come as they end, in the order of their items."""
    numbers = {
        archive.key: number
        for number, item in enumerate(items)
        for work in item
        for archive in ((work.archive,) if isinstance(work, Source) else work.archives)
    }

    def number_of(result: ItemResult) -> int:
        return next((numbers[each.source.archive.key] for each in result.written), 0)

    return sorted(results, key=number_of)


def archives_of(item: Item) -> tuple[Archive, ...]:
    """Return the archives of an item whose rows in the table may be needed: those of its merges."""
    return tuple(archive for each in item if isinstance(each, Rebuild) for archive in each.archives)
