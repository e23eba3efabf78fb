"""Reads archives as typed batches, in bounded memory.

Text is inflated a mebibyte at a time and collected in batches: a large archive is split into
several batches, and small archives of the same form share one, because to start a parse costs more
than to parse their few rows. No Python object is made per row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

import polars as pl
from attrs import define, evolve, field, frozen

from crypto_lakehouse.core.errors import ArchiveRefused, SegmentError, StoreError
from crypto_lakehouse.core.file_identity import OpenedVersion
from crypto_lakehouse.core.origin import Origin
from crypto_lakehouse.stores.objects.errors import ObjectReplaced
from crypto_lakehouse.tables.reading.batch import Batch, CsvForm, Piece, Source
from crypto_lakehouse.tables.reading.counted_lines import LINE_BYTES, CountedLines
from crypto_lakehouse.tables.reading.csv_text import CsvText, csv_text
from crypto_lakehouse.tables.reading.fault_finder import first_fault
from crypto_lakehouse.tables.reading.parse import NotReadable, frame_of
from crypto_lakehouse.tables.reading.read_ahead import opened_ahead
from crypto_lakehouse.tables.reading.sniff import form_of, form_without_rows
from crypto_lakehouse.tables.schema.received import recorded_schema
from crypto_lakehouse.tables.schema.schemas import Column, TableSchema
from crypto_lakehouse.zips.member import BadMember

__all__ = ["BATCH_BYTES", "Refused", "read_batches"]

#: CSV bytes of a batch. The frame takes about half of that; larger batches were not faster.
BATCH_BYTES = 16 << 20

#: The form of a file is detected from this many bytes, which hold at least its first two lines,
#: unless the second one is unusually long.
_SNIFFED_BYTES = LINE_BYTES + 4096


@frozen
class Refused:
    """An archive that cannot be read; earlier batches may hold some of its rows.

    Attributes:
        state: `refused` if its bytes are the reason, so that the next run would refuse them, too;
            `held_back` if they cannot be read at present; `arriving` if another version has
            replaced the one that was to be read.
    """

    source: Source
    error: ArchiveRefused
    state: str = "refused"


class _ReplacedError(Exception):
    """The file is not the version that has the archive's digest."""


def read_batches(
    sources: Iterable[Source],
    schema: TableSchema,
    *,
    exact: bool = False,
    batch_bytes: int = BATCH_BYTES,
) -> Iterator[Batch | Refused]:
    """Read archives of one table, in the order given.

    Args:
        sources: The archives; their zips are opened one after another.
        schema: Their table.
        exact: Whether numbers become decimal(38, 18) instead of float64.
        batch_bytes: CSV bytes of a batch, which a line may exceed.

    Yields:
        Batches, and a `Refused` for each archive that cannot be read.
    """
    gathering = _Gathering(schema, exact=exact)
    with opened_ahead(sources) as coming:
        for source, opened in coming:
            try:
                own = _schema_of(source, schema)
                for text in _texts(source, opened, own, batch_bytes):
                    if not gathering.fits(text.form, text.size, batch_bytes):
                        yield from gathering.flush()
                    gathering.add(text)
            except (ArchiveRefused, OSError, StoreError, _ReplacedError) as error:
                refused = _refused(source, error)
                gathering.forget(source)
                yield from gathering.flush()
                yield refused
    yield from gathering.flush()


def _schema_of(source: Source, schema: TableSchema) -> TableSchema:
    """The columns of a text: an excerpt also has the times when its rows were received."""
    return recorded_schema(schema) if source.archive.origin is Origin.LIVE else schema


def _refused(
    source: Source, error: ArchiveRefused | OSError | StoreError | _ReplacedError
) -> Refused:
    if isinstance(error, ArchiveRefused):
        return Refused(source, error)
    if isinstance(error, _ReplacedError | ObjectReplaced):
        reason = "another version replaced it before it was read"
        return Refused(source, ArchiveRefused(source.archive.key, reason), "arriving")
    if isinstance(error, StoreError):
        if error.stops_run:
            raise error
        why = error.reason
    else:
        why = error.strerror or str(error)
    noun = "zip" if source.archive.origin is Origin.ARCHIVE else "segment"
    reason = f"its {noun} cannot be read: {why}"
    return Refused(source, ArchiveRefused(source.archive.key, reason), "held_back")


@frozen(eq=False)
class _ArchiveText:
    """Whole lines of one archive, without its header."""

    source: Source
    form: CsvForm
    chunks: list[bytes]
    rows: int
    first_line: int
    begins: bool
    ends: bool

    @property
    def size(self) -> int:
        return sum(map(len, self.chunks))


def _texts(
    source: Source,
    opened: Callable[[], AbstractContextManager[OpenedVersion]],
    schema: TableSchema,
    batch_bytes: int,
) -> Iterator[_ArchiveText]:
    """Cut an archive's text at line ends.

    Raises:
        ArchiveRefused: The zip or the form of the file is not valid.
        _ReplacedError: The file is another version than the one with the source's digest.
    """
    with opened() as version:
        _check_version(source, version)
        try:
            text = csv_text(version.file, source.archive)
            yield from _cut(source, text, schema, batch_bytes)
        except (BadMember, SegmentError) as error:
            _check_version(source, version)
            reason = error.reason if isinstance(error, SegmentError) else str(error)
            raise ArchiveRefused(source.archive.key, reason) from error
        except ArchiveRefused:
            _check_version(source, version)
            raise
        _check_version(source, version)


def _check_version(source: Source, version: OpenedVersion) -> None:
    """Check that an open file is the version whose digest will be recorded with its rows."""
    if source.identity not in {None, version.identity()}:
        raise _ReplacedError


def _cut(
    source: Source, text: CsvText, schema: TableSchema, batch_bytes: int
) -> Iterator[_ArchiveText]:
    chunks = CountedLines(source.archive.key, text.chunks)
    form, held, line = _begin(chunks, schema, source.archive.origin)
    if text.requests is not None:
        form = evolve(form, proven_by=text.proven_by, requests=text.requests)
    size, begins = sum(map(len, held)), True
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        end = chunk.rfind(b"\n") + 1
        if size < batch_bytes or not end:
            continue
        held[-1], rest = chunk[:end], chunk[end:]
        rows = chunks.ends - line + 1
        yield _ArchiveText(source, form, held, rows, line, begins, ends=False)
        line, begins = line + rows, False
        held, size = [rest], len(rest)
    rows = max(0, chunks.ends - line + 1)  # a header alone may have no line end
    if held[-1] and not held[-1].endswith(b"\n"):
        held.append(b"\n")
        rows += 1
    yield _ArchiveText(source, form, held, rows, line, begins, ends=True)


def _begin(
    chunks: CountedLines, schema: TableSchema, origin: Origin
) -> tuple[CsvForm, list[bytes], int]:
    """The file's form, its beginning without the header, and the number of its first line."""
    first = bytearray()
    for chunk in chunks:
        first += chunk
        if len(first) > LINE_BYTES:
            break
    if not first and origin is not Origin.ARCHIVE:  # on that day nothing happened
        return form_without_rows(schema), [b""], 1
    if not first:
        raise ArchiveRefused(chunks.key, "the file is empty")
    form = form_of(bytes(first[:_SNIFFED_BYTES]), schema, chunks.key)
    if form.header:
        del first[: first.find(b"\n") + 1 or None]
    return form, [bytes(first)], 2 if form.header else 1


@define
class _Gathering:
    """Collects texts of the same form for one batch, which is parsed at once."""

    schema: TableSchema
    exact: bool = field(kw_only=True)
    texts: list[_ArchiveText] = field(factory=list)
    size: int = 0

    def fits(self, form: CsvForm, size: int, batch_bytes: int) -> bool:
        if not self.texts:
            return True
        held = self.texts[0].form
        same = held.columns == form.columns and held.time_unit == form.time_unit
        return same and self.size + size <= batch_bytes

    def add(self, text: _ArchiveText) -> None:
        self.texts.append(text)
        self.size += text.size

    def forget(self, source: Source) -> None:
        """Drop the texts of an archive that is unreadable."""
        self.texts = [text for text in self.texts if text.source is not source]

    def flush(self) -> Iterator[Batch | Refused]:
        texts, self.texts, self.size = self.texts, [], 0
        if not texts:
            return
        try:
            yield self._batch(texts)
        except NotReadable:
            yield from self._one_by_one(texts)

    def _batch(self, texts: list[_ArchiveText]) -> Batch:
        form = texts[0].form
        columns = columns_of(form, _schema_of(texts[0].source, self.schema))
        joined = b"".join(chunk for text in texts for chunk in text.chunks)
        rows = sum(text.rows for text in texts)
        frame = frame_of(joined, rows, columns, form.time_unit, exact=self.exact)
        pieces = tuple(
            Piece(text.source, text.form, text.rows, text.begins, text.ends,
                  text.first_line)
            for text in texts
        )  # fmt: skip
        for name in (column.name for column in columns if column.constant):
            if not _names_its_symbol(frame[name], pieces):
                raise NotReadable
            frame = frame.drop(name)
        return Batch(self.schema, pieces, frame)

    def _one_by_one(self, texts: list[_ArchiveText]) -> Iterator[Batch | Refused]:
        for text in texts:
            try:
                yield self._batch([text])
            except NotReadable:
                yield Refused(text.source, self._refusal(text))

    def _refusal(self, text: _ArchiveText) -> ArchiveRefused:
        archive = text.source.archive
        columns = columns_of(text.form, _schema_of(text.source, self.schema))
        fault = first_fault(
            b"".join(text.chunks), columns, text.form.time_unit, archive, exact=self.exact
        )
        if fault is None:
            return ArchiveRefused(archive.key, "its rows cannot be read", text.first_line)
        line, column, reason = fault
        return ArchiveRefused(archive.key, reason, text.first_line + line, column)


def _names_its_symbol(values: pl.Series, pieces: Iterable[Piece]) -> bool:
    begin = 0
    for piece in pieces:
        part = values.slice(begin, piece.rows)
        if not (part == piece.source.archive.symbol).all():
            return False
        begin += piece.rows
    return True


def columns_of(form: CsvForm, schema: TableSchema) -> list[Column]:
    """The schema's columns that a file of this form has, in its order."""
    named = {column.published: column for column in schema.columns}
    return [named[name] for name in form.columns]
