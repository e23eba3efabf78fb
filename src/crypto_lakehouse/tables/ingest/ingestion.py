"""Ingest archives into their tables: read, check, write, commit, and report each result.

Work is divided by series: a worker reads the archives of a few series in order, and closes each
data file at the end of its partition, so a run adds one file per partition. One commit makes the
rows of many archives visible, and removes the rows that they replace.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any

from attrs import define, field, frozen
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.tables.files.parquet_options import FileLayout
from crypto_lakehouse.tables.files.partition_writer import WriterFactory
from crypto_lakehouse.tables.files.series_writer import SeriesWriter, Written, work_items
from crypto_lakehouse.tables.iceberg.catalog import JOURNALS, LakeCatalog, as_lake_errors
from crypto_lakehouse.tables.ingest.commits import newest_sequence, sequence_of
from crypto_lakehouse.tables.ingest.ingest_plan import IngestPlan, plan_ingestion
from crypto_lakehouse.tables.ingest.journal import Journal
from crypto_lakehouse.tables.ingest.provenance import (
    ARCHIVES,
    newest_rows,
    provenance_row,
    record,
    standings,
)
from crypto_lakehouse.tables.ingest.publish import Publication
from crypto_lakehouse.tables.ingest.recorded_seams import check_seams
from crypto_lakehouse.tables.ingest.recovery import recover
from crypto_lakehouse.tables.quality.findings import ArchiveQuality, Policy
from crypto_lakehouse.tables.quality.seams import ID_TYPES
from crypto_lakehouse.tables.reading.batch import Source
from crypto_lakehouse.tables.reading.reader import count_rows
from crypto_lakehouse.tables.schema.schemas import TableSchema

__all__ = ["IngestSettings", "Ingested", "Ingestion"]

#: A commit is made after this many archives, or bytes of zips.
_COMMIT_ARCHIVES = 20_000
_COMMIT_BYTES = 4 << 30

#: Seconds between checks for cancellation while workers are busy.
CHECKED_EVERY_S = 0.2


class _CancelledError(BaseException):
    """The run has ended; raised in its workers, whose results are discarded."""


def _cancel_if(ended: threading.Event) -> None:
    if ended.is_set():
        raise _CancelledError


@frozen(kw_only=True)
class IngestSettings:
    """How archives are ingested.

    Attributes:
        exact: Whether numbers become decimal(38, 18) instead of float64.
        policies: What to do about findings, by check, if not the check's default.
        workers: Threads that read and write; the number of cores is a good choice.
        layout: How data files are written.
        again: Whether to ingest archives again whose current version was ingested or refused.
        tool_version: Recorded with each archive.
    """

    exact: bool = False
    policies: Mapping[str, Policy] = field(factory=dict)
    workers: int = 1
    layout: FileLayout = field(factory=FileLayout)
    again: bool = False
    tool_version: str = ""


@frozen
class Ingested:
    """The result for one archive.

    Attributes:
        state: `ingested`, `refused`, `quarantined` or `held_back`.
        rows: Its rows that are in the table now.
        replaced: How many archives had their rows replaced by it.
    """

    archive: Archive
    table: str
    state: str
    rows: int
    replaced: int
    quality: ArchiveQuality


@define
class Ingestion:
    """Ingests archives into one lake; the caller must hold the lake's lock.

    Attributes:
        catalog: The lake's tables.
        settings: How to ingest.
        tell: Called with each archive's result, once it is committed.
        check: Called regularly; may raise to cancel.
    """

    catalog: LakeCatalog
    settings: IngestSettings
    tell: Callable[[Ingested], None] = lambda _ingested: None
    check: Callable[[], None] = lambda: None

    def plan(self, schema: TableSchema, sources: Iterable[Source]) -> IngestPlan:
        """Compare archives with the contents of their table."""
        with as_lake_errors(str(self.catalog.root)):
            known = standings(self.catalog.find(ARCHIVES), schema.name)
        return plan_ingestion(sources, known, count_rows, again=self.settings.again)

    def run(self, schema: TableSchema, plan: IngestPlan) -> None:
        """Carry out the plan for one table.

        Raises:
            LakeError: The table cannot be written.
            OSError: A zip cannot be read.
        """
        for source, sentence in plan.held_back:
            quality = ArchiveQuality(key=source.archive.key, fault=sentence)
            self.tell(Ingested(source.archive, schema.name, "held_back", 0, 0, quality))
        if not plan.ingest:
            return
        with as_lake_errors(str(self.catalog.root)):
            table = self.catalog.table_for(schema, exact=self.settings.exact)
            items = iter(work_items(plan.ingest))
            while work := tuple(_until(items)):
                table = _Commit(self, schema, table, plan).make(work)


def _until(items: Iterator[tuple[Source, ...]]) -> Iterator[tuple[Source, ...]]:
    """Take the work of one commit from the items."""
    archives = size = 0
    for item in items:
        yield item
        archives += len(item)
        size += sum(source.path.stat().st_size for source in item)
        if archives >= _COMMIT_ARCHIVES or size >= _COMMIT_BYTES:
            return


@define
class _Commit:
    ingestion: Ingestion
    schema: TableSchema
    table: Table
    plan: IngestPlan
    name: str = field(init=False, factory=lambda: uuid.uuid4().hex)
    files: list[DataFile] = field(init=False, factory=list)
    written: list[Written] = field(init=False, factory=list)

    def make(self, work: tuple[tuple[Source, ...], ...]) -> Table:
        """Write, commit and record; return the table after the commit."""
        folder = self.ingestion.catalog.root / JOURNALS
        journal = Journal(folder, self.name, self.schema.name)
        files = WriterFactory(
            table=self.table, layout=self.ingestion.settings.layout, stem=self.name,
            announce=journal.announce,
        )  # fmt: skip
        try:
            with journal:
                self._write(work, files)
                noted_again = self._check_seams()
                rows = [*self._provenance(), *noted_again]
                journal.intend(rows)
                self._publication(files).make()
                table = self.ingestion.catalog.catalog.load_table(self.schema.name)
                # A run that only refused archives commits nothing to the table.
                made = sequence_of(table, self.name) or newest_sequence(self.table)
                record(self.ingestion.catalog, rows, table_sequence=made)
        except BaseException:
            with suppress(Exception):  # if it fails now, the next run recovers
                recover(self.ingestion.catalog)
            raise
        for written in self.written:
            self.ingestion.tell(self._ingested(written))
        return table

    def _write(self, work: tuple[tuple[Source, ...], ...], files: WriterFactory) -> None:
        settings, check = self.ingestion.settings, self.ingestion.check
        if settings.workers == 1 or len(work) == 1:
            for number, sources in enumerate(work):
                self._take(*self._writer(sources, files.named(number), check).run())
            return
        ended = threading.Event()
        writers = (
            self._writer(sources, files.named(number), partial(_cancel_if, ended))
            for number, sources in enumerate(work)
        )
        with ThreadPoolExecutor(settings.workers, "ingest") as pool:
            under_way = {pool.submit(writer.run) for writer in islice(writers, settings.workers)}
            try:
                while under_way:
                    check()
                    done, under_way = wait(under_way, CHECKED_EVERY_S, FIRST_COMPLETED)
                    for future in done:
                        self._take(*future.result())
                    under_way |= {pool.submit(writer.run) for writer in islice(writers, len(done))}
            except BaseException:
                ended.set()
                raise

    def _writer(
        self, sources: tuple[Source, ...], files: WriterFactory, check: Callable[[], None]
    ) -> SeriesWriter:
        settings = self.ingestion.settings
        return SeriesWriter(
            schema=self.schema,
            sources=sources,
            exact=settings.exact,
            policies=settings.policies,
            files=files,
            check=check,
            ahead=settings.workers > 1,
        )

    def _take(self, files: Iterable[DataFile], written: Iterable[Written]) -> None:
        self.files += files
        self.written += written

    def _check_seams(self) -> list[dict[str, Any]]:
        """Check ids from archive to archive; return the rows of archives whose findings change."""
        if self.schema.data_type not in ID_TYPES:
            return []
        there = newest_rows(self.ingestion.catalog.find(ARCHIVES), self.schema.name)
        removals = self.plan.removals
        self.written, again = check_seams(self.written, there, lambda key: removals.get(key, ()))
        return again

    def _publication(self, files: WriterFactory) -> Publication:
        removals = self.plan.removals
        added = [each.source.archive for each in self.written if each.state == "ingested"]
        return Publication(
            catalog=self.ingestion.catalog,
            commit=self.name,
            files=files,
            written=tuple(self.files),
            added=tuple(added),
            replaced=tuple(gone for each in added for gone in removals.get(each.key, ())),
            tool_version=self.ingestion.settings.tool_version,
            check=self.ingestion.check,
        )

    def _provenance(self) -> Iterator[dict[str, Any]]:
        version = self.ingestion.settings.tool_version
        for written in self.written:
            key = written.source.archive.key
            replaced = self.plan.removals.get(key, ())
            if written.state == "held_back":
                continue  # the next run tries it again
            if written.state != "ingested" and replaced:
                continue  # the rows that it would have replaced stay, with their provenance
            yield provenance_row(
                self.schema.name, written.state, written.source.sha256, written.rows,
                written.quality, commit=self.name, tool_version=version,
            )  # fmt: skip
            for archive in replaced:
                if archive.key != key:
                    quality = ArchiveQuality(key=archive.key)
                    yield provenance_row(
                        self.schema.name, "superseded", "", 0, quality,
                        commit=self.name, tool_version=version,
                    )  # fmt: skip

    def _ingested(self, written: Written) -> Ingested:
        archive = written.source.archive
        ingested = written.state == "ingested"
        replaced = len(self.plan.removals.get(archive.key, ())) if ingested else 0
        return Ingested(
            archive, self.schema.name, written.state, written.rows, replaced, written.quality
        )
