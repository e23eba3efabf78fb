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

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import Any, BinaryIO

from attrs import field, frozen

from crypto_lakehouse.core.archive import Archive, DataType, Market, Origin, Period, Series
from crypto_lakehouse.core.errors import SegmentError
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.segments.json_lines import (
    LineValues,
    json_object,
    moment_text,
    whole_lines,
)

__all__ = [
    "FORMAT",
    "LINE_BYTES",
    "MOST_BYTES",
    "FillHeader",
    "FillResponse",
    "fill_key",
    "read_fill",
    "write_fill",
]

FORMAT = 1

#: The largest segment that is read, decompressed; a day of the busiest symbol has 400 MB of trades.
MOST_BYTES = 1 << 30

#: The longest line that is read; a page of responses has less than one mebibyte.
LINE_BYTES = 64 << 20

_LEVEL = 9

_STEP_BYTES = 1 << 20

#: Memory that a decoder may use; the compressor's windows are smaller.
_WINDOW_BYTES = 1 << 27


@frozen(kw_only=True)
class FillResponse:
    """One response of a REST endpoint.

    Attributes:
        url: The endpoint, without parameters, user and password.
        params: The request's parameters.
        received_at: When the response was complete, by this machine's clock; UTC.
        server_time: When it was made, by the server's clock; UTC, None if it did not say.
        status: The HTTP status.
        body: The body as text.
        sha256: The digest of the body's bytes, 64 hexadecimal digits.
    """

    url: str
    params: Mapping[str, str]
    received_at: datetime
    server_time: datetime | None
    status: int
    body: str = field(repr=False)
    sha256: str = field()

    @sha256.default
    def _digest(self) -> str:
        return hashlib.sha256(self.body.encode()).hexdigest()


@frozen(kw_only=True)
class FillHeader:
    """What a segment holds.

    Attributes:
        series: The series.
        day: The UTC day.
        complete: Whether the day was over and every row of it was asked for.
        proven_by: `ids` if the ids of the day meet those of the days before and after; else empty.
        tool_version: The version of this package that wrote it.
        filled_at: When it was written; UTC.
    """

    series: Series
    day: date
    complete: bool
    proven_by: str = ""
    tool_version: str
    filled_at: datetime
    format: int = FORMAT


def fill_key(series: Series, day: date) -> str:
    """The object key of a segment."""
    return Archive(series, Period.day(day), Origin.FILL).key


def write_fill(header: FillHeader, responses: Iterable[FillResponse]) -> bytes:
    """Write a segment.

    Args:
        header: What it holds.
        responses: In the order of their rows.

    Returns:
        Its bytes; the same ones for the same values.

    Raises:
        SegmentError: It would be too large to be read.
    """
    lines = [_header_value(header), *map(_response_value, responses)]
    text = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines).encode()
    if len(text) > MOST_BYTES:
        reason = f"it would have {plural(len(text), 'byte')}; no more than {MOST_BYTES:,} are read"
        raise SegmentError(fill_key(header.series, header.day), reason)
    import zstandard

    compressor = zstandard.ZstdCompressor(_LEVEL, write_checksum=True, write_content_size=True)
    return compressor.compress(text)


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
    header = _header(json_object(next(lines, b""), key, 1), key)
    return header, (
        _response(json_object(line, key, at), key, at) for at, line in enumerate(lines, 2)
    )


def _header_value(header: FillHeader) -> dict[str, Any]:
    series = header.series
    return {
        "format": header.format,
        "market": series.market,
        "data_type": series.data_type,
        "symbol": series.symbol,
        "interval": series.interval,
        "day": header.day.isoformat(),
        "proven_by": header.proven_by,
        "complete": header.complete,
        "tool_version": header.tool_version,
        "filled_at": moment_text(header.filled_at),
    }


def _response_value(response: FillResponse) -> dict[str, Any]:
    return {
        "url": response.url,
        "params": dict(response.params),
        "received_at": moment_text(response.received_at),
        "server_time": response.server_time and moment_text(response.server_time),
        "status": response.status,
        "sha256": response.sha256,
        "body": response.body,
    }


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


def _header(value: dict[str, Any], key: str) -> FillHeader:
    read = LineValues(value, key, 1)
    read.check_format(FORMAT)
    try:
        series = Series(
            Market(read.take("market", str)),
            DataType(read.take("data_type", str)),
            read.take("symbol", str),
            None if value.get("interval") is None else read.take("interval", str),
        )
        day = date.fromisoformat(read.take("day", str))
    except ValueError as error:  # an ArchiveKeyError is one, too
        raise SegmentError(key, f"line 1: {error}") from error
    if fill_key(series, day) != key:
        raise SegmentError(key, f"line 1: it is of {series} and {day}")
    return FillHeader(
        series=series,
        day=day,
        complete=read.take("complete", bool),
        proven_by=read.take("proven_by", str),
        tool_version=read.take("tool_version", str),
        filled_at=read.moment("filled_at"),
    )


def _response(value: dict[str, Any], key: str, at: int) -> FillResponse:
    read = LineValues(value, key, at)
    params = read.take("params", dict)
    if not all(isinstance(each, str) for each in params.values()):
        raise SegmentError(key, f"line {at}: `params` has a value that is not text")
    response = FillResponse(
        url=read.take("url", str),
        params=params,
        received_at=read.moment("received_at"),
        server_time=None if value.get("server_time") is None else read.moment("server_time"),
        status=read.take("status", int),
        body=read.take("body", str),
    )
    if read.take("sha256", str) != response.sha256:
        raise SegmentError(key, f"line {at}: the body is not the one with this SHA-256")
    return response
