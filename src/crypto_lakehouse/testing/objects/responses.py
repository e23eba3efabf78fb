"""The server's response to a request for an object: decided here, sent elsewhere.

Source: RFC 9110, sections 13 and 14, as S3 keeps them; docs/archive.md#http-headers for the
headers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from xml.sax.saxutils import escape

from attrs import frozen

from crypto_lakehouse.testing.latch import Latch
from crypto_lakehouse.testing.objects.objects import BytesContent, Content, StoredObject

__all__ = [
    "BEFORE_HEADERS",
    "ServerResponse",
    "Silence",
    "error_response",
    "response_for",
    "xml_response",
]

#: A place in a response: before its status line. Places from 0 on are bytes of the body.
BEFORE_HEADERS = -1

_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)
_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'


@frozen
class Silence:
    """Where the server stops sending, and until when.

    Attributes:
        at: `BEFORE_HEADERS`, or after how many bytes of the body.
        release: Opened to let the server go on.
        reached: Opened by the server when it has fallen silent.
    """

    at: int
    release: Latch
    reached: Latch


@frozen
class ServerResponse:
    """One response, complete and ready to be sent.

    Attributes:
        headers: Without Content-Length, which is the content's size, and without Server.
        cut_at: Where to cut the connection: `BEFORE_HEADERS`, or after how many bytes of the
            body; None for a complete response.
        silence: Where to stall, None for nowhere.
        announced: What Content-Length says instead of the size.
        ends_with_connection: Whether no length is announced, and the body ends with the connection.
        resets: Whether a cut is a reset (RST) and not an orderly end (FIN).
        hangs_up: Whether the connection is closed after the response, without announcing it.
        surplus: Unexpected bytes after the body.
        byte_every_s: If positive, the body comes byte by byte, with pauses of so many seconds.
    """

    status: int
    headers: Mapping[str, str]
    content: Content
    cut_at: int | None = None
    silence: Silence | None = None
    announced: int | None = None
    ends_with_connection: bool = False
    resets: bool = False
    hangs_up: bool = False
    surplus: bytes = b""
    byte_every_s: float = 0.0


@frozen
class _RangePart:
    """A range of another content."""

    whole: Content
    start: int
    size: int

    @property
    def ready(self) -> bool:
        return self.whole.ready

    def read(self, start: int, stop: int) -> bytes:
        return self.whole.read(self.start + start, self.start + min(stop, self.size))


def response_for(
    key: str, stored: StoredObject | None, request: Mapping[str, str]
) -> ServerResponse:
    """Answer a GET or HEAD of one object.

    Args:
        key: The decoded key, for the error's text.
        stored: The object; None if there is none.
        request: The request's headers; lookup must not regard case.
    """
    if stored is None:
        return error_response(404, "NoSuchKey", "The specified key does not exist.", Key=key)
    headers = {
        "Content-Type": stored.content_type,
        "Accept-Ranges": "bytes",
        "ETag": stored.etag,
        "Last-Modified": http_date(stored.last_modified),
    }
    if not _holds_required(stored, request):
        text = "At least one of the pre-conditions you specified did not hold"
        return error_response(412, "PreconditionFailed", text)
    if _is_unmodified(stored, request):
        return ServerResponse(304, headers, BytesContent(b""))
    return _ranged(stored, headers, request)


def _holds_required(stored: StoredObject, request: Mapping[str, str]) -> bool:
    if "If-Match" in request:
        return bool(_tags(request["If-Match"]) & {"*", stored.etag})
    since = _date(request.get("If-Unmodified-Since"))
    return since is None or stored.last_modified <= since


def _is_unmodified(stored: StoredObject, request: Mapping[str, str]) -> bool:
    if "If-None-Match" in request:
        tags = {tag.removeprefix("W/") for tag in _tags(request["If-None-Match"])}
        return bool(tags & {"*", stored.etag})
    since = _date(request.get("If-Modified-Since"))
    return since is not None and stored.last_modified <= since


def _tags(condition: str) -> set[str]:
    return {tag.strip() for tag in condition.split(",")}


def _ranged(
    stored: StoredObject, headers: dict[str, str], request: Mapping[str, str]
) -> ServerResponse:
    """Answer with the requested range, or with the whole object.

    Several ranges in one request, or an invalid range, get the whole object: S3 does not serve
    multipart ranges.
    """
    size = stored.content.size
    match = _RANGE.fullmatch(request.get("Range", "").strip())
    whole = ServerResponse(200, headers, stored.content)
    if match is None or match.groups() == ("", "") or not _range_allowed(stored, request):
        return whole
    first, last = match.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return whole
    if start >= size or start >= stop:
        text = "The requested range is not satisfiable"
        refused = error_response(416, "InvalidRange", text, ActualObjectSize=str(size))
        return ServerResponse(
            416, {**refused.headers, "Content-Range": f"bytes */{size}"}, refused.content
        )
    part = {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{size}"}
    return ServerResponse(206, part, _RangePart(stored.content, start, stop - start))


def _range_allowed(stored: StoredObject, request: Mapping[str, str]) -> bool:
    """Whether If-Range, if any, names this version: a strong ETag or the exact date."""
    condition = request.get("If-Range")
    return condition is None or condition.strip() in {
        stored.etag,
        http_date(stored.last_modified),
    }


def http_date(moment: datetime) -> str:
    """Format a date as in HTTP."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def _date(text: str | None) -> datetime | None:
    """Parse an HTTP date; None if there is none or it is invalid, as it must then be ignored."""
    try:
        moment = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def xml_response(status: int, document: str) -> ServerResponse:
    """Answer with an XML document as S3 does."""
    body = (_XML + document).encode()
    return ServerResponse(status, {"Content-Type": "application/xml"}, BytesContent(body))


def error_response(status: int, code: str, message: str, **details: str) -> ServerResponse:
    """Answer with S3's error document."""
    fields = {"Code": code, "Message": message, **details}
    fields |= {"RequestId": "0000000000000000", "HostId": "crypto-lakehouse-testing"}
    inner = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
    return xml_response(status, f"<Error>{inner}</Error>")
