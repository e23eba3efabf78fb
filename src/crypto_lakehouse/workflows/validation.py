"""Check the rows of the archives of a tree; nothing is changed, and no table is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

import anyio
from anyio import from_thread, to_thread

from crypto_lakehouse.core.archive import DataType, Market
from crypto_lakehouse.core.faults import unforeseen
from crypto_lakehouse.core.metrics import MetricsCollector, WorkflowMetrics
from crypto_lakehouse.core.progress import OnProgress, StepProgress
from crypto_lakehouse.core.protocols import ignore
from crypto_lakehouse.core.workflow import BaseWorkflow
from crypto_lakehouse.stores.output import Output
from crypto_lakehouse.workflows.ingestion import need_tables, source_of
from crypto_lakehouse.workflows.lake_config import LakeConfig
from crypto_lakehouse.workflows.selected_series import check_stored
from crypto_lakehouse.workflows.stored_archives import StoredZip, count_zips, may_hold, stored_zips
from crypto_lakehouse.workflows.stored_folders import check_there
from crypto_lakehouse.workflows.wiring.stored_output import archives_of

if TYPE_CHECKING:
    from crypto_lakehouse.tables.quality.findings import ArchiveQuality, ValidationReport

__all__ = ["ValidationWorkflow"]

#: Archives that a worker reads at a time; small ones are parsed together. A run that is stopped
#: waits until they are read, so large ones are fewer.
_SHARE, _SHARE_BYTES = 64, 32 << 20


class ValidationWorkflow(BaseWorkflow[WorkflowMetrics]):
    """Reads archives and checks them.

    Args:
        config: What to validate.
        metrics_collector: Receives every event; a new one by default.
        tell: Called with the result of each archive, in a worker thread; it has no findings at the
            seams between archives, which only the report has.
        on_progress: Called with how far the run has come, in a worker thread. If it is given,
            archives are counted before they are read.
    """

    name: ClassVar[str] = "validate"
    config: LakeConfig

    def __init__(
        self,
        config: LakeConfig,
        *,
        metrics_collector: MetricsCollector | None = None,
        tell: Callable[[ArchiveQuality], None] = ignore,
        on_progress: OnProgress | None = None,
    ) -> None:
        super().__init__(config, metrics_collector=metrics_collector)
        self._tell = tell
        self._on_progress = on_progress
        self._found: list[ArchiveQuality] = []
        self._arriving = 0
        self._notes: tuple[str, ...] = ()
        self._output: Output
        self._scope: anyio.CancelScope | None = None
        self.stop_code: int | None = None

    def stop(self, exit_code: int = 130) -> None:
        """Stop the run early; the report covers what was read."""
        self.stop_code = exit_code
        if self._scope is not None:
            self._scope.cancel()

    async def setup(self) -> None:
        """Check that the extra is installed, and that the selection fits the tree.

        Raises:
            ConfigurationError: The output directory does not exist or cannot be read, or there is
                nothing at its URL.
            ExtraMissing: The extra `tables` is not installed.
            SelectionError: The tree has no archive of a symbol that no run was asked for, or none
                that is selected.
        """
        need_tables()
        config = self.config
        self._output = output = archives_of(config)
        await to_thread.run_sync(partial(check_there, output, reads_copy=True))
        selects = config.selects_series
        notes = await to_thread.run_sync(check_stored, config, output, selects)
        self._notes = (*output.ledger_remarks, *notes)

    async def body(self) -> None:
        """Read and check, in threads."""
        with anyio.CancelScope() as self._scope:
            if self.stop_code is None:
                await to_thread.run_sync(self._validate)

    async def cleanup(self) -> None:
        """Do nothing: nothing was acquired."""

    def _validate(self) -> None:
        from crypto_lakehouse.tables.quality.checks import checked_policies

        policies = checked_policies(self.config.policies)
        output = self._output
        on_progress, total = self._on_progress, 0
        if on_progress is not None:
            total = count_zips(output, self.config.selects)
            on_progress(StepProgress("validating", 0, total))
        zips = stored_zips(output, self.config.selects, self._note_unreadable)
        shares = _shares(self._settled(zips))
        check = partial(_check_share, policies=policies, exact=self.config.exact)
        with ThreadPoolExecutor(self.config.worker_count, "validate") as pool:
            while window := [*islice(shares, 4 * self.config.worker_count)]:
                for found, arriving in pool.map(check, window):
                    from_thread.check_cancelled()
                    self._arriving += arriving
                    self._found += found
                    if on_progress is not None:
                        # A collection may be adding archives.
                        done = len(self._found)
                        on_progress(StepProgress("validating", done, max(done, total)))
                    for quality in found:
                        self._tell(quality)

    def _settled(self, zips: Iterator[StoredZip]) -> Iterator[StoredZip]:
        """Leave out, and count, what a collection is just storing."""
        for stored in zips:
            if stored.is_arriving:
                self._arriving += 1
            else:
                yield stored

    def _note_unreadable(self, folder: str, reason: str) -> None:
        """Report a folder that cannot be read like an unreadable archive."""
        if may_hold(folder, self.config.selects_series):
            from crypto_lakehouse.tables.quality.findings import ArchiveQuality

            found = ArchiveQuality(key=folder, fault=reason)
            self._found.append(found)
            self._tell(found)

    def report(self) -> ValidationReport:
        """Return what was found so far."""
        from crypto_lakehouse.tables.quality.findings import ValidationReport
        from crypto_lakehouse.tables.quality.known_row_holes import load_known_row_holes
        from crypto_lakehouse.tables.quality.seams import with_seams

        read = [each for each in self._found if not each.key.endswith("/")]
        folders = [each for each in self._found if each.key.endswith("/")]
        found = [*with_seams(read, load_known_row_holes()), *folders]
        archives = tuple(sorted(found, key=lambda each: each.key))
        return ValidationReport(
            archives=archives,
            arriving=self._arriving,
            notes=self._notes,
            stop_code=self.stop_code,
        )

    def metrics(self) -> WorkflowMetrics:
        """The report of the finished run."""
        report = self.report()
        return WorkflowMetrics(self.name, report.as_dict(), report)


def _shares(zips: Iterator[StoredZip]) -> Iterator[list[StoredZip]]:
    """Yield batches of archives of one table each."""
    share: list[StoredZip] = []
    size = 0
    table: tuple[Market, DataType] | None = None
    for stored in zips:
        of = (stored.archive.market, stored.archive.data_type)
        if share and (of != table or len(share) >= _SHARE or size >= _SHARE_BYTES):
            yield share
            share, size = [], 0
        share.append(stored)
        size += 0 if stored.identity is None else stored.identity.size_bytes
        table = of
    if share:
        yield share


def _check_share(
    share: list[StoredZip], *, policies: Any, exact: bool
) -> tuple[list[ArchiveQuality], int]:
    """Check archives together; if an error was not foreseen, one by one.

    Returns:
        What was found, and how many archives were replaced before they were read.
    """
    from crypto_lakehouse.tables.quality.findings import ArchiveQuality

    try:
        return _check_together(share, policies=policies, exact=exact)
    except Exception as error:  # noqa: BLE001 - one archive must not end the run
        if len(share) == 1:
            key = share[0].archive.key
            return [ArchiveQuality(key=key, fault=unforeseen(error, key))], 0
    alone = [_check_share([each], policies=policies, exact=exact) for each in share]
    return [found for some, _ in alone for found in some], sum(count for _, count in alone)


def _check_together(
    share: list[StoredZip], *, policies: Any, exact: bool
) -> tuple[list[ArchiveQuality], int]:
    from crypto_lakehouse.tables.quality.findings import ArchiveQuality
    from crypto_lakehouse.tables.quality.inspector import Inspector
    from crypto_lakehouse.tables.quality.known_row_holes import load_known_row_holes
    from crypto_lakehouse.tables.reading.reader import Refused, read_batches
    from crypto_lakehouse.tables.schema.schemas import schema_of

    found = [
        ArchiveQuality(key=stored.archive.key, fault=stored.fault)
        for stored in share
        if stored.fault
    ]
    sources = [source_of(stored) for stored in share if not stored.fault]
    schema = schema_of(share[0].archive)
    checker = Inspector(schema, policies, load_known_row_holes())
    arriving = 0
    for batch in read_batches(sources, schema, exact=exact):
        if isinstance(batch, Refused):
            key = batch.source.archive.key
            checker.forget(batch.source)
            if batch.state == "arriving":
                arriving += 1
            else:
                found.append(ArchiveQuality(key=key, fault=batch.error.fault))
        else:
            found += checker.check(batch).qualities
    return found, arriving
