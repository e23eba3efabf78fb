"""Reads archives that are to be merged: their rows in parts, each with the key of its archive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl
from attrs import frozen

from crypto_lakehouse.tables.ingest.merge_settings import MergeSettings
from crypto_lakehouse.tables.ingest.stored_rows import ARCHIVE
from crypto_lakehouse.tables.quality.findings import ArchiveQuality
from crypto_lakehouse.tables.quality.inspector import Checked, Inspector
from crypto_lakehouse.tables.quality.known_row_holes import load_known_row_holes
from crypto_lakehouse.tables.reading.batch import Batch, Source
from crypto_lakehouse.tables.reading.reader import Refused, read_batches
from crypto_lakehouse.tables.schema.received import RECEIVED_AT

__all__ = ["ArchivePart", "archive_parts"]


@frozen(eq=False)
class ArchivePart:
    """Some rows of an archive; the last part says what the archive as a whole is like.

    Attributes:
        source: The archive.
        rows: The rows, with the column `archive`; None if it cannot be read.
        quality: What was found; None if more parts follow.
        state: As in `Refused`, if it cannot be read.
    """

    source: Source
    rows: pl.DataFrame | None
    quality: ArchiveQuality | None = None
    state: str = "refused"


def archive_parts(sources: list[Source], settings: MergeSettings) -> Iterator[ArchivePart]:
    """Read and check archives, one after the other.

    The rows of one key are in one part, whatever the size of the parts: they are compared at once.
    """
    held: pl.DataFrame | None = None
    for part in _checked_parts(sources, settings):
        rows = part.rows
        if rows is not None and held is not None:
            rows = pl.concat([held, rows])
        held = None
        if rows is not None and part.quality is None:
            rows, held = _before_last_key(rows, settings.schema.key)
        yield ArchivePart(part.source, rows, part.quality, part.state)


def _before_last_key(
    rows: pl.DataFrame, key: Sequence[str]
) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Take off the rows at the end that have the same key."""
    if rows.is_empty():
        return rows, None
    runs = rows.select(pl.struct(key).rle_id().alias("run"))["run"]
    count = int((runs == runs[-1]).sum())
    return rows.head(rows.height - count), rows.tail(count)


def _checked_parts(sources: list[Source], settings: MergeSettings) -> Iterator[ArchivePart]:
    checker = Inspector(settings.schema, settings.policies, load_known_row_holes())
    for batch in read_batches(sources, settings.schema, exact=settings.exact):
        if isinstance(batch, Refused):
            checker.forget(batch.source)
            fault = ArchiveQuality(key=batch.source.archive.key, fault=batch.error.fault)
            yield ArchivePart(batch.source, None, fault, batch.state)
        else:
            yield from _pieces(batch, checker.check(batch), settings.columns)


def _pieces(batch: Batch, checked: Checked, columns: Sequence[str]) -> Iterator[ArchivePart]:
    ended = {quality.key: quality for quality in checked.qualities}
    begin = 0
    received = [RECEIVED_AT] if RECEIVED_AT in checked.frame.columns else []
    for piece, count in zip(batch.pieces, checked.rows, strict=True):
        rows = checked.frame.slice(begin, count).select([*dict.fromkeys([*columns, *received])])
        begin += count
        key = piece.source.archive.key
        named = rows.with_columns(pl.lit(key).alias(ARCHIVE))
        yield ArchivePart(piece.source, named, ended.get(key) if piece.ends else None)
