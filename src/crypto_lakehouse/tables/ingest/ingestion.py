"""Ingest archives into their tables: read, check, write, commit, and report each result.

Work is divided by series: a worker reads the archives of a few series in order, and closes each
data file at the end of its partition, so a run adds one file per partition. One commit makes the
rows of many archives visible, and removes the rows that they replace.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from typing import Any

from attrs import define, evolve, field
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from crypto_lakehouse.core.config.database_url import is_database_url
from crypto_lakehouse.core.errors import LakeError, NotRestoredError, OvertakenError
from crypto_lakehouse.core.origin import Origin
from crypto_lakehouse.core.protocols import ignore
from crypto_lakehouse.tables.files.partition_writer import WriterFactory
from crypto_lakehouse.tables.files.series_writer import Written, work_items
from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
from crypto_lakehouse.tables.iceberg.catalog_errors import as_lake_errors
from crypto_lakehouse.tables.iceberg.column_changes import take_recorded
from crypto_lakehouse.tables.iceberg.orphans import sweep_table
from crypto_lakehouse.tables.ingest.commit_records import CommitRecords
from crypto_lakehouse.tables.ingest.commits import newest_sequence, sequence_of
from crypto_lakehouse.tables.ingest.day_scores import DayScore
from crypto_lakehouse.tables.ingest.differences import record_differences
from crypto_lakehouse.tables.ingest.in_threads import in_threads
from crypto_lakehouse.tables.ingest.ingest_plan import IngestPlan, Rebuild, plan_ingestion
from crypto_lakehouse.tables.ingest.ingest_settings import IngestSettings
from crypto_lakehouse.tables.ingest.ingested import Ingested, merged_result
from crypto_lakehouse.tables.ingest.item_jobs import ItemJob, ItemRunner, sendable
from crypto_lakehouse.tables.ingest.items import Item, ItemResult, ItemWriter, archives_of, in_order
from crypto_lakehouse.tables.ingest.journal import Journal
from crypto_lakehouse.tables.ingest.known_archives import known_archives
from crypto_lakehouse.tables.ingest.merge_outcome import MergeOutcome
from crypto_lakehouse.tables.ingest.overlaps import keys_of_months
from crypto_lakehouse.tables.ingest.provenance import (
    ARCHIVES,
    PRESENT,
    newest_between,
    record,
)
from crypto_lakehouse.tables.ingest.publish import TRIES, Publication
from crypto_lakehouse.tables.ingest.recorded_days import record_days
from crypto_lakehouse.tables.ingest.recorded_meanwhile import (
    Recorded,
    RecordedMeanwhile,
    recorded_since,
    recorded_while_mended,
)
from crypto_lakehouse.tables.ingest.recorded_seams import Reviewed, check_seams, days_at_seams
from crypto_lakehouse.tables.ingest.recovery import recover
from crypto_lakehouse.tables.ingest.zip_at_hand import zip_at_hand
from crypto_lakehouse.tables.quality.seams import ID_TYPES
from crypto_lakehouse.tables.reading.batch import Source
from crypto_lakehouse.tables.schema.schemas import TableSchema

__all__ = ["IngestSettings", "Ingestion"]

#: A commit is made after this many archives, or bytes of zips.
_COMMIT_ARCHIVES = 20_000
_COMMIT_BYTES = 4 << 30


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
        on_committed: Called after a commit to a table, with its name and the scores of days that
            were recorded.
        on_review: Called with each archive of earlier runs whose findings a commit has changed.
        on_recorded: Called, after a commit, with the planned archives that another run recorded
            before it.
        runner: Writes data files in other processes; None writes them in threads of this one.
    """

    catalog: LakeCatalog
    settings: IngestSettings
    tell: Callable[[Ingested], None] = lambda _ingested: None
    check: Callable[[], None] = lambda: None
    on_read: Callable[[int], None] = ignore
    on_commit: Callable[[], None] = lambda: None
    on_committed: Callable[[str, Sequence[DayScore]], None] = lambda _table, _scores: None
    on_review: Callable[[Reviewed], None] = ignore
    on_recorded: Callable[[Recorded], None] = ignore
    runner: ItemRunner | None = None

    def plan(self, schema: TableSchema, sources: Iterable[Source]) -> IngestPlan:
        """Compare archives with the contents of their table."""
        there = [*sources]
        with as_lake_errors(str(self.catalog.place)):
            archives = self.catalog.find(ARCHIVES)
            known = known_archives(archives, schema.name, there)
        plan = plan_ingestion(there, known, zip_at_hand, again=self.settings.again)
        return evolve(plan, sequence=0 if archives is None else newest_sequence(archives))

    def run(self, schema: TableSchema, plan: IngestPlan) -> None:
        """Carry out the plan for one table.

        Raises:
            LakeError: The table cannot be written.
            NotRestoredError: An archive whose rows were in a damaged file is refused now.
            OSError: A zip cannot be read.
        """
        if not plan.ingest:
            return
        with as_lake_errors(str(self.catalog.place)):
            table = self.catalog.table_for(schema, exact=self.settings.exact)
            has_excerpts = any(each.origin is Origin.LIVE for each in plan.archives)
            if has_excerpts:
                table = take_recorded(self.catalog, table, schema)
            # Excerpts are files of this process, which others do not have.
            here = evolve(self, runner=None) if has_excerpts else self
            items = iter(work_items(plan.ingest))
            if plan.damaged:
                _Commit(here, schema, table, plan, tuple(items)).make()
                return
            while work := tuple(_until(items)):
                table = _Commit(here, schema, table, plan, work).make()


def _until(items: Iterator[Item]) -> Iterator[Item]:
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
    work: tuple[Item, ...]
    name: str = field(init=False, factory=lambda: uuid.uuid4().hex)
    files: list[DataFile] = field(init=False, factory=list)
    written: list[Written] = field(init=False, factory=list)
    merges: list[MergeOutcome] = field(init=False, factory=list)
    reviewed: list[Reviewed] = field(init=False, factory=list)
    recorded: Recorded | None = field(init=False, default=None)
    is_written: bool = field(init=False, default=False)

    def make(self) -> Table:
        """Write, commit and record; return the table after the commit."""
        catalog = self.ingestion.catalog
        journal = Journal(catalog.place.journals, self.name, self.schema.name)
        files = WriterFactory(
            table=self.table, layout=self.ingestion.settings.layout, stem=self.name,
            announce=journal.announce,
        )  # fmt: skip
        try:
            with journal:
                self._write(files)
                self._check_restored()
                self.ingestion.on_commit()
                with catalog.committing(self.schema.name, self.ingestion.check):
                    rows = self._publish(files, journal)
                    table = catalog.catalog.load_table(self.schema.name)
                    # A run that only refused archives commits nothing to the table.
                    made = sequence_of(table, self.name)
                    record(catalog, rows, table_sequence=made or newest_sequence(self.table))
                self._sweep_lost(table)
        except BaseException:
            # Other processes may still write, and if it fails now: then the next run recovers.
            if self.is_written or self.ingestion.runner is None:
                with suppress(Exception):
                    recover(catalog)
            raise
        if made is not None:
            scores = [score for merge in self.merges for score in merge.scores]
            self.ingestion.on_committed(self.schema.name, scores)
        for ingested in self._results():
            self.ingestion.tell(ingested)
        for reviewed in self.reviewed:
            self.ingestion.on_review(reviewed)
        if self.recorded is not None:
            self.ingestion.on_recorded(self.recorded)
        return table

    def _publish(self, files: WriterFactory, journal: Journal) -> list[dict[str, Any]]:
        """Commit, again if another writer committed first; return the rows to record."""
        for number in range(1, TRIES + 1):
            now = files if number == 1 else evolve(files, table=self._reloaded())
            self._leave_out_recorded(now.named(f"left{number}"))
            written = self.written
            rows = self._with_seams(self._records())
            journal.intend(rows)
            # What differs is true of the archives even if the run is killed before the commit;
            # the next run compares them again.
            self._record_differences()
            try:
                self._publication(now).make(number)
            except LakeError as error:
                journal.refused()
                if number == TRIES or not isinstance(error, OvertakenError):
                    raise
                self.ingestion.check()
                self.written = written  # the findings at its seams are looked for again
            else:
                break
        return rows

    def _reloaded(self) -> Table:
        return self.ingestion.catalog.catalog.load_table(self.schema.name)

    def _leave_out_recorded(self, files: WriterFactory) -> None:
        """Leave out what other machines have recorded since the plan was made."""
        catalog = self.ingestion.catalog
        if not catalog.is_shared or self.ingestion.settings.again:
            return
        keys = {each.source.archive.key for each in self.written}
        now = recorded_since(catalog, self.schema.name, self.plan.sequence, keys)
        if not now:
            return
        if self.plan.damaged:
            raise recorded_while_mended(str(catalog.place), now)
        meanwhile = RecordedMeanwhile(now, files, str(catalog.place))
        result = ItemResult(
            files=tuple(self.files), written=tuple(self.written), merges=tuple(self.merges)
        )
        left, recorded = meanwhile.left_out(result)
        self.files, self.written, self.merges = [*left.files], [*left.written], [*left.merges]
        self.recorded = recorded if self.recorded is None else self.recorded.plus(recorded)
        there = meanwhile.present(left.written)
        self.plan = evolve(
            self.plan, kept=self.plan.kept | there, again=self.plan.again | self._plain(there)
        )

    def _plain(self, keys: frozenset[str]) -> frozenset[str]:
        """Those of some archives that are not merged with others."""
        return keys.difference(
            archive.key for merge in self.merges for archive in merge.rebuild.archives
        )

    def _write(self, files: WriterFactory) -> None:
        runner = self.ingestion.runner
        jobs = (
            self._written_here(files)
            if runner is None
            else self._written_elsewhere(runner, files.announce)
        )
        with closing(jobs) as done:
            results = in_order(done, self.work)
        for result in results:
            self.files += result.files
            self.written += result.written
            self.merges += result.merges
        self.is_written = True

    def _unread(self) -> frozenset[str]:
        return frozenset(file.file_path for file in self.plan.damaged)

    def _written_here(self, files: WriterFactory) -> Generator[ItemResult, None, None]:
        settings = self.ingestion.settings
        writer = ItemWriter.of(
            self.table, self.schema, settings,
            tuple(archive for item in self.work for archive in archives_of(item)),
            unread=self._unread(), folder=self.ingestion.catalog.place.folder,
            on_read=self.ingestion.on_read,
        )  # fmt: skip
        workers = 1 if len(self.work) == 1 else settings.workers
        jobs = (
            partial(writer.write, item, files.named(number))
            for number, item in enumerate(self.work)
        )
        return in_threads(jobs, workers, self.ingestion.check)

    def _written_elsewhere(
        self, runner: ItemRunner, announce: Callable[[str], None]
    ) -> Generator[ItemResult, None, None]:
        catalog = self.ingestion.catalog
        job = partial(
            ItemJob, table=self.schema.name,
            # The files of a catalog in a database are those of the lake.
            catalog=None if is_database_url(catalog.name) else catalog.name,
            metadata=self.table.metadata_location, unread=self._unread(),
            settings=evolve(self.ingestion.settings, workers=1),
        )  # fmt: skip
        jobs = (
            job(item=sendable(item), stem=f"{self.name}-{number}")
            for number, item in enumerate(self.work)
        )
        with closing(runner.run(jobs, self.ingestion.check)) as done:
            for result in done:
                for file in result.files:
                    announce(file.file_path)
                self.ingestion.on_read(sum(each.is_new for each in result.written))
                yield result

    def _sweep_lost(self, table: Table) -> None:
        """Delete what processes left behind that have ended while they wrote an item."""
        runner = self.ingestion.runner
        if runner is not None and runner.losses and not self.ingestion.catalog.is_shared:
            sweep_table(table)

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
                raise NotRestoredError(str(self.ingestion.catalog.place), key, reason)

    def _with_seams(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Check ids from archive to archive; return all rows to record."""
        with_seams = [
            each.source.archive
            for each in self.written
            if each.source.archive.origin is not Origin.LIVE
        ]
        if self.schema.data_type not in ID_TYPES or not with_seams:
            return rows
        archives = self.ingestion.catalog.find(ARCHIVES)
        wanted = keys_of_months(days_at_seams(with_seams))
        there = newest_between(archives, wanted, self.schema.name)
        seams = check_seams(self.written, rows, there)
        self.written, self.reviewed = seams.written, seams.reviewed
        return seams.rows

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
            known=self.plan.known,
            tool_version=self.ingestion.settings.tool_version,
        )

    def _done(self) -> list[MergeOutcome]:
        return [merge for merge in self.merges if merge.is_done]

    def _record_differences(self) -> None:
        catalog, name, done = self.ingestion.catalog, self.schema.name, self._done()
        version = self.ingestion.settings.tool_version
        archives = (archive.key for merge in done for archive in merge.rebuild.archives)
        found = (difference for merge in done for difference in merge.differences)
        record_differences(catalog, name, archives, found, commit=self.name, tool_version=version)
        record_days(catalog, name, done, commit=self.name, tool_version=version)

    def _records(self) -> list[dict[str, Any]]:
        version = self.ingestion.settings.tool_version
        records = CommitRecords(self.ingestion.catalog, self.schema.name, self.name, version)
        recorded = (each for each in self.written if not self._keeps_older(each))
        return records.of(recorded, [merge.rebuild for merge in self.merges])

    def _keeps_older(self, written: Written) -> bool:
        """Whether the older version of an archive stays, with its provenance."""
        is_refused = written.is_new and written.state not in PRESENT
        return is_refused and written.source.archive.key in self.plan.kept

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
