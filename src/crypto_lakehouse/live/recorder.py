"""Record streams: every message as it came, and everything that is missing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing
from itertools import chain, count

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.recording_events import HoleRecorded
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.live.book_keeper import BookKeeper
from crypto_lakehouse.live.chain import PATIENCE_S, Gap
from crypto_lakehouse.live.depth import BookBreak
from crypto_lakehouse.live.gap_filler import FilledGap, GapFiller
from crypto_lakehouse.live.lane import Lane
from crypto_lakehouse.live.line import ConnectLimit, Line, LiveTimes
from crypto_lakehouse.live.record_counts import RecordCounts
from crypto_lakehouse.live.series import LiveSeries
from crypto_lakehouse.live.snapshots import Snapshot, SnapshotFetcher
from crypto_lakehouse.live.sockets import Sockets
from crypto_lakehouse.live.streams import STREAMS_OF, ConnectionPlan, LiveStream, in_connections
from crypto_lakehouse.segments.live_writer import LiveWriter

__all__ = ["Recorder"]

#: How often segments are synced, in seconds.
_SYNC_S = 1.0

#: How long missing messages are fetched at the end of a recording, in seconds.
_LAST_FILL_S = 10.0

#: How long two lines overlap when other streams are chosen, in seconds.
_OVERLAP_S = 5.0

MakeWriter = Callable[[Market, StreamKind], LiveWriter]


@define(eq=False)
class _Running:
    """A line that runs."""

    line: Line
    lane: Lane
    scope: anyio.CancelScope = field(factory=anyio.CancelScope)

    async def run(self) -> None:
        with self.scope:
            await self.line.run()
        self.lane.replaced("other streams were chosen")


@define(kw_only=True, eq=False)
class Recorder:
    """Records streams until it is cancelled.

    Args:
        streams: What is recorded.
        sockets: Opens connections.
        make_writer: Makes the writer of a market and kind; it is called once for each.
        on_stored: Is called with the keys of segments that are finished.
        filler: Fetches what is missing; None to leave it.
        snapshots: Fetches the books on which their changes stand; None to fetch none.
        snapshot_every_s: How often each is fetched, in seconds.
        urls: Where the streams of a market are, if not at the exchange's own address.
        times: Where the time comes from.
        note: Takes a remark for the user.
        on_hole: Is called with each hole.

    Attributes:
        counts: What it has seen.
        series: The streams that are recorded now, with what is known of each.
    """

    streams: Sequence[LiveStream]
    sockets: Sockets
    make_writer: MakeWriter
    on_stored: Callable[[list[str]], object]
    filler: GapFiller | None = None
    snapshots: SnapshotFetcher | None = None
    snapshot_every_s: float = 600.0
    urls: Mapping[Market, str] = field(factory=dict)
    times: LiveTimes = field(factory=LiveTimes)
    note: Callable[[str], None] = lambda _text: None
    on_hole: Callable[[HoleRecorded], None] = lambda _hole: None
    counts: RecordCounts = field(init=False, factory=RecordCounts)
    series: dict[LiveStream, LiveSeries] = field(init=False)
    _books: BookKeeper = field(init=False)
    _writers: dict[tuple[Market, StreamKind], LiveWriter] = field(init=False, factory=dict)
    _waiting: dict[Market, list[tuple[LiveSeries, Gap]]] = field(init=False, factory=dict)
    _filling: set[Market] = field(init=False, factory=set)
    _tasks: TaskGroup | None = field(init=False, default=None)
    _changing: anyio.Lock = field(init=False, factory=anyio.Lock)
    _running: list[_Running] = field(init=False, factory=list)
    _limits: dict[Market, ConnectLimit] = field(init=False, factory=dict)
    _numbers: count[int] = field(init=False, factory=lambda: count(1))

    def __attrs_post_init__(self) -> None:
        self.series = {}
        self._books = BookKeeper(self.snapshots, self, self.snapshot_every_s, self.times)
        for stream in self.streams:
            self._add(stream)

    def _add(self, stream: LiveStream) -> None:
        series = self.series[stream] = LiveSeries(stream)
        if series.depth is not None:
            self._books.keep(stream, series.depth)

    async def run(self) -> None:
        """Record until it is cancelled; segments are ended and complete then.

        Raises:
            HostRefusedError: The host refuses this machine.
            StoreError: Segments cannot be written.
            SegmentError: A segment cannot be written.
        """
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                for plan in in_connections(self.streams, self.urls):
                    self._run_line(plan, tasks)
                await self._tick(tasks)
        finally:
            self._tasks = None
            with anyio.CancelScope(shield=True):
                await self._finish()

    async def change(self, streams: Sequence[LiveStream]) -> None:
        """Record other streams from now on; those that stay lose nothing.

        Connections of the new streams are up before those of the earlier ones are closed. Where
        all streams of a connection stay and no other one belongs to it, it goes on.

        Args:
            streams: All that are wanted.

        Raises:
            RuntimeError: It does not run.
        """
        async with self._changing:
            tasks = self._tasks
            if tasks is None:
                raise RuntimeError("streams can change only while they are recorded")
            for stream in streams:
                if stream not in self.series:
                    self._add(stream)
            plans = in_connections(streams, self.urls)
            before = [each for each in self._running if each.line.plan not in plans]
            kept = [each.line.plan for each in self._running]
            added = [self._run_line(plan, tasks) for plan in plans if plan not in kept]
            for each in added:
                await each.line.is_up.wait()
            if before and added:
                await self.times.sleep(_OVERLAP_S)
            for each in before:
                each.scope.cancel()
                self._running.remove(each)
            self.streams = list(streams)
            self._remove(self.series.keys() - set(streams))

    def lag_us(self, market: Market) -> int | None:
        """How long after their own time the newest messages of a market came, in microseconds.

        Returns:
            The longest time of all lines, by this machine's clock; None if none is known.
        """
        unit = 1 if market is Market.SPOT else 1000
        lanes = (each.lane for each in self._running if each.line.plan.market is market)
        return max((lag for each in lanes if (lag := each.lag_us(unit)) is not None), default=None)

    def _remove(self, streams: Iterable[LiveStream]) -> None:
        """Forget streams; what is known to be missing of them is fetched still."""
        gone = set(streams)
        self._find_gaps(0.0, gone)
        self._books.report_breaks()
        for stream, first, last, cause in self._books.remove(gone):
            self._unproven(stream, first, last, cause)
        for stream in gone:
            self.counts.saw_last(self.series.pop(stream))

    def _run_line(self, plan: ConnectionPlan, tasks: TaskGroup) -> _Running:
        names = {
            stream.name.encode(): (self.series[stream], self._writer(stream))
            for stream in plan.streams
        }
        if plan.market not in self._limits:
            most = STREAMS_OF[plan.market].most_connects
            self._limits[plan.market] = ConnectLimit(most, self.times)
        lane = Lane(self, plan, names)
        limit, number = self._limits[plan.market], self._numbers.__next__
        running = _Running(Line(plan, self.sockets, lane, limit, number, self.times), lane)
        self._running.append(running)
        tasks.start_soon(running.run)
        return running

    def _writer(self, stream: LiveStream) -> LiveWriter:
        return self._writer_of(stream.market, stream.kind)

    def _writer_of(self, market: Market, kind: StreamKind) -> LiveWriter:
        if (market, kind) not in self._writers:
            self._writers[market, kind] = self.make_writer(market, kind)
        return self._writers[market, kind]

    async def _tick(self, tasks: TaskGroup) -> None:
        """Once a second: make durable what came, and look for what is missing."""
        while True:
            await self.times.sleep(_SYNC_S)
            self._find_gaps(PATIENCE_S)
            self._books.look(tasks)
            for market in self._waiting.keys() - self._filling:
                self._filling.add(market)
                tasks.start_soon(self._fill_all, market)
            for writer in tuple(self._writers.values()):
                if stored := await writer.sync(self.times.wall_us()):
                    self.on_stored(stored)

    def _find_gaps(self, patience_s: float, streams: Collection[LiveStream] | None = None) -> None:
        now = self.times.local()
        for stream in self.series if streams is None else streams:
            series = self.series[stream]
            while series.chain is not None and (gap := series.chain.break_at(now, patience_s)):
                self._missing(series, gap)
            self._judge_ids(series)
            if series.depth is not None:
                series.depth.release()

    def _missing(self, series: LiveSeries, gap: Gap) -> None:
        """Fetch what is missing, if it can be, and is sure to exist."""
        if not gap.is_sure:
            self._lost(series, gap, "one message alone came behind them, and its id may be wrong")
        elif self.filler is not None:
            self._waiting.setdefault(series.stream.market, []).append((series, gap))
        else:
            self._lost(series, gap, "missing messages are not fetched")

    def _judge_ids(self, series: LiveSeries) -> None:
        """Say what is wrong with ids, and that they begin again."""
        if series.chain is None:
            return
        stream = series.stream
        for fault in series.chain.taken_wrong():
            self.counts.saw_wrong_id(stream.name, fault)
            self.note(f"{stream.market} {stream.name}: {fault}")
        for cause in series.chain.taken_beginnings():
            now_us = self.times.wall_us()
            hole = HoleRecorded(
                market=stream.market, stream=stream.name, since_us=now_us, until_us=now_us,
                cause=cause,
            )  # fmt: skip
            self.saw_hole(hole, self._writer(stream))

    async def _fill_all(self, market: Market) -> None:
        """Fill the gaps of a market one after another; each stays in the list until it is done."""
        assert self.filler is not None  # noqa: S101 - for the type checker
        gaps = self._waiting[market]
        while gaps:
            series, gap = gaps[0]
            async with aclosing(self.filler.fill(series.stream, gap)) as parts:
                async for part in parts:
                    self._write_filled(series, part)
                    gaps[0] = series, Gap(part.part.until, gap.until)
            del gaps[0]
        del self._waiting[market]
        self._filling.discard(market)

    def _write_filled(self, series: LiveSeries, filled: FilledGap) -> None:
        """Write what was missing, or that it is lost."""
        gap = filled.part
        writer, now_us = self._writer(series.stream), self.times.wall_us()
        name = series.stream.name.encode()
        if filled.rows:
            facts = {
                "stream": series.stream.name, "first": gap.first, "last": gap.until,
                "requests": filled.requests,
            }  # fmt: skip
            writer.mark(now_us, "filled", **facts)
        for row in filled.rows:
            writer.write(now_us, 0, b'{"stream":"%b","data":%b}' % (name, row))
        self.counts.filled += len(filled.rows)
        for hole in filled.holes:
            self._lost(series, hole, filled.cause)

    def _unproven(self, stream: LiveStream, first: int, last: int, cause: str) -> None:
        why = f"no snapshot came for these changes of the book: {cause}"
        self._lost(self.series[stream], Gap(first - 1, last), why)

    def _lost(self, series: LiveSeries, gap: Gap, cause: str) -> None:
        stream = series.stream
        hole = HoleRecorded(
            market=stream.market, stream=stream.name, first=gap.first, last=gap.until, cause=cause
        )
        self.saw_hole(hole, self._writer(stream))

    def got_snapshot(self, stream: LiveStream, snapshot: Snapshot) -> None:
        """Write a snapshot; see `book_keeper.BookReceiver`."""
        writer = self._writer_of(stream.market, StreamKind.DEPTH_SNAPSHOT)
        writer.write(self.times.wall_us(), 0, snapshot.message)
        self.counts.snapshots += 1
        self.counts.size_bytes += len(snapshot.message)

    def book_began(self, stream: LiveStream, update_id: int) -> None:
        """Say that a book is proven; see `book_keeper.BookReceiver`."""
        now_us = self.times.wall_us()
        self._writer(stream).mark(now_us, "book", stream=stream.name, update_id=update_id)

    def book_broke(self, stream: LiveStream, broken: BookBreak) -> None:
        """Say that a book ended; see `book_keeper.BookReceiver`."""
        if broken.update_id is not None:
            facts = {"stream": stream.name, "update_id": broken.update_id, "cause": broken.cause}
            self._writer(stream).mark(self.times.wall_us(), "broken_book", **facts)
            self.counts.broken_books += 1
        if broken.is_damaged:
            self._lost(self.series[stream], Gap(broken.first - 1, broken.last), broken.cause)

    def saw_hole(self, hole: HoleRecorded, writer: LiveWriter) -> None:
        """Count a hole, and write it to its segment."""
        self.counts.saw_hole(hole)
        self.on_hole(hole)
        writer.mark(self.times.wall_us(), "gap", **hole.facts())

    async def _finish(self) -> None:
        """Fetch what is missing still, for some seconds, and end all segments."""
        try:
            self._find_gaps(0.0)
            with anyio.move_on_after(_LAST_FILL_S):
                for market in tuple(self._waiting):
                    await self._fill_all(market)
                await self._books.finish()
            self._books.report_breaks()
            for stream, first, last, cause in self._books.remove(self.series):
                self._unproven(stream, first, last, cause)
            for series, gap in chain.from_iterable(self._waiting.values()):
                self._lost(series, gap, "the recording ended before it was fetched")
            lanes = [each.lane for each in self._running]
            received = {s for lane in lanes if lane.is_open for s in lane.plan.streams}
            for lane in lanes:
                lane.finished(received)
        finally:
            for writer in self._writers.values():
                self.on_stored(await writer.close(self.times.wall_us()))
