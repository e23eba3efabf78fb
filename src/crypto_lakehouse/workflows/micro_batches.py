"""The micro-batches of a recording: one process after another ingests what is stored."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import anyio
from attrs import define, evolve, field, frozen

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import LakehouseError
from crypto_lakehouse.core.events import RecordingIngested
from crypto_lakehouse.core.messages import agreeing
from crypto_lakehouse.executors.processes.one_answer import answer_of
from crypto_lakehouse.live.line import LiveTimes
from crypto_lakehouse.workflows.lake_config import LakeConfig
from crypto_lakehouse.workflows.micro_batch import BatchRequest, BatchResult, of_recordings

__all__ = ["BatchCounts", "MicroBatches"]

_PROGRAM = "crypto_lakehouse.workflows.micro_batch_program"

#: How long after a segment others may be finished that belong to the same micro-batch, in seconds:
#: segments are ended once a second, one after another.
_GATHER_S = 2.0

#: How long the last micro-batch may take once the recording has ended, in seconds. Service managers
#: commonly kill a service 90 s after they have asked it to end.
_LAST_S = 60.0

_NOTHING = BatchResult()

_UNFINISHED = (
    "the last segments are not in the tables: their ingestion was ended; run `crypto-lakehouse "
    "ingest --only-recordings`, or record again"
)

#: The first remarks of this number are passed on, each once.
_MOST_NOTES = 20


@frozen(kw_only=True)
class BatchCounts:
    """What the micro-batches of a recording came to.

    Attributes:
        runs: How many there were.
        failed: How many of them left something out of the tables.
        rows: How many rows they brought into the tables.
        fault: What the last one left out, and why; empty if nothing.
    """

    runs: int = 0
    failed: int = 0
    rows: int = 0
    fault: str = ""

    def to_mapping(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "runs": self.runs,
            "failed": self.failed,
            "rows": self.rows,
            **({"fault": self.fault} if self.fault else {}),
        }


@define
class MicroBatches:
    """Ingests segments as they are stored; never two micro-batches at once.

    What fails is tried again by the next one.

    Args:
        lake: Where the tables are.
        output: Where the segments are.
        rotate_s: How long a segment is, in seconds.
        times: Where the time comes from.
        on_end: Takes what each micro-batch came to.
        note: Takes a remark for the user.

    Attributes:
        counts: What they came to.
    """

    lake: LakeConfig
    output: WorkflowConfig
    rotate_s: int
    times: LiveTimes
    on_end: Callable[[RecordingIngested], None]
    note: Callable[[str], None]
    counts: BatchCounts = field(init=False, factory=BatchCounts)
    _config: LakeConfig = field(init=False)
    _stored: anyio.Event = field(init=False, factory=anyio.Event)
    _keys: list[str] = field(init=False, factory=list)
    _one: anyio.Lock = field(init=False, factory=anyio.Lock)
    _last: anyio.CancelScope = field(init=False, factory=anyio.CancelScope)
    _begun: float = field(init=False, default=0.0)
    _notes: set[str] = field(init=False, factory=set)

    def __attrs_post_init__(self) -> None:
        self._config = of_recordings(self.lake)

    async def check(self) -> None:
        """Check that the tables can be written, before anything is recorded.

        Raises:
            LakehouseError: They cannot; or a process cannot be started.
        """
        result = await self._ask(only_checks=True)
        if result.error is not None:
            raise result.error

    def stored(self, keys: list[str]) -> None:
        """Say which segments are stored; the next micro-batch ingests them.

        The first one, and one after a fault, looks at all segments of the output.
        """
        self._keys += keys
        self._stored.set()
        if self._one.locked() and anyio.current_time() - self._begun > self.rotate_s:
            self._begun = math.inf  # it is said once
            self._say(f"an ingestion takes longer than a segment of {self.rotate_s} s", ())

    def stop(self) -> None:
        """Do not wait for the last micro-batch; the next recording, or `ingest`, completes it."""
        self._last.cancel()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ingest what is stored while the body of the context runs, and once after it."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._run)
            yield
            await self._finish()
            tasks.cancel_scope.cancel()

    async def _run(self) -> None:
        while True:
            await self._stored.wait()
            await self.times.sleep(_GATHER_S)
            await self._ingest_stored()

    async def _finish(self) -> None:
        """Wait for the micro-batch that runs, and ingest what it has left, for a bounded time."""
        self._last.deadline = anyio.current_time() + _LAST_S
        with self._last:
            await self._ingest_stored()
        if self._last.cancelled_caught:
            self._count(BatchResult(), _UNFINISHED)

    async def _ingest_stored(self) -> None:
        async with self._one:
            if self._stored.is_set() or self.counts.fault:
                looks_at_all = not self.counts.runs or bool(self.counts.fault)
                keys, self._keys = tuple(self._keys), []
                self._stored, self._begun = anyio.Event(), anyio.current_time()
                await self._ingest(None if looks_at_all else keys)

    async def _ingest(self, segments: tuple[str, ...] | None) -> None:
        try:
            result = await self._ask(segments)
        except LakehouseError as error:
            result = BatchResult(error=error)
        self._count(result, _fault_of(result))

    def _count(self, result: BatchResult, fault: str) -> None:
        self.counts = evolve(
            self.counts,
            runs=self.counts.runs + 1,
            failed=self.counts.failed + bool(fault),
            rows=self.counts.rows + result.rows,
            fault=fault,
        )
        upkeep = result.upkeep_fault and f"small files and snapshots stay: {result.upkeep_fault}"
        self._say("; ".join(filter(None, (fault, upkeep))), result.notes, result)

    def _say(self, fault: str, notes: tuple[str, ...], result: BatchResult = _NOTHING) -> None:
        """Pass on what a micro-batch came to, or what is wrong with it; each remark once."""
        for each in filter(None, (*notes, fault)):
            if each not in self._notes and len(self._notes) < _MOST_NOTES:
                self._notes.add(each)
                self.note(each)
        self.on_end(
            RecordingIngested(
                rows=result.rows,
                files_merged=result.files_merged,
                snapshots_expired=result.snapshots_expired,
                duration_seconds=round(result.duration_seconds, 3),
                fault=fault,
                at=datetime.now(UTC),
            )
        )

    async def _ask(
        self, segments: tuple[str, ...] | None = None, *, only_checks: bool = False
    ) -> BatchResult:
        request = BatchRequest(
            config=self._config,
            output=self.output,
            parent=os.getpid(),
            segments=segments,
            only_checks=only_checks,
        )
        result: BatchResult = await answer_of(_PROGRAM, request)
        return result


def _fault_of(result: BatchResult) -> str:
    """What a micro-batch has left out, and why; empty if nothing."""
    if result.error is not None:
        return f"recorded segments are not in the tables yet: {result.error}"
    if not result.problems:
        return ""
    count = agreeing(len(result.problems), f"{len(result.problems)} file[s] [is|are]")
    return f"{count} not in the tables, the first `{result.problems[0]}`"
