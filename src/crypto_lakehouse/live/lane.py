"""Write what comes over one line, and follow its ids."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Protocol

from attrs import define, field

from crypto_lakehouse.core.recording_events import HoleRecorded
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.live.line import LiveTimes
from crypto_lakehouse.live.record_counts import RecordCounts
from crypto_lakehouse.live.series import LiveSeries
from crypto_lakehouse.live.streams import ConnectionPlan, LiveStream, stream_name
from crypto_lakehouse.segments.live_writer import LiveWriter

__all__ = ["Lane", "LaneOwner"]

#: Come all the time: if none comes, some are missing.
_STEADY = frozenset({StreamKind.MARK_PRICE})


class LaneOwner(Protocol):
    """What all lines of a recording share."""

    @property
    def times(self) -> LiveTimes:
        """Where the time comes from."""
        ...

    @property
    def counts(self) -> RecordCounts:
        """What the recording has seen."""
        ...

    @property
    def note(self) -> Callable[[str], None]:
        """Takes a remark for the user."""
        ...

    def saw_hole(self, hole: HoleRecorded, writer: LiveWriter) -> None:
        """Count a hole, and write it to its segment."""
        ...


@define(eq=False)
class Lane:
    """Takes the messages of one line; see `line.Receiver`.

    Args:
        recorder: Knows what all lines have seen.
        plan: The streams of the line.
        by_name: The series and the writer of each, by its name.

    Attributes:
        newest: The newest message.
    """

    recorder: LaneOwner
    plan: ConnectionPlan
    by_name: dict[bytes, tuple[LiveSeries, LiveWriter]]
    newest: bytes = field(init=False, default=b"")
    _open: set[int] = field(init=False, factory=set)
    _since_us: int = field(init=False)
    _seen_us: int = field(init=False, default=0)
    _cause: str = field(init=False, default="")

    def __attrs_post_init__(self) -> None:
        self._since_us = self.recorder.times.wall_us()

    def opened(self, number: int) -> None:
        """See `line.Receiver.opened`."""
        now_us = self.recorder.times.wall_us()
        self.recorder.counts.connections += 1
        for writer in self._writers():
            writer.mark(now_us, "connected", connection=number, streams=len(self.plan.streams))
        if not self._open:
            self._missed_without_ids(now_us)
            self._since_us = now_us
        self._cause = ""
        self._open.add(number)

    def ended(self, number: int, cause: str) -> None:
        """See `line.Receiver.ended`."""
        now_us = self.recorder.times.wall_us()
        self.recorder.counts.ends[cause] += 1
        for writer in self._writers():
            writer.mark(now_us, "closed", connection=number, cause=cause)
        self._open.discard(number)
        if not self._open:
            self._cause = cause
        elif cause.startswith("quiet"):
            self._hole([s for s in self.plan.streams if s.kind in _STEADY], now_us, cause)

    def replaced(self, cause: str) -> None:
        """The line was ended on purpose; another one has those of its streams that go on."""
        now_us = self.recorder.times.wall_us()
        if not self._open:
            self._missed_without_ids(now_us)
        for number in sorted(self._open):
            for writer in self._writers():
                writer.mark(now_us, "closed", connection=number, cause=cause)
            self.recorder.counts.ends[cause] += 1
        self._open.clear()

    def finished(self, elsewhere: Container[LiveStream]) -> None:
        """The recording ends: without a connection, what came since the last one is missing.

        Args:
            elsewhere: Streams that another line receives.
        """
        if self._cause and not self._open:
            streams = [each for each in self.plan.streams if each not in elsewhere]
            cause = f"{self._cause}, and there was no connection until the end"
            self._hole(streams, self.recorder.times.wall_us(), cause)

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return bool(self._open)

    def lag_us(self, us_per_unit: int) -> int | None:
        """How long after its own time the newest message was received, in microseconds.

        Args:
            us_per_unit: The unit of the times in messages.

        Returns:
            By this machine's clock; None if there is no message, or it names no time.
        """
        try:
            event_time = json.loads(self.newest)["data"]["E"]
            return self._seen_us - int(event_time) * us_per_unit
        except (ValueError, KeyError, TypeError, RecursionError):
            return None

    def failed(self, cause: str) -> None:
        """See `line.Receiver.failed`."""
        self.recorder.counts.refusals += 1
        self.recorder.note(f"no connection: {cause}")
        if not self._open:
            self._cause = self._cause or cause

    def message(self, number: int, data: bytes) -> bool:
        """Write a message, and follow its ids; see `line.Receiver.message`."""
        recorder = self.recorder
        self._seen_us = now_us = recorder.times.wall_us()
        self.newest = data
        # A message begins with `{"stream":"`; the name behind it is found without reading JSON.
        found = self.by_name.get(data[11 : data.find(b'"', 11)])
        if found is None:
            found = self.by_name.get(stream_name(data))
        if found is None:
            return self._other(number, data, now_us)
        series, writer = found
        writer.write(now_us, number, data)
        recorder.counts.size_bytes += len(data)
        try:
            series.take(data, recorder.times.local())
        except ValueError as fault:
            recorder.counts.saw_unreadable(series.stream.name, data, fault)
        return False

    def _other(self, number: int, data: bytes, now_us: int) -> bool:
        """Take a message of no stream: it is kept with the first stream of the connection."""
        series, writer = next(iter(self.by_name.values()))
        writer.write(now_us, number, data)
        self.recorder.counts.size_bytes += len(data)
        series.messages += 1
        if b'"serverShutdown"' in data[:200]:
            return True
        fault = ValueError("it is of none of the streams")
        self.recorder.counts.saw_unreadable(series.stream.path or "/stream", data, fault)
        return False

    def _writers(self) -> Iterable[LiveWriter]:
        return {id(writer): writer for _, writer in self.by_name.values()}.values()

    def _missed_without_ids(self, now_us: int) -> None:
        """Say that messages may be missing of which no ids say it: there are none, or none yet."""
        if self._cause:
            series = (each for each, _ in self.by_name.values())
            streams = [s.stream for s in series if s.chain is None or s.chain.first is None]
            self._hole(streams, now_us, self._cause)

    def _hole(self, streams: Sequence[LiveStream], now_us: int, cause: str) -> None:
        """Say that messages may be missing from the last one, or the last connection, up to now."""
        since_us = max(self._since_us, self._seen_us)
        for stream in streams:
            hole = HoleRecorded(
                market=stream.market, stream=stream.name, since_us=since_us, until_us=now_us,
                cause=cause,
            )  # fmt: skip
            self.recorder.saw_hole(hole, self.by_name[stream.name.encode()][1])
