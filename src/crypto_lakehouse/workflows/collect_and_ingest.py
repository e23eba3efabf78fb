"""Collect and ingest in one stream: archives are read into tables while others are fetched.

Archives are handed over in batches of one commit each, so that tables get as few files as if
everything had been ingested at the end. The remainder is ingested last.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import anyio
from anyio import to_thread
from attrs import define, field

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.events import ArchiveFinished, Event
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.progress import OnProgress
from crypto_lakehouse.core.protocols import ignore
from crypto_lakehouse.core.report import CollectionReport
from crypto_lakehouse.core.sink import AnySink
from crypto_lakehouse.core.task_groups import one_error
from crypto_lakehouse.core.verdicts import SUCCESSES, Verdict
from crypto_lakehouse.core.workflow import refuse_faulty
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.stores.file_identity import identity_of
from crypto_lakehouse.workflows.archive_collection import ArchiveCollectionWorkflow
from crypto_lakehouse.workflows.composition import CompositeWorkflow, Step
from crypto_lakehouse.workflows.ingestion import IngestWorkflow
from crypto_lakehouse.workflows.lake_config import LakeConfig
from crypto_lakehouse.workflows.lake_report import IngestReport, joined
from crypto_lakehouse.workflows.stored_archives import StoredZip, stored_zips

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
    ) -> None:
        refuse_faulty(config)
        self._lake = lake
        self._on_begin, self._on_progress, self._on_end = on_begin, on_progress, on_end
        self._gathered = _Gathered(
            LocalStore(config.output_directory), batch_archives, lake.selects
        )
        self._batches: list[IngestReport] = []
        self._current: IngestWorkflow | None = None
        self._drained = anyio.Event()
        collection = ArchiveCollectionWorkflow(config, sinks=[self._gathered, *sinks], meter=meter)
        rest = _Rest(lake, self._rest, self._begin_rest, on_progress)
        steps = {"collect": Step(collection), "ingest": Step(rest, after=["collect"])}
        super().__init__(config, steps)

    @property
    def collected(self) -> CollectionReport | None:
        """The collection's report; None if it did not finish."""
        report = self._reports.get("collect")
        return None if report is None else report.report

    @property
    def ingested(self) -> IngestReport | None:
        """The report of all that was ingested."""
        last = self._reports.get("ingest")
        reports = [*self._batches, *([last.report] if last and last.report else [])]
        return joined(reports) if reports else None

    def stop(self, exit_code: int = 130) -> None:
        """Stop the collection and the ingestion in order; verified archives and commits stay."""
        super().stop(exit_code)
        if self._current is not None:
            self._current.stop(exit_code)

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
        archives = plural(len(batch), "archive")
        self._on_begin(f"ingestion of {archives} begins, while others are collected")
        self._current = IngestWorkflow(
            self._lake, on_progress=self._on_progress, zips=partial(list, batch)
        )
        try:
            self._batches.append((await self._current.run()).report)
        finally:
            self._on_end()

    async def _begin_rest(self) -> None:
        await self._drained.wait()
        if self._gathered.seen:
            archives = plural(len(self._gathered.seen), "archive")
            self._on_begin(f"the collection has ended, and the ingestion of {archives} begins")

    def _rest(self) -> Iterator[StoredZip]:
        """All good archives of the run; those that are already ingested will be unchanged."""
        root = Path(self.config.output_directory)
        return stored_zips(root, partial(_is_in, self._gathered.seen))


class _Rest(IngestWorkflow):
    """The last ingestion. It begins when no batch is in progress, as the lake has one writer."""

    def __init__(
        self,
        config: LakeConfig,
        zips: Callable[[], Iterator[StoredZip]],
        ready: Callable[[], Awaitable[None]],
        on_progress: OnProgress,
    ) -> None:
        super().__init__(config, on_progress=on_progress, zips=zips)
        self._ready = ready

    async def setup(self) -> None:
        await self._ready()
        await super().setup()


def _is_in(seen: set[str], archive: Archive) -> bool:
    return archive.key in seen


@define
class _Gathered:
    """A sink that hands verified archives over in batches."""

    store: LocalStore
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
            if not isinstance(event, ArchiveFinished) or event.verdict not in SUCCESSES:
                continue
            if self.wanted(event.archive):
                self.seen.add(event.archive.key)
                if event.verdict is Verdict.VERIFIED and event.sha256:
                    await self._hold(event, event.sha256)

    async def _hold(self, event: ArchiveFinished, sha256: str) -> None:
        path = Path(self.store.path(event.archive.key))
        identity = await to_thread.run_sync(identity_of, str(path))
        if identity is None or not event.facts.describes(identity.stat):
            return  # the last ingestion looks at it again
        self._held.append(StoredZip(event.archive, path, sha256, identity=identity))
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
