"""The lines of a segment of REST responses, as values and as JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from attrs import field, frozen

from crypto_lakehouse.core.archive import Archive, DataType, Market, Origin, Period, Series
from crypto_lakehouse.core.errors import SegmentError
from crypto_lakehouse.segments.json_lines import LineValues, json_object, moment_text

__all__ = [
    "FORMAT",
    "FillHeader",
    "FillResponse",
    "fill_key",
    "header_line",
    "read_header",
    "read_response",
    "response_line",
]

FORMAT = 1


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

    @property
    def request(self) -> str:
        """The endpoint with the parameters, as they were asked for."""
        return f"{self.url}?{'&'.join(f'{name}={value}' for name, value in self.params.items())}"


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


def header_line(header: FillHeader) -> bytes:
    """The first line of a segment, with its end."""
    return _line(_header_value(header))


def response_line(response: FillResponse) -> bytes:
    """The line of a response, with its end."""
    return _line(_response_value(response))


def _line(value: Mapping[str, Any]) -> bytes:
    return f"{json.dumps(value, ensure_ascii=False)}\n".encode()


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


def read_header(line: bytes, key: str) -> FillHeader:
    """Read the first line of a segment.

    Raises:
        SegmentError: It is damaged, of another format, or of another series or day than its key.
    """
    read = LineValues(json_object(line, key, 1), key, 1)
    read.check_format(FORMAT)
    try:
        series = Series(
            Market(read.take("market", str)),
            DataType(read.take("data_type", str)),
            read.take("symbol", str),
            None if read.line.get("interval") is None else read.take("interval", str),
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


def read_response(line: bytes, key: str, at: int) -> FillResponse:
    """Read the line of a response.

    Args:
        line: The line.
        key: The segment's object key, for errors.
        at: The number of the line, counted from 1.

    Raises:
        SegmentError: It is damaged, or its digest is not that of its body.
    """
    read = LineValues(json_object(line, key, at), key, at)
    params = read.take("params", dict)
    if not all(isinstance(each, str) for each in params.values()):
        raise SegmentError(key, f"line {at}: `params` has a value that is not text")
    response = FillResponse(
        url=read.take("url", str),
        params=params,
        received_at=read.moment("received_at"),
        server_time=None if read.line.get("server_time") is None else read.moment("server_time"),
        status=read.take("status", int),
        body=read.take("body", str),
    )
    if read.take("sha256", str) != response.sha256:
        raise SegmentError(key, f"line {at}: the body is not the one with this SHA-256")
    return response
