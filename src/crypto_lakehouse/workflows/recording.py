"""Record the exchange's streams: symbols, sockets, segments, and the report."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import ClassVar
from uuid import uuid4

import anyio
from attrs import evolve

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.config.origins import naming_origins
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import (
    HostRefusedError,
    TransferError,
)
from crypto_lakehouse.core.events import Event, RunFinished, RunStarted
from crypto_lakehouse.core.metrics import MetricsCollector
from crypto_lakehouse.core.protocols import Emit
from crypto_lakehouse.core.sink import AnySink, Sink
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.core.task_groups import one_error
from crypto_lakehouse.core.workflow import BaseWorkflow
from crypto_lakehouse.ledger.lock import OnHeld, do_not_wait
from crypto_lakehouse.live.gap_filler import GapFiller
from crypto_lakehouse.live.line import LiveTimes
from crypto_lakehouse.live.recorder import Recorder
from crypto_lakehouse.live.snapshots import SnapshotFetcher
from crypto_lakehouse.live.sockets import AiohttpSockets
from crypto_lakehouse.live.streams import LiveStream
from crypto_lakehouse.rest import RestClient, listed_symbols
from crypto_lakehouse.segments.live_writer import LiveWriter
from crypto_lakehouse.sinks.checked import checked_sinks
from crypto_lakehouse.sinks.log import LogSink
from crypto_lakehouse.sinks.metrics import MetricsSink
from crypto_lakehouse.stores.output import output_note
from crypto_lakehouse.version import __version__
from crypto_lakehouse.workflows.lake_config import LakeConfig
from crypto_lakehouse.workflows.micro_batches import MicroBatches
from crypto_lakehouse.workflows.monitoring.monitoring import Monitoring
from crypto_lakehouse.workflows.record_events import seen_event
from crypto_lakehouse.workflows.record_report import RecordReport, StreamChange
from crypto_lakehouse.workflows.record_selection import (
    fills_tables,
    recorded_markets,
    refuse_other_changes,
    rotation_s,
    select_streams,
    snapshot_s,
)
from crypto_lakehouse.workflows.wiring.delivery import Delivery
from crypto_lakehouse.workflows.wiring.live_stack import open_live_clients, stream_urls
from crypto_lakehouse.workflows.wiring.load_config import load_lake_of
from crypto_lakehouse.workflows.wiring.needed_packages import need_live, need_tables
from crypto_lakehouse.workflows.wiring.recording_output import RecordingOutput

__all__ = ["RecordingWorkflow"]

#: The exit code of a run that ends because the exchange refuses it.
_REFUSED = 5

#: How often the sinks get what was seen, in seconds, and how long they may take at the end.
_EVENTS_S, _LAST_EVENTS_S = 5.0, 1.0

#: The first remarks of this number are kept.
_MOST_NOTES = 100


def _now() -> datetime:
    return datetime.now(UTC)


class RecordingWorkflow(BaseWorkflow[RecordReport]):
    """Records the exchange's streams, until it is stopped.

    Every message is kept as it came, in segments below `live/`, beside the archives; what is
    missing by its ids is fetched, or is a hole in the report and in the segment. With `ingest` in
    the settings of `record`, a process of its own ingests each segment that is finished; else
    `IngestWorkflow` brings them into tables.

    Args:
        config: Names the output and selects markets, symbols and streams.
        for_s: How long it records, in seconds; None until it is stopped.
        sinks: Further sinks, or functions, sync or async, that take a list of events.
        metrics_collector: Counts the events.
        on_held: Called if another recording holds the lock; returns whether to try again. By
            default the run is refused.
        times: Where the time comes from; a parameter for tests.
        lake: Where the tables are, with `ingest`; by default those of the output.

    Raises:
        ConfigurationError: No symbol is selected, or none of the markets has streams.

    Examples:
        >>> config = WorkflowConfig(
        ...     output_directory="output", symbols=["BTCUSDT"], only="failed", environ={}
        ... )
        >>> report = RecordingWorkflow(config, for_s=600).execute()  # doctest: +SKIP
        >>> report.hole_count  # doctest: +SKIP
        0
    """

    name: ClassVar[str] = "recording"
    config: WorkflowConfig

    def __init__(
        self,
        config: WorkflowConfig,
        *,
        for_s: float | None = None,
        sinks: Iterable[AnySink] = (),
        metrics_collector: MetricsCollector | None = None,
        on_held: OnHeld = do_not_wait,
        times: LiveTimes | None = None,
        lake: LakeConfig | None = None,
    ) -> None:
        super().__init__(config, metrics_collector=metrics_collector)
        self.run_id = uuid4().hex
        with naming_origins(config):
            self._markets = recorded_markets(config)
        self._urls = stream_urls(config, self._markets)
        self._for_s = for_s
        self._sinks = checked_sinks(sinks)
        self.monitoring = Monitoring.of(config)
        self._new_events: list[Event] = []
        self._times = times or LiveTimes()
        self._lake = lake
        self._batches: MicroBatches | None = None
        self._output = RecordingOutput(
            config, on_held, lambda: self._stop_code is not None, self._note, self._times,
            self._delivered,
        )  # fmt: skip
        self._recorder: Recorder | None = None
        self._rest: RestClient | None = None
        self._notes: list[str] = []
        self._stop_code: int | None = None
        self._stop_reason = ""
        self._is_over = False
        self._scope = anyio.CancelScope()
        self._begun = time.monotonic()

    def stop(self, exit_code: int = 130) -> None:
        """End the recording in order; `run()` then returns with status `interrupted`.

        Must be called in the run's own event loop. Segments are finished first, and ingested if
        tables are filled; if it is called again, or after the recording, that is not waited for.
        """
        if self._batches is not None and (self._stop_code is not None or self._is_over):
            self._batches.stop()
        self._end_early(exit_code)

    async def change(self, config: WorkflowConfig) -> StreamChange:
        """Record the streams that another configuration selects, from now on.

        Streams that stay lose nothing: new connections are up before earlier ones are closed, and
        it returns after that. If it fails, the recording goes on as it was.

        Must be called in the run's own event loop.

        Args:
            config: With other symbols, filters, intervals or streams.

        Raises:
            ConfigurationError: Something else changes, too, or no symbol is selected.
            SelectionError: The exchange does not list a symbol.
            TransferError: The exchange did not give its symbols.
            HostRefusedError: It refuses this machine.
            RuntimeError: Nothing is recorded yet, or no more.
        """
        recorder, rest = self._recorder, self._rest
        if recorder is None or rest is None:
            raise RuntimeError("streams can change only while they are recorded")
        with naming_origins(config):
            recorded_markets(config)
            refuse_other_changes(self.config, config)
            listed = {market: await listed_symbols(rest, market) for market in self._markets}
            streams = select_streams(config, listed)
        before = set(recorder.streams)
        await recorder.change(streams)
        self.config = config
        return StreamChange(len(set(streams) - before), len(before - set(streams)), len(streams))

    def _end_early(self, exit_code: int, reason: str = "") -> None:
        if self._stop_code is None:
            self._stop_code, self._stop_reason = exit_code, reason
        self._scope.cancel()

    async def setup(self) -> None:
        """Check what needs no network; nothing is written, and nothing is asked.

        Raises:
            ConfigurationError: Tables cannot be filled as they are configured.
            ExtraMissing: The extra `live` is not installed, or `tables` if tables are filled.
        """
        need_live()
        if fills_tables(self.config):
            need_tables()
            await self._prepare_tables()
        await self.monitoring.open()
        self._notes += [note for note in (output_note(self.config), *self.config.warnings) if note]

    async def _prepare_tables(self) -> None:
        lake = self._lake or await load_lake_of(None, self.config)
        with naming_origins(lake):
            self._batches = MicroBatches(
                lake, self.config, rotation_s(self.config), self._times, self._new_events.append,
                self._note,
            )  # fmt: skip

    def _delivered(self, keys: list[str]) -> None:
        if self._batches is not None:
            self._batches.stored(keys)

    def _note(self, text: str) -> None:
        if len(self._notes) < _MOST_NOTES and text not in self._notes:
            self._notes.append(text)

    async def body(self) -> None:
        """Record, until the time is over or the run is stopped; the sinks get the events."""
        own: list[Sink] = [MetricsSink(self.metrics_collector), LogSink(self.run_id)]
        await Delivery().run(
            self._record_until_stopped,
            [*own, *self.monitoring.sinks, *self._sinks],
            self._last_event,
            is_urgent=lambda: self._stop_code is not None,
        )
        if problem := await self.monitoring.finish():
            self._note(problem)

    async def _record_until_stopped(self, emit: Emit) -> None:
        await emit([RunStarted(run_id=self.run_id, workflow=self.name, planned=0, at=_now())])
        if self._batches is None:
            await self._record_in_scope(emit)
            return
        with one_error():
            async with self._batches.running():
                await self._record_in_scope(emit)
                await self._output.deliver_now()
                self._is_over = True
        await emit(self._events())

    async def _record_in_scope(self, emit: Emit) -> None:
        with self._scope, one_error():
            try:
                clients = open_live_clients(self.config, self._urls, self._times, self._note)
                async with clients as (rest, sockets):
                    await self._select_and_record(rest, sockets, emit)
            except HostRefusedError as error:
                self._end_early(_REFUSED, str(error))

    async def _select_and_record(
        self, rest: RestClient, sockets: AiohttpSockets, emit: Emit
    ) -> None:
        """Record; nothing is written before it is known that there is something to record."""
        listed = {market: await self._listed(rest, market) for market in self._markets}
        streams = select_streams(self.config, listed)
        await self._output.open()
        if self._output.stage is not None:
            if self._batches is not None:
                await self._batches.check()
                self._batches.stored([])  # what an earlier recording has left
            await self._record(rest, sockets, streams, emit)

    async def _record(
        self, rest: RestClient, sockets: AiohttpSockets, streams: list[LiveStream], emit: Emit
    ) -> None:
        self._rest = rest
        self._recorder = Recorder(
            streams=streams,
            sockets=sockets,
            make_writer=lambda market, kind: self._writer(rest, market, kind),
            on_stored=self._output.take,
            filler=GapFiller(rest),
            snapshots=SnapshotFetcher(rest),
            snapshot_every_s=snapshot_s(self.config),
            urls=self._urls,
            times=self._times,
            note=self._note,
            on_hole=self._new_events.append,
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._output.deliver)
            tasks.start_soon(self._tell, emit)
            if self._for_s is not None:
                tasks.start_soon(self._end_after, self._for_s)
            try:
                await self._recorder.run()
            finally:
                with anyio.move_on_after(_LAST_EVENTS_S, shield=True):
                    await emit(self._events())

    async def _tell(self, emit: Emit) -> None:
        """Emit what was seen, every few seconds: nothing of it is on the way of a message."""
        while True:
            await self._times.sleep(_EVENTS_S)
            await emit(self._events())

    def _events(self) -> list[Event]:
        """What happened since the last time, and what was seen up to now."""
        new = self._new_events.copy()
        self._new_events.clear()
        if self._recorder is None or self._rest is None:
            return new
        clocks = {market: self._rest.hosts[market].clock for market in self._markets}
        seen = seen_event(
            self._recorder, clocks, self._times.wall_us(), segments=self._output.finished
        )
        return [*new, seen]

    def _last_event(self) -> RunFinished:
        report = self.report()
        return RunFinished(run_id=self.run_id, status=report.status, at=_now(), reason=report.error)

    async def _end_after(self, seconds: float) -> None:
        await self._times.sleep(seconds)
        self._scope.cancel()

    async def _listed(self, rest: RestClient, market: Market) -> dict[str, bool] | None:
        try:
            return await listed_symbols(rest, market)
        except TransferError as error:
            self._note(f"the symbols of `{market}` are not checked: {error}")
            return None

    def _writer(self, rest: RestClient, market: Market, kind: StreamKind) -> LiveWriter:
        clock = rest.hosts[market].clock

        def skew_us() -> int | None:
            if not clock.is_known:
                return None
            return self._times.wall_us() - round(clock.now() * 1_000_000)

        assert self._output.stage is not None  # noqa: S101 - for the type checker
        return LiveWriter(
            store=self._output.stage, market=market, kind=kind, recording=self.run_id,
            tool_version=__version__, rotate_s=rotation_s(self.config), clock_skew=skew_us,
        )  # fmt: skip

    async def cleanup(self) -> None:
        """Move the last segments to the object store, and release the lock."""
        try:
            await self._output.close()
        finally:
            await self.monitoring.close()

    def report(self, error: str = "") -> RecordReport:
        """Return a report of what is known so far; `error` is why the run ended early."""
        empty = RecordReport(
            workflow=self.name,
            status="failed" if error else "interrupted",
            duration_seconds=time.monotonic() - self._begun,
            warnings=tuple(self._notes),
            error=error or self._stop_reason,
            run_id=self.run_id,
            stop_code=self._stop_code,
            ingested=None if self._batches is None else self._batches.counts,
        )
        return empty if self._recorder is None else self._filled(empty, self._recorder, error)

    def _filled(self, empty: RecordReport, recorder: Recorder, error: str) -> RecordReport:
        """Return a report with what a recorder has counted."""
        counts, series = recorder.counts, recorder.series.values()
        unread = [f"cannot be read: {counts.first_unreadable}"] if counts.unreadable else []
        return evolve(
            empty,
            status=self._status(error, is_partial=counts.hole_count > 0 or self._is_behind),
            streams=len(recorder.streams),
            messages=counts.messages_of(series),
            size_bytes=counts.size_bytes,
            duplicates=counts.duplicates_of(series),
            unreadable=counts.unreadable,
            filled=counts.filled,
            snapshots=counts.snapshots,
            broken_books=counts.broken_books,
            hole_count=counts.hole_count,
            holes=tuple(counts.holes),
            connections=counts.connections,
            ends=dict(counts.ends),
            segments=self._output.finished,
            undelivered=self._output.undelivered,
            warnings=(*self._notes, *unread),
        )

    @property
    def _is_behind(self) -> bool:
        has_fault = self._batches is not None and bool(self._batches.counts.fault)
        return has_fault or self._output.undelivered > 0

    def _status(self, error: str, *, is_partial: bool) -> str:
        if error:
            return "failed"
        if self._stop_code is not None:
            return "interrupted"
        return "partial" if is_partial else "complete"

    def metrics(self) -> RecordReport:
        """The report of the finished run."""
        return self.report()
