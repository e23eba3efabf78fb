"""Segments of REST responses: compressed lines of JSON, read in bounded memory.

The first line is the header, each other one a response in the order of the requests::

    {"format": 1, "market": "spot", "data_type": "klines", "symbol": "BTCUSDT", "interval": "1m",
     "day": "2026-05-07", "proven_by": "", "complete": true, "tool_version": ..., "filled_at": ...}
    {"url": "https://data-api.binance.vision/api/v3/klines", "params": {"symbol": "BTCUSDT", ...},
     "received_at": "2026-05-08T12:00:00.123456+00:00", "server_time": ..., "status": 200,
     "sha256": "...", "body": "[[1778112000000000, ..."}

A body is a text, not JSON in JSON: its digest is that of the bytes that came.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import IO, BinaryIO

from crypto_lakehouse.core.errors import SegmentError
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.segments.fill_lines import (
    FORMAT,
    FillHeader,
    FillResponse,
    fill_key,
    header_line,
    read_header,
    read_response,
    response_line,
)
from crypto_lakehouse.segments.json_lines import whole_lines

__all__ = [
    "FORMAT",
    "LINE_BYTES",
    "MOST_BYTES",
    "FillHeader",
    "FillResponse",
    "fill_key",
    "read_fill",
    "write_fill",
    "write_lines",
]

#: The largest segment that is read, decompressed; a day of the busiest symbol has a tenth of it.
MOST_BYTES = 4 << 30

#: The longest line that is read; a page of responses has less than one mebibyte.
LINE_BYTES = 64 << 20

_LEVEL = 9

_STEP_BYTES = 1 << 20

#: Memory that a decoder may use; the compressor's windows are smaller.
_WINDOW_BYTES = 1 << 27


def write_fill(header: FillHeader, responses: Iterable[FillResponse]) -> bytes:
    """Write a small segment.

    Args:
        header: What it holds.
        responses: In the order of their rows.

    Returns:
        Its bytes; the same ones for the same values.

    Raises:
        SegmentError: It would be too large to be read.
    """
    lines = [response_line(each) for each in responses]
    file = io.BytesIO()
    write_lines(file, header, lines, sum(map(len, lines)))
    return file.getvalue()


def write_lines(
    file: IO[bytes], header: FillHeader, text: Iterable[bytes], text_bytes: int
) -> None:
    """Write a segment into a file, in bounded memory.

    Args:
        file: Takes the bytes.
        header: What it holds.
        text: The lines of its responses, in parts of any size.
        text_bytes: How many bytes they have.

    Raises:
        SegmentError: It would be too large to be read.
    """
    first = header_line(header)
    size = len(first) + text_bytes
    if size > MOST_BYTES:
        reason = f"it would have {plural(size, 'byte')}; no more than {MOST_BYTES:,} are read"
        raise SegmentError(fill_key(header.series, header.day), reason)
    import zstandard

    compressor = zstandard.ZstdCompressor(_LEVEL, write_checksum=True, write_content_size=True)
    with compressor.stream_writer(file, size=size, closefd=False) as writer:
        writer.write(first)
        for part in text:
            writer.write(part)


def read_fill(file: BinaryIO, key: str) -> tuple[FillHeader, Iterator[FillResponse]]:
    """Read a segment in bounded memory.

    Responses are yielded before the end of the file is checked: if the iterator raises, the caller
    must discard the results of earlier ones.

    Args:
        file: Its bytes.
        key: Its object key, which must be that of the series and day in its header.

    Returns:
        The header, and the responses one after another.

    Raises:
        SegmentError: It is damaged, too large, of another format, or of another series or day; or,
            while responses are read, a digest is not that of its body.
    """
    lines = whole_lines(_decompressed(file, key), key, LINE_BYTES)
    header = read_header(next(lines, b""), key)
    return header, (read_response(line, key, at) for at, line in enumerate(lines, 2))


def _decompressed(file: BinaryIO, key: str) -> Iterator[bytes]:
    import zstandard

    try:
        beginning = file.read(64)
        size = zstandard.get_frame_parameters(beginning).content_size
        if size == zstandard.CONTENTSIZE_UNKNOWN:
            raise SegmentError(key, "it does not say its size")
        if size > MOST_BYTES:
            reason = f"it has {plural(size, 'byte')}; no more than {MOST_BYTES:,} are read"
            raise SegmentError(key, reason)
        file.seek(0)
        decoder = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES)
        reader = decoder.stream_reader(file, read_across_frames=True, closefd=False)
        passed = 0
        while chunk := reader.read(_STEP_BYTES):
            passed += len(chunk)
            if passed > size:
                raise SegmentError(key, "something follows its end")
            yield chunk
    except zstandard.ZstdError as error:
        raise SegmentError(key, f"it cannot be decompressed: {error}") from error
    if passed < size:
        raise SegmentError(key, f"it is cut off: {plural(passed, 'byte')} instead of {size:,}")
