"""Splits a segment of a recording into excerpts: the rows of each series and UTC day."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
from attrs import define, field, frozen

from crypto_lakehouse.core.archive import Archive, Origin, Period
from crypto_lakehouse.core.data_types import data_type_of
from crypto_lakehouse.core.live_keys import live_name_of
from crypto_lakehouse.segments.live_segment import LiveHeader, LiveLines, LiveMark, read_live
from crypto_lakehouse.tables.live.copies import without_copies
from crypto_lakehouse.tables.live.live_columns import LiveColumns
from crypto_lakehouse.tables.live.segment_rows import (
    BATCH_BYTES,
    DIFFERING,
    BadMessages,
    SegmentRows,
    Wanted,
    day_of,
)
from crypto_lakehouse.tables.live.spool import GroupSpool
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

_STEP_BYTES = 1 << 20


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
        ended_at_us: The latest time of its lines, in microseconds since 1970; 0 if it has none.
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
    lines: LiveLines,
    folder: Path,
    *,
    wanted: Wanted | None = None,
    batch_bytes: int = BATCH_BYTES,
) -> Split:
    """Split what was read of a segment, as `split_segment` does.

    Args:
        header: Its header.
        lines: Its other lines, of which none was read yet.
        folder: As there.
        wanted: Selects excerpts; None for all.
        batch_bytes: As there.

    Raises:
        SegmentError: The segment is damaged.
        OSError: A file cannot be written.
    """
    columns = LiveColumns.of(schema_for(header.market, data_type_of(header.kind)))
    with GroupSpool(folder, columns.place) as spool:
        reading = SegmentRows(header, lines.key, columns, spool, batch_bytes, wanted)
        for first, block in lines.blocks:
            reading.take(first, block)
        reading.flush(is_last=True)
        writing = _Writing(reading, columns, folder)
        excerpts = tuple(writing.excerpts(spool, live_name_of(header.key)))
    return Split(
        header=header,
        excerpts=excerpts,
        messages=reading.messages,
        copies=writing.copies,
        bad=reading.bad,
        holes=tuple(reading.holes),
        ended_at_us=reading.ended_at_us,
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
class _Writing:
    """Writes excerpts, and counts the copies that are left out."""

    reading: SegmentRows
    columns: LiveColumns
    folder: Path
    copies: int = field(init=False, default=0)

    def excerpts(self, spool: GroupSpool, segment: str) -> Iterator[Excerpt]:
        """Write each excerpt to its file."""
        order = self.columns.order()
        for number, (of, day) in enumerate(spool.groups()):
            archive = Archive(
                self.reading.series[of], Period.day(day_of(day)), Origin.LIVE, segment
            )
            yield self._written(archive, spool.parts((of, day), order), f"{number}.csv.zst")

    def _written(self, archive: Archive, parts: Iterator[pl.DataFrame], name: str) -> Excerpt:
        import zstandard

        path, edges = self.folder / name, _Edges(self.columns)
        with path.open("wb") as file, zstandard.ZstdCompressor(1).stream_writer(file) as writer:
            for part in parts:
                cleaned = without_copies(part, self.columns)
                self.copies += cleaned.copies
                for line in cleaned.differing:
                    self.reading.refuse(DIFFERING, line)
                frame = cleaned.frame.select(self.columns.names)
                edges.extend(frame)
                buffer = io.BytesIO()
                frame.write_csv(buffer, include_header=False)
                writer.write(buffer.getbuffer())
        return edges.excerpt(archive, path)


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
