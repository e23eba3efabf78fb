"""Collect and ingest in one stream: archives are read into tables while others are fetched.

Archives are handed over in batches of one commit each, so that tables get as few files as if
everything had been ingested at the end. The remainder is ingested last, when every archive of the
run is there; data files that are gone or cut are mended then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Any

import anyio
from anyio import to_thread
from attrs import define, field

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.events import ArchiveFinished, Event, FillFinished
from crypto_lakehouse.core.fills import FillVerdict
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.progress import OnProgress
from crypto_lakehouse.core.protocols import ignore
from crypto_lakehouse.core.report import CollectionReport
from crypto_lakehouse.core.sink import AnySink
from crypto_lakehouse.core.task_groups import one_error
from crypto_lakehouse.core.verdicts import SUCCESSES, Verdict
from crypto_lakehouse.core.workflow import refuse_faulty
from crypto_lakehouse.ledger.lock import OnHeld, do_not_wait
from crypto_lakehouse.sinks.checked import checked_sinks
from crypto_lakehouse.stores.output import Output, output_of
from crypto_lakehouse.workflows.archive_collection import ArchiveCollectionWorkflow
from crypto_lakehouse.workflows.composition import CompositeWorkflow, Step
from crypto_lakehouse.workflows.fill_report import FillReport
from crypto_lakehouse.workflows.ingestion import (
    IngestWorkflow,
    need_tables,
    refuse_other_format,
)
from crypto_lakehouse.workflows.lake_config import LakeConfig
from crypto_lakehouse.workflows.lake_places import check_place, check_writable_place
from crypto_lakehouse.workflows.lake_report import IngestReport, joined
from crypto_lakehouse.workflows.monitoring.monitoring import Monitoring
from crypto_lakehouse.workflows.open_holes import OpenHoles, SharedSink
from crypto_lakehouse.workflows.rest_collection import RestCollectionWorkflow
from crypto_lakehouse.workflows.stored_archives import StoredZip, stored_zips
from crypto_lakehouse.workflows.wiring.source_shares import SourceShares

__all__ = ["CollectAndIngest"]

#: A batch is as much as one commit takes.
BATCH_ARCHIVES = 20_000
BATCH_BYTES = 4 << 30


class CollectAndIngest(CompositeWorkflow):
    """Runs a collection, and ingests what it verifies.

    Args:
        config: What to collect.
        lake: How to ingest, and which of the collected archives.
        sinks: Further sinks of the collection.
        meter: Counts bytes as they arrive, for displays.
        batch_archives: How many archives are ingested at once while others are fetched.
        on_begin: Called with a sentence when an ingestion begins.
        on_progress: Called with how far the current ingestion has come, in a worker thread.
        on_end: Called when an ingestion has ended.
        on_held: Called if another run holds a lock; returns whether to try again. By default the
            run is refused.
        fill: Whether what the archive lacks is filled from the exchange, before the remainder is
            ingested.
        monitoring: What watches the run; by default what the collection's configuration says.
        shares: As of `ArchiveCollectionWorkflow`.
    """

    name = "collect_and_ingest"

    def __init__(
        self,
        config: WorkflowConfig,
        lake: LakeConfig,
        *,
        sinks: Sequence[AnySink] = (),
        meter: ByteMeter | None = None,
        batch_archives: int = BATCH_ARCHIVES,
        on_begin: Callable[[str], None] = ignore,
        on_progress: OnProgress = ignore,
        on_end: Callable[[], None] = lambda: None,
        on_held: OnHeld = do_not_wait,
        fill: bool = False,
        monitoring: Monitoring | None = None,
        shares: SourceShares | None = None,
    ) -> None:
        refuse_faulty(config)
        self._output = output_of(config)
        self._lake, self._on_held = lake, on_held
        self.monitoring = (monitoring or Monitoring.of(config, meter)).of_several(self.name)
        self._on_begin, self._on_progress, self._on_end = on_begin, on_progress, on_end
        self._gathered = _Gathered(self._output, batch_archives, lake.selects)
        self._batches: list[IngestReport] = []
        self._ingested = 0
        self._current: IngestWorkflow | None = None
        self._drained = anyio.Event()
        self._open_holes = OpenHoles()
        self._shared = [SharedSink(sink) for sink in checked_sinks(sinks)] if fill else []
        all_sinks = [self._gathered, self._open_holes, *(self._shared or sinks)]
        collection = ArchiveCollectionWorkflow(
            config, sinks=all_sinks, meter=meter, on_held=on_held,
            monitoring=self.monitoring.shared(), shares=shares,
        )  # fmt: skip
        rest = _Rest(
            lake, self._begin_rest, self._batches,
            on_progress=on_progress, zips=self._rest, on_held=on_held, output=self._output,
            monitoring=self.monitoring.shared(),
        )  # fmt: skip
        self._last = rest
        steps = {"collect": Step(collection)}
        if fill:
            filling = RestCollectionWorkflow(
                config, sinks=all_sinks, on_held=on_held, monitoring=self.monitoring.shared()
            )
            steps["fill"] = Step(filling, after=["collect"])
        steps["ingest"] = Step(rest, after=[*steps])
        super().__init__(config, steps)

    @property
    def collected(self) -> CollectionReport | None:
        """The collection's report; None if it did not finish."""
        report = self._reports.get("collect")
        return None if report is None else report.report

    @property
    def filled(self) -> FillReport | None:
        """The fill's report; None if there was none, or it did not finish."""
        report = self._reports.get("fill")
        return None if report is None else report.report

    @property
    def archive_holes_left(self) -> bool:
        """Whether what the collection did not get keeps it from being a success.

        It does not if each day of each archive that is missing, failed or corrupt is filled.
        """
        collected = self.collected
        if self.filled is None or collected is None or collected.stop_code or collected.unlisted:
            return True
        return bool(self._open_holes.left())

    @property
    def ingested(self) -> IngestReport | None:
        """The report of all that was ingested."""
        last = self._reports.get("ingest")
        if last is not None and last.report is not None:
            report: IngestReport = last.report
            return report
        return joined(self._batches) if self._batches else None

    def stop(self, exit_code: int = 130) -> None:
        """Stop the collection and the ingestion in order; verified archives and commits stay."""
        super().stop(exit_code)
        if self._current is not None:
            self._current.stop(exit_code)

    async def setup(self) -> None:
        """Check the lake before anything is collected.

        Raises:
            ConfigurationError: The lake's directory is not named, cannot be written, or has rows in
                the other format.
            ExtraMissing: The extra `tables` is not installed.
            NoLakeError: The lake's place is a symbolic link out of the output directory, or its
                path is not UTF-8.
        """
        need_tables()
        await to_thread.run_sync(check_place, self._lake, self._output)
        await to_thread.run_sync(check_writable_place, self._lake)
        await to_thread.run_sync(refuse_other_format, self._lake)
        await self.monitoring.open()

    async def body(self) -> None:
        """Ingest batches as they arrive, then the remainder."""
        with one_error():
            async with anyio.create_task_group() as tasks:
                send, receive = anyio.create_memory_object_stream[list[StoredZip]](1)
                self._gathered.batches = send
                tasks.start_soon(self._ingest_batches, receive)
                async with send:
                    await super().body()

    async def _ingest_batches(
        self, batches: anyio.abc.ObjectReceiveStream[list[StoredZip]]
    ) -> None:
        async with batches:
            async for batch in batches:
                if self._stop_code is None:
                    await self._ingest_batch(batch)
        self._drained.set()

    async def _ingest_batch(self, batch: list[StoredZip]) -> None:
        archives = plural(len(batch), "archive", form=",")
        self._on_begin(f"ingestion of {archives} begins, while others are collected")
        self._current = IngestWorkflow(
            self._lake,
            on_progress=self._on_progress,
            zips=partial(list, batch),
            mends=False,
            on_held=self._on_held,
            output=self._output,
            monitoring=self.monitoring.shared(),
        )
        try:
            self._batches.append((await self._current.run()).report)
            self._ingested += len(batch)
        finally:
            self._on_end()

    async def _begin_rest(self) -> None:
        await self._drained.wait()
        if self._gathered.seen:
            before, total = self._ingested, len(self._gathered.seen)
            self._on_begin(f"the collection has ended, {_what_begins(before, total)}")

    def _rest(self) -> Iterator[StoredZip]:
        """All good archives of the run; those that are already ingested will be unchanged."""
        wanted = partial(_is_in, self._gathered.seen)
        return stored_zips(self._output, wanted, self._note_unreadable)

    def _note_unreadable(self, folder: str, reason: str) -> None:
        """Report a folder that cannot be read, if an archive of the run is in it."""
        if any(key.startswith(folder) for key in self._gathered.seen):
            self._last.note_unreadable(folder, reason)

    async def cleanup(self) -> None:
        """Close the sinks that both the collection and the fill have used, and the listener."""
        for sink in self._shared:
            await sink.inner.close()
        await self.monitoring.close()


class _Rest(IngestWorkflow):
    """The last ingestion. It begins when no batch is in progress, as the lake has one writer.

    Its report is that of the batches, too.
    """

    def __init__(
        self,
        config: LakeConfig,
        ready: Callable[[], Awaitable[None]],
        batches: Sequence[IngestReport],
        **given: Any,
    ) -> None:
        super().__init__(config, **given)
        self._ready = ready
        self._batches = batches

    async def setup(self) -> None:
        await self._ready()
        await super().setup()

    def report(self, error: str = "") -> IngestReport:
        return joined([*self._batches, super().report(error)])


def _what_begins(before: int, total: int) -> str:
    """Say what is left for the last ingestion, if archives were ingested before it.

    Examples:
        >>> _what_begins(20_000, 24_630)
        'after the ingestion of 20,000 archives, and that of 4,630 more begins'
        >>> _what_begins(13, 13)
        'after the ingestion of all 13 archives; the tables are checked now'
    """
    archives = plural(before or total, "archive", form=",")
    if before == total:
        return f"after the ingestion of all {archives}; the tables are checked now"
    if before:
        return f"after the ingestion of {archives}, and that of {total - before:,} more begins"
    return f"and the ingestion of {archives} begins"


def _is_in(seen: set[str], archive: Archive) -> bool:
    return archive.key in seen


@define
class _Gathered:
    """A sink that hands verified archives over in batches."""

    output: Output
    size: int
    wanted: Callable[[Archive], bool]
    name: str = "ingest"
    required: bool = True
    batches: anyio.abc.ObjectSendStream[list[StoredZip]] | None = None
    seen: set[str] = field(factory=set)
    _held: list[StoredZip] = field(factory=list)
    _held_bytes: int = 0

    async def handle(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, FillFinished) and event.verdict is FillVerdict.FILLED:
                self._take_segment(event)
            if not isinstance(event, ArchiveFinished) or event.verdict not in SUCCESSES:
                continue
            if self.wanted(event.archive):
                self.seen.add(event.archive.key)
                if event.verdict is Verdict.VERIFIED and event.sha256:
                    await self._hold(event, event.sha256)

    def _take_segment(self, event: FillFinished) -> None:
        """Remember a segment for the last ingestion."""
        if event.sha256 is not None and self.wanted(event.archive):
            self.seen.add(event.archive.key)

    async def _hold(self, event: ArchiveFinished, sha256: str) -> None:
        files, archive = self.output.files, event.archive
        identity = await to_thread.run_sync(files.identity, archive.key, event.facts.stat)
        if identity is None or not event.facts.describes(identity.stat):
            return  # the last ingestion looks at it again
        self._held.append(StoredZip(archive, files, sha256, identity=identity))
        self._held_bytes += event.size_bytes or 0
        full = len(self._held) >= self.size or self._held_bytes >= BATCH_BYTES
        if full and self.batches is not None:
            batch, self._held, self._held_bytes = self._held, [], 0
            await self.batches.send(batch)

    async def flush(self) -> None:
        """Do nothing: batches are handed over when they are full, not when the run is idle."""

    async def close(self) -> None:
        """Do nothing: the last, incomplete batch is ingested with the remainder."""
        if self.batches is not None:
            await self.batches.aclose()
