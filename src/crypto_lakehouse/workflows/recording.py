"""Record the exchange's streams: symbols, sockets, segments, and the report."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from typing import ClassVar
from uuid import uuid4

import anyio
from anyio import to_thread
from attrs import evolve

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.config.origins import naming_origins
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import (
    ConfigurationError,
    HostRefusedError,
    LakehouseError,
    Problem,
    StoreError,
    TransferError,
)
from crypto_lakehouse.core.metrics import MetricsCollector
from crypto_lakehouse.core.origin import Origin
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.core.task_groups import in_own_task, one_error
from crypto_lakehouse.core.workflow import BaseWorkflow
from crypto_lakehouse.ledger.lock import OnHeld, do_not_wait, output_lock, take_when_free
from crypto_lakehouse.live.gap_filler import GapFiller
from crypto_lakehouse.live.line import LiveTimes
from crypto_lakehouse.live.recorder import Recorder
from crypto_lakehouse.live.snapshots import SnapshotFetcher
from crypto_lakehouse.live.sockets import AiohttpSockets
from crypto_lakehouse.live.streams import LiveStream
from crypto_lakehouse.rest import RestClient, listed_symbols
from crypto_lakehouse.segments.live_delivery import deliver_segment
from crypto_lakehouse.segments.live_recovery import recover_segments
from crypto_lakehouse.segments.live_writer import LiveWriter
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.stores.output import output_note, output_of
from crypto_lakehouse.stores.state import StateFolder
from crypto_lakehouse.version import __version__
from crypto_lakehouse.workflows.record_report import RecordReport, StreamChange
from crypto_lakehouse.workflows.record_selection import (
    recorded_markets,
    refuse_other_changes,
    rotation_s,
    select_streams,
    snapshot_s,
)
from crypto_lakehouse.workflows.wiring.live_stack import open_live_clients, stream_urls
from crypto_lakehouse.workflows.wiring.load_config import AnyConfig, load_config
from crypto_lakehouse.workflows.wiring.needed_packages import need_live

__all__ = ["RecordingWorkflow", "run_recording"]

#: The exit code of a run that ends because the exchange refuses it.
_REFUSED = 5

#: The first remarks of this number are kept.
_MOST_NOTES = 100


class RecordingWorkflow(BaseWorkflow[RecordReport]):
    """Records the exchange's streams, until it is stopped.

    Every message is kept as it came, in segments below `live/`, beside the archives; what is
    missing by its ids is fetched, or is a hole in the report and in the segment. Tables of segments
    do not exist yet.

    Args:
        config: Names the output and selects markets, symbols and streams.
        for_s: How long it records, in seconds; None until it is stopped.
        metrics_collector: Of all workflows; a recording has no events.
        on_held: Called if another recording holds the lock; returns whether to try again. By
            default the run is refused.
        times: Where the time comes from; a parameter for tests.

    Raises:
        ConfigurationError: No symbol is selected, or none of the markets has streams.

    Example:
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
        metrics_collector: MetricsCollector | None = None,
        on_held: OnHeld = do_not_wait,
        times: LiveTimes | None = None,
    ) -> None:
        super().__init__(config, metrics_collector=metrics_collector)
        self.run_id = uuid4().hex
        with naming_origins(config):
            self._markets = recorded_markets(config)
        self._urls = stream_urls(config, self._markets)
        self._for_s = for_s
        self._on_held = on_held
        self._times = times or LiveTimes()
        self._place = output_of(config)
        # Segments of an output in an object store are in the state folder until they are finished.
        self._is_staged = self._place.is_url
        self._stage: LocalStore | None = None
        self._recorder: Recorder | None = None
        self._rest: RestClient | None = None
        self._stored: list[str] = []
        self._to_deliver: list[str] = []
        self._notes: list[str] = []
        self._resources = AsyncExitStack()
        self._stop_code: int | None = None
        self._stop_reason = ""
        self._scope = anyio.CancelScope()
        self._begun = time.monotonic()
        self._is_held = False

    def stop(self, exit_code: int = 130) -> None:
        """End the recording in order; `run()` then returns with status `interrupted`.

        Must be called in the run's own event loop. Segments are finished first.
        """
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
            ExtraMissing: The extra `live` is not installed.
        """
        need_live()
        self._notes += [note for note in (output_note(self.config), *self.config.warnings) if note]

    async def _take_output(self) -> None:
        """Take the lock, and finish the segments that a killed recording left.

        Raises:
            LockHeldError: Another recording has the output.
            ConfigurationError: The output cannot be written.
        """
        try:
            await self._open_output()
        except StoreError as error:
            if error.stops_run:
                raise
            raise ConfigurationError([Problem("$.output_directory", str(error))]) from error
        except OSError as error:
            reason = f"`{self._place.state.path}` cannot be written: {error.strerror}"
            raise ConfigurationError([Problem("$.output_directory", reason)]) from error

    async def _open_output(self) -> None:
        state = self._place.state
        await to_thread.run_sync(state.make)

        async def take() -> None:
            self._resources.enter_context(output_lock(state.path / "record.lock"))

        self._is_held = await take_when_free(
            take, self._on_held, lambda: self._stop_code is not None
        )
        if not self._is_held:
            return
        with anyio.CancelScope(shield=True):
            await self._finish_what_is_left(state)

    async def _finish_what_is_left(self, state: StateFolder) -> None:
        """Prepare the output, and finish the segments of a killed recording."""
        stage = LocalStore(state.path if self._is_staged else state.root)
        await to_thread.run_sync(stage.prepare)
        if self._is_staged:
            await to_thread.run_sync(self._place.store.prepare)
        self._stage = stage
        for each in await recover_segments(stage, self._times.wall_us()):
            what = "finished" if each.is_stored else "removed, as nothing of it was synced"
            self._notes.append(f"a killed recording left `{each.key}`: it is {what}")
            if each.is_damaged:
                self._notes.append(f"`{each.key}` was damaged; the rest of it is in quarantine")
        if self._is_staged:
            self._to_deliver += await to_thread.run_sync(self._left_in, stage)

    def _left_in(self, stage: LocalStore) -> list[str]:
        """The finished segments that an earlier recording could not store; blocking."""
        return [key for key, _ in stage.segments(self._unread, Origin.LIVE)]

    def _unread(self, folder: str, reason: str) -> None:
        self._note(f"`{folder}`: {reason}")

    def _note(self, text: str) -> None:
        if len(self._notes) < _MOST_NOTES:
            self._notes.append(text)

    async def body(self) -> None:
        """Record, until the time is over or the run is stopped."""
        with self._scope, one_error():
            try:
                clients = open_live_clients(self.config, self._urls, self._times, self._note)
                async with clients as (rest, sockets):
                    await self._select_and_record(rest, sockets)
            except HostRefusedError as error:
                self._end_early(_REFUSED, str(error))

    async def _select_and_record(self, rest: RestClient, sockets: AiohttpSockets) -> None:
        """Record; nothing is written before it is known that there is something to record."""
        listed = {market: await self._listed(rest, market) for market in self._markets}
        streams = select_streams(self.config, listed)
        await self._take_output()
        if self._is_held:
            await self._record(rest, sockets, streams)

    async def _record(
        self, rest: RestClient, sockets: AiohttpSockets, streams: list[LiveStream]
    ) -> None:
        self._rest = rest
        self._recorder = Recorder(
            streams=streams,
            sockets=sockets,
            make_writer=lambda market, kind: self._writer(rest, market, kind),
            on_stored=self._on_stored,
            filler=GapFiller(rest),
            snapshots=SnapshotFetcher(rest),
            snapshot_every_s=snapshot_s(self.config),
            urls=self._urls,
            times=self._times,
            note=self._note,
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._deliver)
            if self._for_s is not None:
                tasks.start_soon(self._end_after, self._for_s)
            await self._recorder.run()

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

        assert self._stage is not None  # noqa: S101 - for the type checker
        return LiveWriter(
            store=self._stage, market=market, kind=kind, recording=self.run_id,
            tool_version=__version__, rotate_s=rotation_s(self.config), clock_skew=skew_us,
        )  # fmt: skip

    def _on_stored(self, keys: list[str]) -> None:
        self._stored += keys
        self._to_deliver += keys if self._is_staged else []

    async def _deliver(self) -> None:
        """Once a second, move finished segments to the object store."""
        while self._is_staged:
            await self._deliver_now()
            await self._times.sleep(1.0)

    async def _deliver_now(self) -> None:
        """Move all finished segments; what fails stays in the state folder, and is tried again."""
        while self._to_deliver and self._stage is not None:
            try:
                await deliver_segment(self._stage, self._place.store, self._to_deliver[0])
            except LakehouseError as error:
                self._note(f"a segment is not stored yet: {error}")
                return
            del self._to_deliver[0]

    async def cleanup(self) -> None:
        """Move the last segments to the object store, and release the lock."""
        try:
            if self._to_deliver:
                await self._deliver_now()
        finally:
            await self._resources.aclose()

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
        )
        return empty if self._recorder is None else self._filled(empty, self._recorder, error)

    def _filled(self, empty: RecordReport, recorder: Recorder, error: str) -> RecordReport:
        """Return a report with what a recorder has counted."""
        counts, series = recorder.counts, recorder.series.values()
        unread = [f"cannot be read: {counts.first_unreadable}"] if counts.unreadable else []
        return evolve(
            empty,
            status=self._status(error, counts.hole_count),
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
            segments=len(self._stored),
            warnings=(*self._notes, *unread),
        )

    def _status(self, error: str, holes: int) -> str:
        if error:
            return "failed"
        if self._stop_code is not None:
            return "interrupted"
        return "partial" if holes else "complete"

    def metrics(self) -> RecordReport:
        """The report of the finished run."""
        return self.report()


async def run_recording(
    config: AnyConfig,
    *,
    for_s: float | None = None,
    metrics_collector: MetricsCollector | None = None,
    on_held: OnHeld = do_not_wait,
    times: LiveTimes | None = None,
) -> RecordReport:
    """Record the exchange's streams, until the task is cancelled or the time is over.

    Args:
        config: A configuration, a mapping of its keys, or the path of a JSON, TOML or YAML file.
        for_s: How long it records, in seconds; None for ever.
        metrics_collector: Of all workflows; a recording has no events.
        on_held: Called if another recording holds the lock; returns whether to try again.
        times: Where the time comes from; a parameter for tests.

    Returns:
        What came, and what is missing.

    Raises:
        ConfigurationError: The configuration cannot be run.
        SelectionError: The exchange does not list a symbol.
        LockHeldError: Another recording has the output.
        StoreError: Segments cannot be written.
    """
    ready = await in_own_task(lambda: _ready(config))
    workflow = RecordingWorkflow(
        ready, for_s=for_s, metrics_collector=metrics_collector, on_held=on_held, times=times
    )
    return await workflow.run()


async def _ready(config: AnyConfig) -> WorkflowConfig:
    """Read a configuration whose days are not named: a recording has none."""
    if isinstance(config, WorkflowConfig):
        return config
    return await load_config(config, {"only": "failed"})
