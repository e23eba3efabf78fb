"""Bring the verified archives of a tree into tables."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import anyio
from anyio import from_thread, to_thread
from attrs import evolve

from crypto_lakehouse.core.archive import DataType, Market
from crypto_lakehouse.core.errors import ExtraMissing
from crypto_lakehouse.core.metrics import MetricsCollector, WorkflowMetrics
from crypto_lakehouse.core.progress import OnProgress
from crypto_lakehouse.core.protocols import ignore
from crypto_lakehouse.core.workflow import BaseWorkflow
from crypto_lakehouse.ledger.lock import configured_lock
from crypto_lakehouse.stores.state import existing_root
from crypto_lakehouse.version import __version__
from crypto_lakehouse.workflows.ingest_progress import IngestProgress
from crypto_lakehouse.workflows.lake_config import LakeConfig
from crypto_lakehouse.workflows.lake_report import IngestReport, TableTotals
from crypto_lakehouse.workflows.selected_series import check_stored
from crypto_lakehouse.workflows.stored_archives import StoredZip, stored_zips

if TYPE_CHECKING:
    from crypto_lakehouse.tables.ingest.ingestion import Ingested

__all__ = ["IngestWorkflow", "need_tables"]

_FIRST = 100


def need_tables() -> None:
    """Fail at once if the extra is not installed.

    Raises:
        ExtraMissing: A package of the extra `tables` is missing.
    """
    missing = [
        name
        for name in ("duckdb", "polars", "pyarrow", "pyiceberg", "sqlalchemy")
        if find_spec(name) is None
    ]
    if missing:
        raise ExtraMissing("tables", f"tables need {', '.join(missing)}")


class IngestWorkflow(BaseWorkflow[WorkflowMetrics]):
    """Ingests archives into the tables of a lake; archives that are already there are skipped.

    Args:
        config: What to ingest, and how.
        metrics_collector: Receives every event; a new one by default.
        tell: Called with the result of each archive, in a worker thread.
        on_progress: Called with how far the run has come, in a worker thread.
        zips: Exactly these archives; by default all of the output directory.
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
    ) -> None:
        super().__init__(config, metrics_collector=metrics_collector)
        root = Path(config.output_directory)
        self._is_whole_tree = zips is None
        self._zips = zips or partial(stored_zips, root, config.selects)
        self._tell = tell
        self._progress = IngestProgress(on_progress)
        self._tables: dict[str, TableTotals] = {}
        self._verdicts: Counter[str] = Counter()
        self._problems: list[dict[str, str]] = []
        self._problem_count = 0
        self._arriving = 0
        self._mended: frozenset[str] = frozenset()
        self._mended_files = 0
        self._notes: tuple[str, ...] = ()
        self._resources = AsyncExitStack()
        self._scope: anyio.CancelScope | None = None
        self._stop_code: int | None = None
        self._began = time.monotonic()

    def stop(self, exit_code: int = 130) -> None:
        """Stop the run early and in order; commits stay."""
        self._stop_code = exit_code
        if self._scope is not None:
            self._scope.cancel()

    async def setup(self) -> None:
        """Take the lake's lock.

        Raises:
            ConfigurationError: The output directory does not exist or cannot be read, or the lake's
                directory cannot be written.
            ExtraMissing: The extra `tables` is not installed.
            LakeError: The lake's place is a symbolic link out of the output directory, or its path
                is not UTF-8.
            LockHeldError: Another run writes to the lake.
            SelectionError: The tree has no archive of a symbol that no run was asked for, or none
                that is selected.
        """
        need_tables()
        root = await to_thread.run_sync(existing_root, self.config.output_directory)
        if self._is_whole_tree:
            config = self.config
            selects = config.selects_series
            self._notes = await to_thread.run_sync(check_stored, config, root, selects)
        self._began = time.monotonic()
        from crypto_lakehouse.tables.iceberg.local_io import check_inside, check_text

        folder = self.config.lake_folder
        if self.config.catalog is None:
            check_text(str(folder.resolve()))
        if self.config.lake is None:
            check_inside(str(folder), str(root))
        setting = "$.output_directory" if self.config.lake is None else "$.lake"
        self._resources.enter_context(configured_lock(self.config.lock, setting))

    async def body(self) -> None:
        """Read, check, write and commit, in a thread; cancelling ends it between batches."""
        with anyio.CancelScope() as self._scope:
            if self._stop_code is None:
                await to_thread.run_sync(self._ingest)

    async def cleanup(self) -> None:
        """Release the lock."""
        await self._resources.aclose()

    def _ingest(self) -> None:
        by_table: dict[tuple[Market, DataType], list[StoredZip]] = {}
        for stored in self._zips():
            from_thread.check_cancelled()
            self._progress.found()
            if stored.is_arriving:
                self._arriving += 1
                self._progress.skip()
            elif stored.fault:
                self._note_problem(stored.archive.key, "unproven", stored.fault)
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
        from crypto_lakehouse.tables.ingest.ingestion import Ingestion
        from crypto_lakehouse.tables.ingest.recovery import recover
        from crypto_lakehouse.tables.schema.schemas import load_schemas

        catalog = LakeCatalog(self.config.lake_folder, self.config.catalog, create=True)
        try:
            recover(catalog)
            ingestion = Ingestion(
                catalog, self._settings(), self._take, from_thread.check_cancelled,
                on_read=self._progress.read, on_commit=self._progress.committing,
            )  # fmt: skip
            schemas = load_schemas()
            if self._is_whole_tree:
                names = catalog.names()
                for schema in (each for each in schemas.values() if each.name in names):
                    there = by_table.get((schema.market, schema.data_type), [])
                    self._mend(ingestion, schema, [*map(source_of, there)])
            for table, stored in sorted(by_table.items()):
                self._ingest_table(ingestion, schemas[table], [*map(source_of, stored)])
        finally:
            catalog.close()

    def _mend(self, ingestion: Any, schema: Any, sources: list[Any]) -> None:
        """Ingest the archives again whose rows were in data files that are gone or cut."""
        from crypto_lakehouse.tables.ingest.mending import mend

        mended = mend(ingestion, schema, sources, Path(self.config.output_directory).absolute())
        self._mended_files += mended.files
        self._mended |= mended.archives
        for key, reason in mended.problems.items():
            self._note_problem(key, "damaged", reason)

    def _ingest_table(self, ingestion: Any, schema: Any, sources: list[Any]) -> None:
        sources = [each for each in sources if each.archive.key not in self._mended]
        plan = ingestion.plan(schema, sources)
        self._note_plan(schema.name, plan.unchanged, plan.covered)
        new = len(sources) - plan.unchanged - plan.covered
        with self._progress.table(schema.name, len(sources), new):
            ingestion.run(schema, plan)

    def _write_parquet(self, by_table: dict[tuple[Market, DataType], list[StoredZip]]) -> None:
        from crypto_lakehouse.tables.ingest.plain_parquet import PlainParquet
        from crypto_lakehouse.tables.schema.schemas import load_schemas

        files = PlainParquet(
            self.config.lake_folder, self._settings(), self._take_file, from_thread.check_cancelled
        )
        schemas = load_schemas()
        for table, stored in sorted(by_table.items()):
            schema = schemas[table]
            with self._progress.table(schema.name, len(stored), len(stored)):
                unchanged, covered = files.write(schema, [*map(source_of, stored)])
            self._note_plan(schema.name, unchanged, covered)

    def _settings(self) -> Any:
        from crypto_lakehouse.tables.files.parquet_options import FileLayout
        from crypto_lakehouse.tables.ingest.ingestion import IngestSettings
        from crypto_lakehouse.tables.quality.checks import checked_policies

        return IngestSettings(
            exact=self.config.exact,
            policies=checked_policies(self.config.policies),
            workers=self.config.worker_count,
            layout=FileLayout(compression=self.config.compression),
            again=self.config.again,
            tool_version=__version__,
        )

    def _note_plan(self, table: str, unchanged: int, covered: int) -> None:
        totals = self._tables.get(table, TableTotals(table=table))
        self._tables[table] = evolve(totals, unchanged=unchanged, covered=totals.covered + covered)

    def _take_file(self, ingested: Ingested) -> None:
        self._progress.read(1)
        self._take(ingested)

    def _take(self, ingested: Ingested) -> None:
        if ingested.state == "arriving":
            self._arriving += 1
            return
        totals = self._tables.get(ingested.table, TableTotals(table=ingested.table))
        if ingested.state in {"ingested", "superseded"}:
            covered = ingested.state == "superseded"
            changes = ingested.changes
            totals = evolve(
                totals,
                archives=totals.archives + (not covered),
                covered=totals.covered + covered,
                rows=totals.rows + ingested.rows,
                replaced=totals.replaced + ingested.replaced,
                rows_added=totals.rows_added + changes.added,
                rows_changed=totals.rows_changed + changes.changed,
                rows_removed=totals.rows_removed + changes.removed,
                rows_differing=totals.rows_differing + ingested.differing,
            )
            self._verdicts[ingested.quality.verdict] += 1
        else:
            totals = evolve(totals, refused=totals.refused + 1)
            reason = ingested.quality.fault or "; ".join(
                each.sentence for each in ingested.quality.findings
            )
            self._note_problem(ingested.archive.key, ingested.state, reason)
        self._tables[ingested.table] = totals
        self._tell(ingested)

    def _note_problem(self, key: str, state: str, reason: str) -> None:
        self._problem_count += 1
        if len(self._problems) < _FIRST:
            self._problems.append({"key": key, "state": state, "reason": reason})

    def report(self, error: str = "") -> IngestReport:
        """Return a report of what is known so far."""
        status = "partial" if self._problem_count else "complete"
        if error:
            status = "failed"
        elif self._stop_code is not None:
            status = "interrupted"
        return IngestReport(
            workflow=self.name,
            status=status,
            lake=str(self.config.lake_folder),
            tables=tuple(self._tables[name] for name in sorted(self._tables)),
            verdicts=self._verdicts,
            problems=tuple(self._problems),
            problem_count=self._problem_count,
            arriving=self._arriving,
            mended_files=self._mended_files,
            notes=self._notes,
            duration_seconds=time.monotonic() - self._began,
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

    return Source(stored.archive, stored.path, stored.sha256, stored.identity)
