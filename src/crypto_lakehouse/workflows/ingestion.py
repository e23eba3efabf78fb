"""Bring the verified archives of a tree into tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import anyio
from anyio import from_thread, to_thread
from attrs import evolve

from crypto_lakehouse.core.archive import DataType, Market
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.metrics import MetricsCollector, WorkflowMetrics
from crypto_lakehouse.core.progress import OnProgress
from crypto_lakehouse.core.protocols import ignore
from crypto_lakehouse.core.workflow import BaseWorkflow
from crypto_lakehouse.ledger.lock import OnHeld, configured_lock, do_not_wait, take_when_free
from crypto_lakehouse.stores.output import Output
from crypto_lakehouse.workflows.ingest_outcome import IngestOutcome, committed_event, ingested_event
from crypto_lakehouse.workflows.ingest_progress import IngestProgress
from crypto_lakehouse.workflows.lake_config import LakeConfig
from crypto_lakehouse.workflows.lake_places import ELSEWHERE, check_place
from crypto_lakehouse.workflows.lake_report import IngestReport
from crypto_lakehouse.workflows.monitoring.monitoring import Monitoring
from crypto_lakehouse.workflows.record_mends import mend_what_is_recorded
from crypto_lakehouse.workflows.recorded_ingestion import (
    RecordedIngestion,
    has_recordings,
    left_out_note,
    recorded_keys,
)
from crypto_lakehouse.workflows.selected_series import check_stored
from crypto_lakehouse.workflows.stored_archives import StoredZip, may_hold, stored_zips
from crypto_lakehouse.workflows.stored_folders import check_there
from crypto_lakehouse.workflows.table_settings import table_settings
from crypto_lakehouse.workflows.wiring.item_workers import PoolRunner, open_item_workers
from crypto_lakehouse.workflows.wiring.lake_at import lake_at
from crypto_lakehouse.workflows.wiring.needed_packages import need_tables
from crypto_lakehouse.workflows.wiring.stored_output import archives_of

if TYPE_CHECKING:
    from crypto_lakehouse.tables.ingest.ingested import Ingested
    from crypto_lakehouse.tables.ingest.recorded_meanwhile import Recorded

__all__ = ["IngestWorkflow", "need_tables", "refuse_other_format"]


def refuse_other_format(config: LakeConfig) -> None:
    """Refuse a lake's directory that has tables for plain Parquet files, and the other way round.

    Raises:
        ConfigurationError: It has rows in the other format, or in both.
    """
    from crypto_lakehouse.tables.iceberg.lake_formats import format_fault

    if config.catalog is None and config.lake_url is None:
        fault = format_fault(config.lake_folder, config.format)
        if fault:
            raise ConfigurationError([Problem("$.lake", fault)])


class IngestWorkflow(BaseWorkflow[WorkflowMetrics]):
    """Ingests archives into the tables of a lake; archives that are already there are skipped.

    Args:
        config: What to ingest, and how.
        metrics_collector: Receives every event; a new one by default.
        tell: Called with the result of each archive, in a worker thread.
        on_progress: Called with how far the run has come, in a worker thread.
        zips: Exactly these archives; by default all of the output directory.
        mends: Whether the rows of data files that are gone or cut are ingested again. If not, what
            must be merged with them waits for a run that does.
        recordings: Whether the segments of recordings are ingested, too; by default with all of the
            output directory.
        archives: Whether archives and fills are ingested. If not, no other folder of the output is
            looked at than `live/`, and what is damaged in the tables is left as it is.
        on_held: Called if another run holds the lake's lock; returns whether to try again. By
            default the run is refused.
        output: Where the archives are; by default where `config` says.
        monitoring: What watches the run; by default what the configuration says.
    """

    name: ClassVar[str] = "ingest"
    config: LakeConfig

    def __init__(
        self,
        config: LakeConfig,
        *,
        metrics_collector: MetricsCollector | None = None,
        tell: Callable[[Ingested], None] = ignore,
        on_progress: OnProgress = ignore,
        zips: Callable[[], Iterable[StoredZip]] | None = None,
        mends: bool = True,
        recordings: bool | None = None,
        archives: bool = True,
        on_held: OnHeld = do_not_wait,
        output: Output | None = None,
        monitoring: Monitoring | None = None,
    ) -> None:
        super().__init__(config, metrics_collector=metrics_collector)
        self._on_held = on_held
        self._given_output = output
        self.monitoring = monitoring or Monitoring.of(config)
        self._is_whole_tree = zips is None
        self._mends = mends and archives
        self._takes_recordings = zips is None if recordings is None else recordings
        self._takes_archives = archives
        self._zips = (zips or self._stored) if archives else tuple
        self._tell = tell
        self._progress = IngestProgress(on_progress)
        self._outcome = IngestOutcome()
        self._mended: frozenset[str] = frozenset()
        self._unsettled: set[str] = set()
        self._files: Any = None
        self._resources = AsyncExitStack()
        self._runner: PoolRunner | None = None
        self._scope: anyio.CancelScope | None = None
        self._stop_code: int | None = None
        self._began = time.monotonic()

    @property
    def _output(self) -> Output:
        """Where the archives are.

        Raises:
            ConfigurationError: The URL or a setting of its store is wrong.
        """
        if self._given_output is None:
            self._given_output = archives_of(self.config)
        return self._given_output

    @property
    def _purpose(self) -> str:
        """What the commits are made for, as `LakeCatalog.purpose`."""
        return ""

    @property
    def _segments(self) -> Collection[str] | None:
        """The segments of recordings that are looked at; None for all."""
        return None

    def _stored(self) -> Iterator[StoredZip]:
        return stored_zips(self._output, self.config.selects, self.note_unreadable)

    def stop(self, exit_code: int = 130) -> None:
        """Stop the run early and in order; commits stay."""
        self._stop_code = exit_code
        if self._scope is not None:
            self._scope.cancel()

    async def setup(self) -> None:
        """Take the lake's lock.

        Raises:
            ConfigurationError: The output directory does not exist or cannot be read, or there is
                nothing at its URL; the lake's directory is not named, cannot be written, or has
                rows in the other format.
            ExtraMissing: The extra `tables` is not installed.
            LockHeldError: Another run writes to the lake.
            NoLakeError: The lake's place is a symbolic link out of the output directory, or its
                path is not UTF-8.
            SelectionError: The tree has no archive of a symbol that no run was asked for, or none
                that is selected.
        """
        need_tables()
        await self._resources.enter_async_context(self.monitoring)
        output = self._output
        # Beside a collection the ledger is that of the collection, which fetches the copy itself.
        check = partial(check_there, output, reads_copy=self._is_whole_tree)
        await to_thread.run_sync(check)
        self._outcome.notes += output.ledger_remarks
        if self._is_whole_tree:
            config = self.config
            selects = config.selects_series
            if not await to_thread.run_sync(has_recordings, output.store):  # of any symbols
                found = await to_thread.run_sync(check_stored, config, output, selects)
                self._outcome.notes += found
        self._began = time.monotonic()
        await to_thread.run_sync(check_place, self.config, output)
        setting = "$.output_directory" if self.config.lake is None else "$.lake"

        async def lock() -> None:
            held = configured_lock(lake_at(self.config).lock, setting, instead=ELSEWHERE)
            self._resources.enter_context(held)

        # Without the lock it was stopped, and does nothing.
        await take_when_free(lock, self._on_held, lambda: self._stop_code is not None)
        await to_thread.run_sync(refuse_other_format, self.config)

    async def body(self) -> None:
        """Read, check, write and commit, in a thread; cancelling ends it between batches.

        Raises:
            ClusterError: The Dask cluster cannot work.
            WorkerError: Worker processes end as soon as they are started.
        """
        with self.monitoring.run_of(self.name, lambda: self.report().status):
            with anyio.CancelScope() as self._scope:
                if self._stop_code is None:
                    async with open_item_workers(self.config, self._output) as self._runner:
                        await to_thread.run_sync(self._ingest)
        if problem := await self.monitoring.finish():
            self._outcome.notes += (problem,)

    async def cleanup(self) -> None:
        """Release the lock."""
        await self._resources.aclose()

    def _ingest(self) -> None:
        by_table: dict[tuple[Market, DataType], list[StoredZip]] = {}
        for stored in self._zips():
            from_thread.check_cancelled()
            self._progress.found()
            if stored.is_arriving:
                self._outcome.arriving += 1
                self._progress.skip()
            elif stored.fault:
                self._outcome.add_problem(stored.archive.key, "unproven", stored.fault)
                self._progress.skip()
            else:
                table = (stored.archive.market, stored.archive.data_type)
                by_table.setdefault(table, []).append(stored)
        if self.config.format == "parquet":
            self._write_parquet(by_table)
        else:
            self._write_tables(by_table)

    def _write_tables(self, by_table: dict[tuple[Market, DataType], list[StoredZip]]) -> None:
        from crypto_lakehouse.tables.iceberg.catalog import LakeCatalog
        from crypto_lakehouse.tables.iceberg.lake_place import place_notes
        from crypto_lakehouse.tables.ingest.ingestion import Ingestion
        from crypto_lakehouse.tables.ingest.recovery import recover
        from crypto_lakehouse.tables.lake.spill import temporary_folder
        from crypto_lakehouse.tables.live.excerpt_files import ExcerptFiles
        from crypto_lakehouse.tables.schema.schemas import load_schemas

        place, name = lake_at(self.config).place(), self.config.catalog
        with (
            closing(LakeCatalog(place, name, create=True, purpose=self._purpose)) as catalog,
            ExitStack() as folders,
        ):
            in_lake = temporary_folder(catalog.place.folder)
            self._files = ExcerptFiles(self._output.files, lambda: folders.enter_context(in_lake))
            self._outcome.notes += place_notes(catalog.place, catalog.name)
            recover(catalog)
            ingestion = Ingestion(
                catalog, table_settings(self.config), self._take, from_thread.check_cancelled,
                on_read=self._progress.read, on_commit=self._progress.committing,
                on_committed=lambda *of: self.monitoring.tell(committed_event(*of)),
                on_review=self._outcome.add_review, runner=self._runner,
                on_recorded=partial(self._add_recorded, catalog),
            )  # fmt: skip
            mend_what_is_recorded(catalog, self._files, self._outcome)
            schemas, names = load_schemas(), catalog.names()
            damaged = {}
            known = schemas.values() if self._takes_archives else ()
            for schema in (each for each in known if each.name in names):
                there = by_table.get((schema.market, schema.data_type), [])
                damaged[schema.name] = self._mend(ingestion, schema, [*map(self._source_of, there)])
            for table, stored in sorted(by_table.items()):
                schema = schemas[table]
                sources = [*map(self._source_of, stored)]
                self._ingest_table(ingestion, schema, sources, damaged.get(schema.name, ()))
            if self._takes_recordings:
                self._write_recordings(ingestion, damaged)
            self._end(catalog)

    def _end(self, catalog: Any) -> None:
        """Do what else a run does to the tables, once all is ingested."""

    def _write_recordings(self, ingestion: Any, damaged: Mapping[str, Sequence[Any]]) -> None:
        from crypto_lakehouse.tables.schema.schemas import schema_for

        def ingest(table: tuple[Market, DataType], sources: Sequence[Any]) -> frozenset[str]:
            schema = schema_for(*table)
            self._unsettled.clear()
            self._ingest_table(ingestion, schema, [*sources], damaged.get(schema.name, ()))
            return frozenset(self._unsettled)

        recorded = RecordedIngestion(
            self.config, self._output.store, ingestion.catalog, self._files, ingest,
            self._outcome.add_problem, self.note_unreadable, from_thread.check_cancelled,
            self._progress.found, self._segments,
        )  # fmt: skip
        self._outcome.notes += recorded.run()

    def _source_of(self, stored: StoredZip) -> Any:
        return evolve(source_of(stored), files=self._files)

    def _mend(self, ingestion: Any, schema: Any, sources: list[Any]) -> Sequence[Any]:
        """Ingest the archives again whose rows were in data files that are gone or cut.

        Returns:
            The files that are not mended.
        """
        from crypto_lakehouse.tables.ingest.mending import damaged_files, mend

        if not self._mends:
            return damaged_files(ingestion, schema)
        mended = mend(ingestion, schema, sources, self._files)
        self._outcome.mended_files += mended.files
        self._mended |= mended.archives
        for key, reason in mended.problems.items():
            self._outcome.add_problem(key, "damaged", reason)
        return mended.damaged

    def _ingest_table(
        self, ingestion: Any, schema: Any, sources: list[Any], damaged: Sequence[Any]
    ) -> None:
        from crypto_lakehouse.tables.ingest.mending import damaged_files, hold_back

        sources = [each for each in sources if each.archive.key not in self._mended]
        plan = ingestion.plan(schema, sources)
        self._outcome.add_plan(schema.name, plan.unchanged, plan.covered)
        self._add_refused(ingestion.catalog, schema.name, plan.refused)
        if not self._takes_archives and plan.has_merges:
            damaged = damaged_files(ingestion, schema)
        new = len(sources) - plan.unchanged - plan.covered - len(plan.refused)
        plan, held = hold_back(ingestion, schema, plan, damaged)
        self._unsettled |= held.keys()
        for key in sorted(held):
            self._outcome.add_problem(key, "held_back", held[key])
        with self._progress.table(schema.name, len(sources), new):
            ingestion.run(schema, plan)

    def _add_recorded(self, catalog: Any, recorded: Recorded) -> None:
        self._outcome.add_recorded(recorded.table, recorded.unchanged, recorded.covered)
        self._add_refused(catalog, recorded.table, recorded.refused)

    def _add_refused(self, catalog: Any, table: str, keys: frozenset[str]) -> None:
        from crypto_lakehouse.tables.ingest.recorded_refusals import recorded_refusals

        for each in recorded_refusals(catalog, keys):
            self._outcome.add_refusal(table, each.key, each.state, each.reason)

    def _write_parquet(self, by_table: dict[tuple[Market, DataType], list[StoredZip]]) -> None:
        from crypto_lakehouse.tables.ingest.plain_parquet import PlainParquet
        from crypto_lakehouse.tables.schema.schemas import load_schemas

        files = PlainParquet(
            self.config.lake_folder, table_settings(self.config), self._take,
            from_thread.check_cancelled, self._progress.read, self._outcome.add_review,
        )  # fmt: skip
        if self._takes_recordings:
            count = sum(1 for _ in recorded_keys(self._output.store, self.note_unreadable))
            self._outcome.notes += (left_out_note(count),) if count else ()
        schemas = load_schemas()
        for table, stored in sorted(by_table.items()):
            schema = schemas[table]
            with self._progress.table(schema.name, len(stored), len(stored)):
                unchanged, covered = files.write(schema, [*map(source_of, stored)])
            self._outcome.add_plan(schema.name, unchanged, covered)

    def _take(self, ingested: Ingested) -> None:
        if ingested.state in {"held_back", "arriving"}:
            self._unsettled.add(ingested.archive.key)
        self._outcome.add(ingested)
        self.monitoring.tell(ingested_event(ingested))
        if ingested.state != "arriving":
            self._tell(ingested)

    def note_unreadable(self, folder: str, reason: str) -> None:
        """Report a folder that cannot be read, if it may have selected archives.

        Args:
            folder: Its key prefix.
            reason: Why not.
        """
        if may_hold(folder, self.config.selects_series):
            self._outcome.add_problem(folder, "unreadable", reason)

    def report(self, error: str = "") -> IngestReport:
        """Return a report of what is known so far."""
        return self._outcome.report(
            self.name,
            self.config,
            notes=self._runner.pool.warnings if self._runner else (),
            duration_s=time.monotonic() - self._began,
            stop_code=self._stop_code,
            error=error,
        )

    def metrics(self) -> WorkflowMetrics:
        """The report of the finished run."""
        report = self.report()
        return WorkflowMetrics(self.name, report.to_mapping(), report)


def source_of(stored: StoredZip) -> Any:
    """Return what `tables` reads a proven archive from."""
    from crypto_lakehouse.tables.reading.batch import Source

    return Source(stored.archive, stored.files, stored.sha256, stored.identity)
