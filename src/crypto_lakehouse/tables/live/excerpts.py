"""Splits a segment of a recording into excerpts: the rows of each series and UTC day."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
from attrs import define, field, frozen

from crypto_lakehouse.core.archive import Archive, Origin, Period, Series
from crypto_lakehouse.core.data_types import data_type_of
from crypto_lakehouse.core.live_keys import live_name_of
from crypto_lakehouse.core.messages import shown
from crypto_lakehouse.segments.live_rows import BadMessage, LiveEvent, LiveRows
from crypto_lakehouse.segments.live_segment import (
    LiveHeader,
    LiveLine,
    LiveMark,
    LiveMessage,
    read_live,
)
from crypto_lakehouse.tables.live.copies import without_copies
from crypto_lakehouse.tables.live.live_columns import LINE, LiveColumns
from crypto_lakehouse.tables.live.spool import RowSpool
from crypto_lakehouse.tables.schema.schemas import Column, schema_for

__all__ = [
    "BadMessages",
    "Excerpt",
    "Split",
    "Wanted",
    "excerpt_text",
    "split_lines",
    "split_segment",
]

#: What is said of a message that has the id of another one, and is not its copy.
DIFFERING = "it has the id of an earlier message, and says something else"

#: Marks of what is missing.
_HOLES = frozenset({"gap", "broken_book"})

#: Marks that are kept of a segment.
_MOST_HOLES = 10_000

#: Rows are sorted when they have so many bytes as text: a few times as much in memory.
BATCH_BYTES = 32 << 20

_GROUP = "_group"

_DAY_US = 86_400_000_000

_EPOCH = date(1970, 1, 1)

_SHOWN_BYTES = 300

_STEP_BYTES = 1 << 20

Wanted = Callable[[Series, date], bool]
"""Whether the rows of a series and UTC day are selected."""


@frozen(kw_only=True)
class Excerpt:
    """The rows that a segment has of one series and one UTC day.

    Attributes:
        archive: Its name among the archives.
        path: The file with its rows; `excerpt_text` reads it.
        rows: How many there are; at least one.
        first_key, last_key: The smallest and the largest key, as the columns of the table's key:
            numbers are decimals, and times are in microseconds since 1970.
        first_time_us, last_time_us: The first and the last time, in microseconds since 1970.
    """

    archive: Archive
    path: Path
    rows: int
    first_key: tuple[Any, ...]
    last_key: tuple[Any, ...]
    first_time_us: int
    last_time_us: int


@define
class BadMessages:
    """Messages that are no rows, for one reason.

    Attributes:
        messages: How many there are.
        line: The number of the first one's line in the segment, counted from 1.
        example: The beginning of the first one.
    """

    messages: int
    line: int
    example: str


@frozen(kw_only=True)
class Split:
    """What a segment holds.

    Attributes:
        header: Its header.
        excerpts: Its rows, by series and day.
        messages: How many messages it has.
        copies: How many were left out, as an earlier one has the same id.
        bad: Messages that are no rows, by reason.
        holes: What the recording says is missing.
        ended_at_us: The time of its last line, in microseconds since 1970.
    """

    header: LiveHeader
    excerpts: tuple[Excerpt, ...]
    messages: int
    copies: int
    bad: Mapping[str, BadMessages]
    holes: tuple[LiveMark, ...]
    ended_at_us: int


def split_segment(
    file: BinaryIO, key: str, sidecar: bytes, folder: Path, *, batch_bytes: int = BATCH_BYTES
) -> Split:
    """Split a segment in one pass and bounded memory; blocking.

    Args:
        file: Its bytes.
        key: Its object key.
        sidecar: The bytes of its sidecar.
        folder: An existing folder for the files of excerpts, and for what is needed on the way. The
            caller removes it, also after an error.
        batch_bytes: Rows are sorted when they have so many bytes as text.

    Raises:
        SegmentError: It is damaged, or not the one that its sidecar names.
        OSError: A file cannot be written.
    """
    return split_lines(*read_live(file, key, sidecar), folder, batch_bytes=batch_bytes)


def split_lines(
    header: LiveHeader,
    lines: Iterable[LiveLine],
    folder: Path,
    *,
    wanted: Wanted | None = None,
    batch_bytes: int = BATCH_BYTES,
) -> Split:
    """Split what was read of a segment, as `split_segment` does.

    Args:
        header: Its header.
        lines: Its other lines.
        folder: As there.
        wanted: Selects excerpts; None for all.
        batch_bytes: As there.

    Raises:
        SegmentError: The segment is damaged.
        OSError: A file cannot be written.
    """
    columns = LiveColumns.of(schema_for(header.market, data_type_of(header.kind)))
    with RowSpool(folder, columns.place) as spool:
        splitting = _Splitting(header, columns, spool, batch_bytes, wanted)
        for number, line in enumerate(lines, 2):
            if isinstance(line, LiveMessage):
                splitting.take(number, line)
            else:
                splitting.mark(line)
        splitting.flush(is_last=True)
        excerpts = tuple(splitting.excerpts(folder, live_name_of(header.key)))
    return Split(
        header=header,
        excerpts=excerpts,
        messages=splitting.messages,
        copies=splitting.copies,
        bad=splitting.bad,
        holes=tuple(splitting.holes),
        ended_at_us=splitting.ended_at_us,
    )


def excerpt_text(path: Path) -> Iterator[bytes]:
    """Yield the text of an excerpt: CSV without a header, whose columns are `excerpt_columns`.

    Times are in microseconds since 1970, and what is NULL is empty.

    Raises:
        OSError: It cannot be read.
    """
    import zstandard

    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as reader:
        while chunk := reader.read(_STEP_BYTES):
            yield chunk


@define
class _Splitting:
    """The state of a split.

    Attributes:
        groups: The number of each series and day, counted from 0.
        left_out: Those that are not wanted.
        held: Rows that are not sorted yet: their group, their columns, the time when they were
            received, and the number of their line.
    """

    header: LiveHeader
    columns: LiveColumns
    spool: RowSpool
    batch_bytes: int
    wanted: Wanted | None
    messages: int = field(init=False, default=0)
    copies: int = field(init=False, default=0)
    bad: dict[str, BadMessages] = field(init=False, factory=dict)
    holes: list[LiveMark] = field(init=False, factory=list)
    ended_at_us: int = field(init=False, default=0)
    groups: dict[tuple[Series, int], int] = field(init=False, factory=dict)
    left_out: set[int] = field(init=False, factory=set)
    held: list[str] = field(init=False, factory=list)
    held_bytes: int = field(init=False, default=0)
    _rows: LiveRows = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._rows = LiveRows(self.header)

    def take(self, line: int, message: LiveMessage) -> None:
        """Take a message."""
        self.messages += 1
        self.ended_at_us = message.received_at_us
        try:
            event = self._rows.event_of(message)
        except BadMessage as error:
            self._refuse(str(error), line, message.body)
            return
        if event is not None and event.rows:
            self._hold(event, line, message.received_at_us)

    def mark(self, mark: LiveMark) -> None:
        """Take a mark."""
        self.ended_at_us = mark.at_us
        if mark.name in _HOLES and len(self.holes) < _MOST_HOLES:
            self.holes.append(mark)

    def _refuse(self, reason: str, line: int, body: bytes) -> None:
        bad = self.bad.get(reason)
        if bad is not None:
            bad.messages += 1
            return
        example = shown(body[:_SHOWN_BYTES].decode(errors="replace"))
        self.bad[reason] = BadMessages(1, line, example)

    def _hold(self, event: LiveEvent, line: int, received_at_us: int) -> None:
        place = event.series, event.time_us // _DAY_US
        group = self.groups.get(place)
        if group is None:
            group = self.groups[place] = len(self.groups)
            if self.wanted and not self.wanted(place[0], _day(place[1])):
                self.left_out.add(group)
        if group in self.left_out:
            return
        for row in event.rows:
            text = f"{group},{row},{received_at_us},{line}\n"
            self.held.append(text)
            self.held_bytes += len(text)
        if self.held_bytes >= self.batch_bytes:
            self.flush(is_last=False)

    def flush(self, *, is_last: bool) -> None:
        """Sort the rows that are held, and give them to the spool."""
        if not self.held:
            return
        text = "".join(self.held).encode()
        self.held, self.held_bytes = [], 0
        frame = pl.read_csv(
            text,
            has_header=False,
            quote_char=None,
            schema={_GROUP: pl.Int64, **self.columns.types, LINE: pl.Int64},
        )
        frame = frame.sort(self.columns.order([_GROUP]))
        for part in frame.partition_by(_GROUP, maintain_order=True):
            self.spool.add(part[_GROUP][0], part.drop(_GROUP), is_last=is_last)

    def excerpts(self, folder: Path, segment: str) -> Iterator[Excerpt]:
        """Write each excerpt to its file."""
        places = list(self.groups)
        order = self.columns.order()
        for group in self.spool.groups():
            series, day = places[group]
            period = Period.day(_day(day))
            archive = Archive(series, period, Origin.LIVE, segment)
            yield self._written(archive, self.spool.parts(group, order), folder / f"{group}.zst")

    def _written(self, archive: Archive, parts: Iterator[pl.DataFrame], path: Path) -> Excerpt:
        import zstandard

        edges = _Edges(self.columns)
        with path.open("wb") as file, zstandard.ZstdCompressor(1).stream_writer(file) as writer:
            for part in parts:
                cleaned = without_copies(part, self.columns)
                self.copies += cleaned.copies
                for line in cleaned.differing:
                    self._refuse_line(line)
                frame = cleaned.frame.select(self.columns.names)
                edges.extend(frame)
                buffer = io.BytesIO()
                frame.write_csv(buffer, include_header=False)
                writer.write(buffer.getbuffer())
        return edges.excerpt(archive, path)

    def _refuse_line(self, line: int) -> None:
        bad = self.bad.setdefault(DIFFERING, BadMessages(0, line, ""))
        bad.messages += 1
        bad.line = min(bad.line, line)


def _day(number: int) -> date:
    return _EPOCH + timedelta(days=number)


@define
class _Edges:
    """The number of rows of an excerpt, and its first and last keys and times."""

    columns: LiveColumns
    rows: int = field(init=False, default=0)
    keys: list[tuple[Any, ...]] = field(init=False, factory=list)
    times: list[int] = field(init=False, factory=list)

    def extend(self, frame: pl.DataFrame) -> None:
        """Take sorted rows behind those before."""
        keys, time = frame.select(self.columns.schema.key), frame[self.columns.schema.time]
        self.rows += frame.height
        self.keys = [*self.keys[:1], keys.row(0), keys.row(-1)]
        self.times += [int(time.min()), int(time.max())]  # type: ignore[arg-type]

    def excerpt(self, archive: Archive, path: Path) -> Excerpt:
        """What is known at the end."""
        kinds = {column.name: column for column in self.columns.columns}
        key = [kinds[name] for name in self.columns.schema.key]
        return Excerpt(
            archive=archive,
            path=path,
            rows=self.rows,
            first_key=_values(self.keys[0], key),
            last_key=_values(self.keys[-1], key),
            first_time_us=min(self.times),
            last_time_us=max(self.times),
        )


def _values(row: tuple[Any, ...], columns: list[Column]) -> tuple[Any, ...]:
    return tuple(
        Decimal(value) if column.kind == "number" else value
        for value, column in zip(row, columns, strict=True)
    )
