"""Reads the lines of a segment as rows, and sorts them in batches."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import polars as pl
from attrs import define, field

from crypto_lakehouse.core.archive import Series
from crypto_lakehouse.core.messages import shown
from crypto_lakehouse.segments.live_lines import LiveMark, LiveMessage, check_end, parse_line
from crypto_lakehouse.segments.live_rows import BadMessage, LiveRows
from crypto_lakehouse.segments.live_segment import LiveHeader
from crypto_lakehouse.segments.live_values import is_time_us
from crypto_lakehouse.tables.live.line_patterns import SERIES, LinePatterns
from crypto_lakehouse.tables.live.live_columns import LINE, LiveColumns
from crypto_lakehouse.tables.live.spool import GroupSpool

__all__ = ["BATCH_BYTES", "DIFFERING", "BadMessages", "SegmentRows", "Wanted", "day_of"]

#: What is said of a message that has the id of another one, and is not its copy.
DIFFERING = "it has the id of an earlier message, and says something else"

#: Rows are sorted when they have so many bytes as text: in memory they have a few times as many.
BATCH_BYTES = 32 << 20

#: Marks of what is missing.
_HOLES = frozenset({"gap", "broken_book"})

#: Marks that are kept of a segment.
_MOST_HOLES = 10_000

_DAY = "_day"

_DAY_US = 86_400_000_000

_EPOCH = date(1970, 1, 1)

_SHOWN_BYTES = 300

Wanted = Callable[[Series, date], bool]
"""Whether the rows of a series and UTC day are selected."""


def day_of(number: int) -> date:
    """The day that is so many days behind 1970-01-01."""
    return _EPOCH + timedelta(days=number)


@define
class BadMessages:
    """Messages that are no rows, for one reason.

    Attributes:
        messages: How many there are.
        line: The number of the first one's line in the segment, counted from 1.
        example: The beginning of the first one; empty if it is not at hand.
    """

    messages: int
    line: int
    example: str


@define
class SegmentRows:
    """The rows of one segment.

    Args:
        header: The segment's.
        key: Its object key, for errors.
        columns: Those of its table.
        spool: Takes sorted rows; a group is the number of a series, and a day since 1970.
        batch_bytes: Rows are sorted when they have so many bytes as text.
        wanted: Selects series and days; None for all.

    Attributes:
        messages: How many there are.
        bad: Those that are no rows, by reason.
        holes: Marks of what is missing.
        ended_at_us: The latest time of a line; 0 if there is none.
        series: The series, by their numbers.
    """

    header: LiveHeader
    key: str
    columns: LiveColumns
    spool: GroupSpool
    batch_bytes: int
    wanted: Wanted | None = None
    messages: int = field(init=False, default=0)
    bad: dict[str, BadMessages] = field(init=False, factory=dict)
    holes: list[LiveMark] = field(init=False, factory=list)
    ended_at_us: int = field(init=False, default=0)
    series: list[Series] = field(init=False, factory=list)
    _numbers: dict[Series, int] = field(init=False, factory=dict)
    _reader: LiveRows = field(init=False)
    _patterns: LinePatterns = field(init=False)
    _frames: list[pl.DataFrame] = field(init=False, factory=list)
    _texts: list[str] = field(init=False, factory=list)
    _held_bytes: int = field(init=False, default=0)
    _marks: int = field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        self._reader = LiveRows(self.header)
        self._patterns = LinePatterns(self.header, self.columns, self._number_of)

    def take(self, first: int, block: bytes) -> None:
        """Take some lines.

        Args:
            first: The number of the first one, counted from 1.
            block: The lines, each with its end.

        Raises:
            SegmentError: One is neither a message nor a mark, or the end names another number of
                messages.
            OSError: The spool cannot be written.
        """
        try:
            lines = block[:-1].decode().split("\n")
            is_text = True
        except UnicodeDecodeError:
            lines = block[:-1].decode(errors="surrogateescape").split("\n")
            is_text = False
        at = 0
        while at < len(lines) and not (is_text and self._patterns.is_known):
            self._read_one(first + at, lines[at])
            at += 1
        if at < len(lines):
            for other in self._read_many(first + at, lines[at:], len(block)):
                self._read_one(first + at + other, lines[at + other])
        self.messages = first - 2 + len(lines) - self._marks
        if self._held_bytes >= self.batch_bytes:
            self.flush(is_last=False)

    def _read_many(self, first: int, texts: list[str], size_bytes: int) -> list[int]:
        """Read the lines that a pattern matches; return the places of the others."""
        found = self._patterns.read(texts, first)
        self.ended_at_us = max(self.ended_at_us, found.last_us)
        if found.frame is not None and found.frame.height:
            self._frames.append(found.frame)
            self._held_bytes += size_bytes * found.frame.height // len(texts)
        return found.others

    def _read_one(self, number: int, text: str) -> None:
        line = parse_line(text.encode(errors="surrogateescape"), self.key, number)
        if isinstance(line, LiveMark):
            self._take_mark(line, number)
        else:
            self._take_message(line, number)

    def _take_mark(self, mark: LiveMark, number: int) -> None:
        check_end(mark, number - 2 - self._marks, self.key, number)
        self._marks += 1
        self._saw(mark.at_us)
        if mark.name in _HOLES and len(self.holes) < _MOST_HOLES:
            self.holes.append(mark)

    def _take_message(self, message: LiveMessage, number: int) -> None:
        self._saw(message.received_at_us)
        try:
            event = self._reader.event_of(message)
        except BadMessage as error:
            self.refuse(str(error), number, message.body)
            return
        if event is not None:
            of = self._number(event.series)
            behind = f",{message.received_at_us},{number}\n"
            texts = [f"{of},{row}{behind}" for row in event.rows]
            self._texts += texts
            # A level of a book is short, and its row repeats what is said once in the message.
            self._held_bytes += sum(map(len, texts))
            if self._held_bytes >= self.batch_bytes:
                self.flush(is_last=False)
        if self._patterns.can_learn:
            self._patterns.learn(message)

    def _saw(self, time_us: int) -> None:
        if is_time_us(time_us):
            self.ended_at_us = max(self.ended_at_us, time_us)

    def refuse(self, reason: str, line: int, body: bytes = b"") -> None:
        """Count a message that is no row.

        Args:
            reason: Why.
            line: The number of its line.
            body: The message; empty if it is not at hand.
        """
        bad = self.bad.get(reason)
        if bad is None:
            example = shown(body[:_SHOWN_BYTES].decode(errors="replace"))
            bad = self.bad[reason] = BadMessages(0, line, example)
        bad.messages += 1
        bad.line = min(bad.line, line)

    def _number(self, series: Series) -> int:
        number = self._numbers.setdefault(series, len(self.series))
        if number == len(self.series):
            self.series.append(series)
        return number

    def _number_of(self, of_stream: str, interval: str, symbol: str) -> int | None:
        try:
            return self._number(self._reader.series_of(of_stream, interval, symbol))
        except BadMessage:
            return None

    def flush(self, *, is_last: bool) -> None:
        """Sort the rows that are held, and give them to the spool.

        Args:
            is_last: Whether no more lines come.

        Raises:
            OSError: The spool cannot be written.
        """
        frames, self._frames, self._held_bytes = self._frames, [], 0
        if self._texts:
            text, self._texts = "".join(self._texts).encode(), []
            types = {SERIES: pl.Int64, **self.columns.types, LINE: pl.Int64}
            frames.append(pl.read_csv(text, has_header=False, quote_char=None, schema=types))
        if not frames:
            return
        day = (pl.col(self.columns.schema.time) // _DAY_US).alias(_DAY)
        group = [SERIES, _DAY]
        frame = self._selected(pl.concat(frames).with_columns(day), group)
        frame = frame.sort(self.columns.order(group))
        parts = frame.partition_by(group, maintain_order=True, include_key=False, as_dict=True)
        for (of, on), part in parts.items():
            self.spool.add((of, on), part, is_last=is_last)

    def _selected(self, frame: pl.DataFrame, group: list[str]) -> pl.DataFrame:
        if self.wanted is None:
            return frame
        there = frame.select(group).unique()
        chosen = [self.wanted(self.series[of], day_of(on)) for of, on in there.iter_rows()]
        return frame.join(there.filter(chosen), on=group, how="semi")
