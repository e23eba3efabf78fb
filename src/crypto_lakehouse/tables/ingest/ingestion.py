"""Ingest archives into their tables: read, check, write, commit, and report each result.

Work is divided by series: a worker reads the archives of a few series in order, and closes each
data file at the end of its partition, so a run adds one file per partition. One commit makes the
rows of many archives visible, and removes the rows that they replace.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from functools import partial
from typing import Any

from attrs import define, evolve, field, frozen
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from crypto_lakehouse.core.archive import Archive, Partition
from crypto_lakehouse.core.errors import NotRestoredError
from crypto_lakehouse.core.protocols import ignore
from crypto_lakehouse.tables.files.parquet_options import FileLayout
from crypto_lakehouse.tables.files.partition_writer import WriterFactory
from crypto_lakehouse.tables.files.series_writer import SeriesWriter, Written, work_items
from crypto_lakehouse.tables.iceberg.catalog import JOURNALS, LakeCatalog, as_lake_errors
from crypto_lakehouse.tables.iceberg.filters import among, equals
from crypto_lakehouse.tables.ingest.commits import newest_sequence, sequence_of
from crypto_lakehouse.tables.ingest.differences import record_differences
from crypto_lakehouse.tables.ingest.in_threads import in_threads
from crypto_lakehouse.tables.ingest.ingest_plan import IngestPlan, Rebuild, plan_ingestion
from crypto_lakehouse.tables.ingest.journal import Journal
from crypto_lakehouse.tables.ingest.merge_settings import MergeSettings
from crypto_lakehouse.tables.ingest.merging import ArchiveMerge
from crypto_lakehouse.tables.ingest.provenance import (
    ARCHIVES,
    PRESENT,
    newest_rows,
    provenance_row,
    record,
    recorded_again,
    standings,
)
from crypto_lakehouse.tables.ingest.publish import Publication
from crypto_lakehouse.tables.ingest.recorded_seams import check_seams
from crypto_lakehouse.tables.ingest.recovery import recover
from crypto_lakehouse.tables.ingest.row_changes import NO_CHANGES, RowChanges
from crypto_lakehouse.tables.ingest.stored_rows import TableRows
from crypto_lakehouse.tables.ingest.zip_at_hand import zip_at_hand
from crypto_lakehouse.tables.quality.findings import ArchiveQuality, Policy
from crypto_lakehouse.tables.quality.seams import ID_TYPES
from crypto_lakehouse.tables.reading.batch import Source
from crypto_lakehouse.tables.schema.schemas import TableSchema

__all__ = ["IngestSettings", "Ingested", "Ingestion", "merged_result"]

#: A commit is made after this many archives, or bytes of zips.
_COMMIT_ARCHIVES = 20_000
_COMMIT_BYTES = 4 << 30

_Item = tuple[Source | Rebuild, ...]


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
        state: `ingested`, `superseded`, `refused` or `quarantined`, as in `lakehouse.archives`; or
            `held_back` if it cannot be read at present, or `arriving` if another version has
            replaced it meanwhile: these are not recorded, and the next run tries them again.
        rows: Its rows that are in the table now.
        replaced: How many archives had their rows replaced by it.
        changes: What it changes in the table, if there was an older version of it, or of archives
            with the same rows.
        differing: How many rows differ between archives that were merged with it.
    """

    archive: Archive
    table: str
    state: str
    rows: int
    replaced: int
    quality: ArchiveQuality
    changes: RowChanges = NO_CHANGES
    differing: int = 0


@define
class Ingestion:
    """Ingests archives into one lake; the caller must hold the lake's lock.

    Attributes:
        catalog: The lake's tables.
        settings: How to ingest.
        tell: Called with each archive's result, once it is committed.
        check: Called regularly; may raise to cancel.
        on_read: Called with the number of new archives that were read since the last call; in
            worker threads, and again for an archive that is read again after an error.
        on_commit: Called before what was read is committed.
    """

    catalog: LakeCatalog
    settings: IngestSettings
    tell: Callable[[Ingested], None] = lambda _ingested: None
    check: Callable[[], None] = lambda: None
    on_read: Callable[[int], None] = ignore
    on_commit: Callable[[], None] = lambda: None

    def plan(self, schema: TableSchema, sources: Iterable[Source]) -> IngestPlan:
        """Compare archives with the contents of their table."""
        with as_lake_errors(str(self.catalog.root)):
            known = standings(self.catalog.find(ARCHIVES), schema.name)
        return plan_ingestion(sources, known, zip_at_hand, again=self.settings.again)

    def run(self, schema: TableSchema, plan: IngestPlan) -> None:
        """Carry out the plan for one table.

        Raises:
            LakeError: The table cannot be written.
            NotRestoredError: An archive whose rows were in a damaged file is refused now.
            OSError: A zip cannot be read.
        """
        if not plan.ingest:
            return
        with as_lake_errors(str(self.catalog.root)):
            table = self.catalog.table_for(schema, exact=self.settings.exact)
            items = iter(work_items(plan.ingest))
            if plan.damaged:
                _Commit(self, schema, table, plan, tuple(items)).make()
                return
            while work := tuple(_until(items)):
                table = _Commit(self, schema, table, plan, work).make()


def _until(items: Iterator[_Item]) -> Iterator[_Item]:
    """Take the work of one commit from the items."""
    archives = size = 0
    for item in items:
        yield item
        archives += sum(len(work.archives) if isinstance(work, Rebuild) else 1 for work in item)
        size += sum(work.size_bytes for work in item)
        if archives >= _COMMIT_ARCHIVES or size >= _COMMIT_BYTES:
            return


@define
class _Commit:
    ingestion: Ingestion
    schema: TableSchema
    table: Table
    plan: IngestPlan
    work: tuple[_Item, ...]
    name: str = field(init=False, factory=lambda: uuid.uuid4().hex)
    files: list[DataFile] = field(init=False, factory=list)
    written: list[Written] = field(init=False, factory=list)
    merges: dict[Rebuild, ArchiveMerge] = field(init=False)

    def __attrs_post_init__(self) -> None:
        settings = self.ingestion.settings
        rebuilds = [each for item in self.work for each in item if isinstance(each, Rebuild)]
        columns = tuple(column.name for column in self.schema.stored)
        archives = tuple(archive for each in rebuilds for archive in each.archives)
        shared = MergeSettings(
            schema=self.schema,
            exact=settings.exact,
            policies=settings.policies,
            stored=TableRows(self.table, archives, columns, self._unread),
            folder=self.ingestion.catalog.root,
        )
        self.merges = {each: ArchiveMerge(each, shared) for each in rebuilds}

    @property
    def _unread(self) -> frozenset[str]:
        return frozenset(file.file_path for file in self.plan.damaged)

    def make(self) -> Table:
        """Write, commit and record; return the table after the commit."""
        catalog = self.ingestion.catalog
        journal = Journal(catalog.root / JOURNALS, self.name, self.schema.name)
        files = WriterFactory(
            table=self.table, layout=self.ingestion.settings.layout, stem=self.name,
            announce=journal.announce,
        )  # fmt: skip
        try:
            with journal:
                self._write(files)
                self._check_restored()
                self.ingestion.on_commit()
                rows = self._with_seams(self._provenance())
                journal.intend(rows)
                # What differs is true of the archives even if the run is killed before the commit;
                # the next run compares them again.
                self._record_differences()
                self._publication(files).make()
                table = catalog.catalog.load_table(self.schema.name)
                # A run that only refused archives commits nothing to the table.
                made = sequence_of(table, self.name) or newest_sequence(self.table)
                record(catalog, rows, table_sequence=made)
        except BaseException:
            with suppress(Exception):  # if it fails now, the next run recovers
                recover(catalog)
            raise
        for ingested in self._results():
            self.ingestion.tell(ingested)
        return table

    def _write(self, files: WriterFactory) -> None:
        workers = 1 if len(self.work) == 1 else self.ingestion.settings.workers
        jobs = (
            partial(self._write_item, item, files.named(number))
            for number, item in enumerate(self.work)
        )
        with closing(in_threads(jobs, workers, self.ingestion.check)) as done:
            for some, written in done:
                self._take(some, written)

    def _check_restored(self) -> None:
        """Keep damaged files in the table unless all archives in them can be written again."""
        for written in self.written if self.plan.damaged else ():
            if written.is_new and written.state not in PRESENT:
                fault = "" if written.quality is None else written.quality.fault
                reason = (
                    f"its rows were in a data file that is damaged or gone, and it is "
                    f"{written.state} now{fault and ': '}{fault}"
                )
                key = written.source.archive.key
                raise NotRestoredError(str(self.ingestion.catalog.root), key, reason)

    def _write_item(
        self, item: _Item, files: WriterFactory, check: Callable[[], None]
    ) -> tuple[list[DataFile], list[Written]]:
        return self._writer(item, files, check).run()

    def _writer(self, item: _Item, files: WriterFactory, check: Callable[[], None]) -> SeriesWriter:
        settings = self.ingestion.settings
        return SeriesWriter(
            schema=self.schema,
            works=tuple(self.merges[each] if isinstance(each, Rebuild) else each for each in item),
            exact=settings.exact,
            policies=settings.policies,
            files=files,
            check=check,
            ahead=settings.workers > 1,
            on_read=self.ingestion.on_read,
        )

    def _take(self, files: Iterable[DataFile], written: Iterable[Written]) -> None:
        self.files += files
        self.written += written

    def _with_seams(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Check ids from archive to archive; return all rows to record."""
        if self.schema.data_type not in ID_TYPES:
            return rows
        archives = self.ingestion.catalog.find(ARCHIVES)
        there = newest_rows(archives, equals("table", self.schema.name))
        self.written, rows = check_seams(self.written, rows, there)
        return rows

    def _publication(self, files: WriterFactory) -> Publication:
        stand = [each.source.archive for each in self.written if each.state in PRESENT]
        again = (each for each in stand if each.key in self.plan.again)
        merged = (old for each in self._done() for old in each.rebuild.replaced)
        return Publication(
            catalog=self.ingestion.catalog,
            commit=self.name,
            files=files,
            written=tuple(self.files),
            added=tuple(stand),
            replaced=(*again, *merged),
            damaged=self.plan.damaged,
            tool_version=self.ingestion.settings.tool_version,
            check=self.ingestion.check,
        )

    def _done(self) -> list[ArchiveMerge]:
        return [merge for merge in self.merges.values() if merge.is_done]

    def _record_differences(self) -> None:
        done = self._done()
        record_differences(
            self.ingestion.catalog,
            self.schema.name,
            (archive.key for merge in done for archive in merge.rebuild.archives),
            (difference for merge in done for difference in merge.differences),
            commit=self.name,
        )

    def _provenance(self) -> list[dict[str, Any]]:
        version = self.ingestion.settings.tool_version
        rows: list[dict[str, Any]] = []
        moved: dict[str, Written] = {}
        for written in self.written:
            key, quality = written.source.archive.key, written.quality
            if written.state in {"held_back", "arriving"}:
                continue  # the next run tries it again
            if written.is_new and written.state not in PRESENT and key in self.plan.kept:
                continue  # the older version stays, with its provenance
            if not written.is_new and self._is_recorded(written):
                continue
            if quality is None:
                moved[key] = written
                continue
            row = provenance_row(
                self.schema.name, written.state, written.source.sha256, written.rows, quality,
                commit=self.name, tool_version=version,
            )  # fmt: skip
            rows.append(row)
        if moved:
            archives = self.ingestion.catalog.find(ARCHIVES)
            for key, row in newest_rows(archives, among("archive", sorted(moved))).items():
                now = {"state": moved[key].state, "rows": moved[key].rows, "commit": self.name}
                rows.append(recorded_again(row, **now))
        return rows

    def _is_recorded(self, written: Written) -> bool:
        """Whether an archive that was merged with changed ones stands as it stood before."""
        key = written.source.archive.key
        found = (merge.rebuild.standings.get(key) for merge in self.merges.values())
        known = next((standing for standing in found if standing is not None), None)
        return known is not None and (known.state, known.rows) == (written.state, written.rows)

    def _results(self) -> Iterator[Ingested]:
        """The result of each archive that is new, or has a new version."""
        merge_of = {
            source.archive.key: merge for merge in self._done() for source in merge.rebuild.changed
        }
        states = {each.source.archive.key: each.state for each in self.written}
        stand = (each for each in self.written if each.is_new and each.state in PRESENT)
        present = {each.source.archive.key for each in stand}
        for written in self.written:
            if not written.is_new or written.quality is None:
                continue
            archive, quality = written.source.archive, written.quality
            merge = merge_of.get(archive.key)
            name, state = self.schema.name, written.state
            ingested = Ingested(archive, name, state, written.rows, 0, quality)
            if state not in PRESENT:
                yield ingested
            elif merge is None:
                yield evolve(ingested, replaced=int(archive.key in self.plan.again))
            else:
                yield merged_result(ingested, merge, states, present)


def merged_result(
    ingested: Ingested, merge: ArchiveMerge, states: Mapping[str, str], present: Container[str]
) -> Ingested:
    """Add what an archive replaced and changed; the first one of a merge tells of the others.

    Args:
        ingested: The result of an archive of the merge.
        merge: The merge.
        states: How the archives of the merge stand now, by key.
        present: The keys of new versions whose rows stand, under their names or others'.
    """
    archive = ingested.archive
    replaced = [each.key for each in merge.rebuild.replaced]
    own = archive.key in replaced
    is_month = archive.partition is Partition.MONTHLY
    covered = sum(states[key] == "superseded" for key in replaced if key != archive.key)
    new = [source.archive.key for source in merge.rebuild.changed]
    is_first = archive.key == next(key for key in new if key in present)
    changes = merge.changes.get(archive.key, NO_CHANGES)
    if is_first:
        for key, each in merge.changes.items():
            changes = changes if key in new else changes.plus(each)
    return evolve(
        ingested,
        replaced=own + (covered if is_month else 0),
        changes=changes,
        differing=merge.differing if is_first else 0,
    )
