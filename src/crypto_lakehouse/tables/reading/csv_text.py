"""The CSV text of a source: the member of a zip, what is made of a fill, or an excerpt's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

from attrs import frozen

from crypto_lakehouse.core.archive import Archive
from crypto_lakehouse.core.errors import SegmentError
from crypto_lakehouse.core.origin import Origin
from crypto_lakehouse.segments.fill_rows import csv_rows
from crypto_lakehouse.segments.fill_segment import read_fill
from crypto_lakehouse.tables.reading.fill_requests import FillRequests
from crypto_lakehouse.zips.member import member_chunks

__all__ = ["CsvText", "csv_text"]

#: Lines are passed on in chunks of at least this size.
_CHUNK_BYTES = 1 << 16

_STEP_BYTES = 1 << 20


@frozen
class CsvText:
    """The text of an archive, a fill or an excerpt.

    Attributes:
        chunks: The text; while it is read, the errors of `csv_text` may be raised.
        proven_by: What proves the rows of a fill, as its header says; else empty.
        requests: The requests of a fill, once its text is read; None of others.
    """

    chunks: Iterator[bytes]
    proven_by: str = ""
    requests: FillRequests | None = None


def csv_text(file: BinaryIO, archive: Archive) -> CsvText:
    """Read the text of an archive, a fill or an excerpt.

    Args:
        file: Its bytes, seekable.
        archive: What it is.

    Raises:
        BadMember: The zip is not readable.
        SegmentError: The segment is not readable, or has a response that does not fit its type.
    """
    if archive.origin is Origin.ARCHIVE:
        return CsvText(member_chunks(file, archive.member))
    if archive.origin is Origin.LIVE:
        return CsvText(_decompressed(file, archive.key))
    header, responses = read_fill(file, archive.key)
    requests = FillRequests()
    rows = csv_rows(archive.series, header, requests.passed(responses))
    return CsvText(_chunks(rows), header.proven_by, requests)


def _decompressed(file: BinaryIO, key: str) -> Iterator[bytes]:
    import zstandard

    try:
        with zstandard.ZstdDecompressor().stream_reader(file, closefd=False) as reader:
            while chunk := reader.read(_STEP_BYTES):
                yield chunk
    except zstandard.ZstdError as error:
        raise SegmentError(key, f"its text cannot be decompressed: {error}") from error


def _chunks(lines: Iterable[bytes]) -> Iterator[bytes]:
    held: list[bytes] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line)
        if size >= _CHUNK_BYTES:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)
