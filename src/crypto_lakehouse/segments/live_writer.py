"""Writes recorded messages to segments, so that a killed process loses what came since a sync."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta

from anyio import CancelScope, Lock, to_thread
from attrs import define, field

from crypto_lakehouse.core.archive import SIDECAR_SUFFIX, Market
from crypto_lakehouse.core.errors import SegmentError
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.core.protocols import PART_SUFFIX, Part, Store
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.segments.live_segment import (
    END,
    LiveHeader,
    LiveMark,
    header_line,
    live_sidecar,
    mark_line,
    message_text,
    moment_of,
)

__all__ = ["MESSAGE_BYTES", "ROTATIONS_S", "LiveWriter", "frame"]

_HOUR_S = 3600

#: How long a segment may be, in seconds: parts of an hour, so that none passes an hour's end.
ROTATIONS_S = tuple(minutes * 60 for minutes in (5, 6, 10, 12, 15, 20, 30, 60))

#: The largest message that is taken: as a JSON string it may have six times as many bytes.
MESSAGE_BYTES = 8 << 20

_LEVEL = 3

#: The beginnings of so many segments are known: of a month, if each has five minutes.
_MOST_BEGUN = 10_000


@define
class _Open:
    """A segment that is being written.

    Attributes:
        key: Its object key.
        begin_us: A line before this time belongs to another segment: the clock was set back.
        end_us: Lines from this time on belong to the next segment.
        ended_us: When it was ended, at `end_us` at the latest.
        held: Lines that are not in the part yet.
        messages: How many it has, with those in `held`.
    """

    key: str
    begin_us: int
    end_us: int
    ended_us: int = 0
    held: bytearray = field(factory=bytearray, repr=False)
    messages: int = 0
    part: Part | None = None


@define(kw_only=True)
class LiveWriter:
    """Appends the messages of a market and a kind of stream to segments.

    `write` and `mark` only add to memory. The caller calls `sync` once a second: what was written
    until then survives a kill and a power loss. A segment is named by its first line, and is at
    `NAME.part` until its time is over, or the clock is set back by more than that. No segment
    passes the end of an hour of UTC.

    Attributes:
        store: Keeps the segments. It must be able to resume a part, as that of a directory can: for
            an output in an object store, one in the state folder (see `live_delivery`).
        market: The market.
        kind: The kind of stream.
        recording: Identifies the recording: 8 to 64 hexadecimal digits. No other writer of the
            market and kind has the same.
        tool_version: The version of this package.
        rotate_s: How long a segment may be, in seconds: one of `ROTATIONS_S`.
        clock_skew: Says how far this machine's clock is ahead of the exchange's, in microseconds;
            None if that is unknown.
    """

    store: Store
    market: Market
    kind: StreamKind
    recording: str
    tool_version: str
    rotate_s: int = field(default=_HOUR_S)
    clock_skew: Callable[[], int | None] = lambda: None
    _current: _Open | None = field(init=False, default=None)
    _ended: list[_Open] = field(init=False, factory=list)
    _begun: deque[datetime] = field(init=False, factory=lambda: deque(maxlen=_MOST_BEGUN))
    _lock: Lock = field(init=False, factory=Lock)
    _failure: Exception | None = field(init=False, default=None)

    @rotate_s.validator
    def _is_part_of_an_hour(self, _attribute: object, value: int) -> None:
        if value not in ROTATIONS_S:
            raise ValueError(f"a segment of {value} s: use one of {ROTATIONS_S}")

    @property
    def held_bytes(self) -> int:
        """How much memory the lines take that are not synced yet."""
        return sum(len(each.held) for each in (self._current, *self._ended) if each is not None)

    def write(self, received_at_us: int, connection: int, message: bytes) -> None:
        """Add a message.

        Args:
            received_at_us: When it was received, in microseconds since 1970.
            connection: The number of its connection; 0 for a response of a REST endpoint.
            message: Its bytes as they came.

        Raises:
            SegmentError: It has more than `MESSAGE_BYTES`.
        """
        segment = self._current
        if segment is None or not segment.begin_us <= received_at_us < segment.end_us:
            segment = self._begin(received_at_us)
        if len(message) > MESSAGE_BYTES:
            size = plural(len(message), "byte", form=",")
            reason = f"a message has {size}; no more than {MESSAGE_BYTES:,} are kept"
            raise SegmentError(segment.key, reason)
        segment.messages += 1
        segment.held += b"[%d,%d,%b]\n" % (received_at_us, connection, message_text(message))

    def mark(self, at_us: int, name: str, /, **facts: object) -> None:
        """Add an event of the recording.

        Args:
            at_us: Its time, in microseconds since 1970.
            name: What happened.
            facts: What else is known; values of JSON.
        """
        segment = self._current
        if segment is None or not segment.begin_us <= at_us < segment.end_us:
            segment = self._begin(at_us)
        segment.held += mark_line(LiveMark(at_us, name, facts))

    async def sync(self, now_us: int) -> list[str]:
        """Make durable what was written, and end segments whose time is over.

        Args:
            now_us: The time, in microseconds since 1970.

        Returns:
            The keys of the segments that are at their final names now.

        Raises:
            StoreError: The store failed. The part has what was synced before; nothing can be
                written to it any more, and each later call raises the same error.
            SegmentError: A segment of this name is stored already.
        """
        async with self._lock:
            if self._failure is not None:
                raise self._failure
            current = self._current
            if current is not None and not current.begin_us <= now_us < current.end_us:
                self._end_current(now_us)
            finished: list[str] = []
            try:
                # What was taken from memory must reach the part, even if the task is cancelled.
                with CancelScope(shield=True):
                    finished = await self._sync()
            except Exception as error:
                self._failure = error
                await self._close_parts()
                raise
            return finished

    async def close(self, now_us: int) -> list[str]:
        """End the segment that is being written, as `sync` does when its time is over.

        After a failure nothing is left to do: the part stays for `recover_segments`.
        """
        if self._failure is not None:
            return []
        self._end_current(now_us)
        return await self.sync(now_us)

    def _begin(self, at_us: int) -> _Open:
        self._end_current(at_us)
        header = LiveHeader(
            market=self.market,
            kind=self.kind,
            recording=self.recording,
            tool_version=self.tool_version,
            begun_at=self._unused_second(at_us),
            clock_skew_us=self.clock_skew(),
        )
        length_us = self.rotate_s * 1_000_000
        window_us = at_us - at_us % length_us
        # A clock that goes back by a little is waited for.
        self._current = _Open(header.key, window_us - length_us, window_us + length_us)
        self._current.held += header_line(header)
        return self._current

    def _unused_second(self, at_us: int) -> datetime:
        """The time of a segment's first line; later if there is one of this second already.

        That is so if the clock was set back.
        """
        begun_at = moment_of(at_us)
        while (second := begun_at.replace(microsecond=0)) in self._begun:
            begun_at = second + timedelta(seconds=1)
        self._begun.append(second)
        return begun_at

    def _end_current(self, at_us: int) -> None:
        if self._current is not None:
            self._current.ended_us = min(at_us, self._current.end_us)
            self._ended.append(self._current)
            self._current = None

    async def _sync(self) -> list[str]:
        finished = []
        while self._ended:
            segment = self._ended[0]
            await self._finish(segment)
            finished.append(segment.key)
            del self._ended[0]
        if self._current is not None and self._current.held:
            await self._append(self._current)
            durable = [self._current.key + PART_SUFFIX]
            await to_thread.run_sync(self.store.make_durable, durable)
        return finished

    async def _append(self, segment: _Open) -> Part:
        if segment.part is None:
            segment.part = await self._open_part(segment.key)
        text, segment.held = segment.held, bytearray()
        await segment.part.append(await to_thread.run_sync(frame, text))
        return segment.part

    async def _open_part(self, key: str) -> Part:
        folder, _, name = key.rpartition("/")
        if {name, name + PART_SUFFIX} & (await self.store.scan(folder)).keys():
            raise SegmentError(key, "it is stored already; two writers must not share a recording")
        return await self.store.open_part(key, resume=False)

    async def _finish(self, segment: _Open) -> None:
        end = LiveMark(segment.ended_us, END, {"messages": segment.messages})
        segment.held += mark_line(end)
        part = await self._append(segment)
        # The sidecar comes first, so that a segment always has one.
        sidecar = live_sidecar(segment.key, part.sha256())
        await self.store.put(segment.key + SIDECAR_SUFFIX, sidecar, sync=True)
        await part.commit(sync=True)
        await to_thread.run_sync(self.store.make_durable, [segment.key])

    async def _close_parts(self) -> None:
        for segment in (self._current, *self._ended):
            if segment is not None and segment.part is not None:
                await segment.part.close()


def frame(text: bytes | bytearray) -> bytes:
    """Compress whole lines to a zstd frame of their own."""
    import zstandard

    compressor = zstandard.ZstdCompressor(_LEVEL, write_checksum=True, write_content_size=True)
    return compressor.compress(text)
