"""How the server is to fail: values that are scripted with `ArchiveServer.inject`.

Each request that matches consumes the next fault of its script. Faults compose: `a & b` does both
in one response, `a * 3` is the same one three times.

Examples:
    >>> from crypto_lakehouse.testing import ArchiveServer, faults
    >>> server = ArchiveServer()
    >>> server.inject("*.zip", faults.Status(503, retry_after="1") * 2, faults.Truncate(at=100))
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping
from datetime import timedelta

from attrs import evolve, field, frozen

from crypto_lakehouse.testing.latch import Latch
from crypto_lakehouse.testing.objects.objects import BytesContent, Content, StoredObject
from crypto_lakehouse.testing.objects.responses import BEFORE_HEADERS, ServerResponse, Silence

__all__ = [
    "Announce",
    "Body",
    "Cut",
    "Drip",
    "Fault",
    "Flip",
    "Gzip",
    "HangUp",
    "Headers",
    "NotFound",
    "OtherRange",
    "Redirect",
    "Replace",
    "Reset",
    "Stall",
    "Status",
    "Surplus",
    "Truncate",
    "Unannounced",
]

_CONTENT_RANGE = re.compile(r"bytes (\d+)(-\d+/\d+)", re.ASCII)


class Fault:
    """What goes wrong in one response; this base class does nothing."""

    #: Whether the altered object stays, for this request and all later ones.
    lasting: bool = False

    def alter(self, key: str, stored: StoredObject | None) -> StoredObject | None:
        """Change the object before preconditions and ranges are applied to it."""
        del key
        return stored

    def spoil(self, answer: ServerResponse) -> ServerResponse:
        """Change the response before it is sent."""
        return answer

    def __and__(self, other: Fault) -> Fault:
        return _Both(self, other)

    def __mul__(self, times: int) -> tuple[Fault, ...]:
        return (self,) * times


@frozen
class _Both(Fault):
    first: Fault
    second: Fault

    @property
    def lasting(self) -> bool:  # type: ignore[override]
        return self.first.lasting or self.second.lasting

    def alter(self, key: str, stored: StoredObject | None) -> StoredObject | None:
        return self.second.alter(key, self.first.alter(key, stored))

    def spoil(self, answer: ServerResponse) -> ServerResponse:
        return self.second.spoil(self.first.spoil(answer))


@frozen
class Status(Fault):
    """Answer with this status.

    Attributes:
        retry_after: The Retry-After header: seconds or an HTTP date, as text.
        body: What to send with it.
    """

    status: int
    retry_after: str | None = None
    body: bytes = b""

    def spoil(self, answer: ServerResponse) -> ServerResponse:
        """Answer with the status instead."""
        headers = {} if self.retry_after is None else {"Retry-After": self.retry_after}
        return evolve(answer, status=self.status, headers=headers, content=BytesContent(self.body))


@frozen
class Redirect(Fault):
    """Redirect the client to another URL."""

    location: str
    status: int = 302

    def spoil(self, answer: ServerResponse) -> ServerResponse:
        """Answer with the redirect instead."""
        headers = {"Location": self.location}
        return evolve(answer, status=self.status, headers=headers, content=BytesContent(b""))


@frozen
class NotFound(Fault):
    """Answer once as if the object did not exist."""

    def alter(
        self,
        key: str,  # noqa: ARG002 - the interface's
        stored: StoredObject | None,  # noqa: ARG002 - the interface's
    ) -> StoredObject | None:
        """Hide the object."""
        return None


@frozen
class Truncate(Fault):
    """Announce the whole body, send `at` bytes of it, cut the connection."""

    at: int

    def spoil(self, answer: ServerResponse) -> ServerResponse:
        """Cut within the body."""
        return evolve(answer, cut_at=min(self.at, answer.content.size))


@frozen
class Cut(Fault):
    """Close the connection before any header is sent.

    On a connection that was used before, a client may take that for the end of keep-alive and
    repeat the request at once by itself, as aiohttp does; the second request takes the next fault.
    """

    def spoil(self, answer: ServerResponse) -> ServerResponse:
        """Cut before the headers."""
        return evolve(answer, cut_at=BEFORE_HEADERS)


@frozen
class Reset(Fault):
    """Reset the connection (RST), as a firewall or a process that died does.

    Attributes:
        at: After this many bytes of the body; None for before any header.
    """

    at: int | None = None

    def spoil(self, answer: ServerResponse) -> ServerResponse:
        """Reset the connection within the response."""
        at = BEFORE_HEADERS if self.at is None else min(self.at, answer.content.size)
        return evolve(answer, cut_at=at, resets=True)


@frozen
class HangUp(Fault):
    """Send the whole response, then close the connection without announcing it."""

    def spoil(self, answer: ServerResponse) -> ServerResponse:
        """Add the end."""
        return evolve(answer, hangs_up=True)


@frozen
class Announce(Fault):
    """Announce a wrong Content-Length; announced bytes that do not exist are never sent.

    The connection ends after a body that is shorter than announced. If it is longer, the rest is
    sent as surplus bytes.
    """

    size: int

    def spoil(self, answer: ServerResponse) -> ServerResponse:
        """Change the announcement."""
        return evolve(answer, announced=self.size)


@frozen
class Unannounced(Fault):
    """Announce no length; the body ends with the connection, as in HTTP/1.0."""

    def spoil(self, answer: ServerResponse) -> ServerResponse:
        """Take the announcement away."""
        return evolve(answer, ends_with_connection=True)


@frozen
class Surplus(Fault):
    """Send more bytes after the body than were announced, on a connection that stays open."""

    data: bytes = b"surplus"

    def spoil(self, answer: ServerResponse) -> ServerResponse:
        """Add the bytes."""
        return evolve(answer, surplus=self.data)


@frozen
class Drip(Fault):
    """Send the body byte by byte: never silent, but too slow to finish."""

    every_s: float = 1.0

    def spoil(self, answer: ServerResponse) -> ServerResponse:
        """Slow the body down."""
        return evolve(answer, byte_every_s=self.every_s)


@frozen
class Gzip(Fault):
    """Compress the body and declare it, although the request did not allow that."""

    def spoil(self, answer: ServerResponse) -> ServerResponse:
        """Compress the body."""
        packed = gzip.compress(answer.content.read(0, answer.content.size), mtime=0)
        headers = {**answer.headers, "Content-Encoding": "gzip"}
        return evolve(answer, headers=headers, content=BytesContent(packed))


@frozen
class OtherRange(Fault):
    """Answer a range request with another range than the requested one.

    Attributes:
        by: How many bytes later the range claims to begin.
    """

    by: int = 1

    def spoil(self, answer: ServerResponse) -> ServerResponse:
        """Change what the range claims to be; a response without a range stays as it is."""
        match = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if match is None:
            return answer
        first, rest = int(match[1]) + self.by, match[2]
        return evolve(answer, headers={**answer.headers, "Content-Range": f"bytes {first}{rest}"})


@frozen
class Stall(Fault):
    """Stop sending until released. Once released, repetitions of this fault do not pause.

    Attributes:
        release: Opened by the test, or by `server.release()`. A server that closes cuts the
            connection instead.
        at: Stop after this many bytes of the body, 0 for after the headers; None for before the
            headers.
        reached: Opened when the server has stopped, so that a test need not sleep.
    """

    release: Latch = field(factory=Latch)
    at: int | None = None
    reached: Latch = field(factory=Latch)

    def spoil(self, answer: ServerResponse) -> ServerResponse:
        """Add the silence."""
        at = BEFORE_HEADERS if self.at is None else min(self.at, answer.content.size)
        return evolve(answer, silence=Silence(at, self.release, self.reached))


@frozen
class Headers(Fault):
    """Send these headers too, replacing those of the same name.

    `Transfer-Encoding: chunked` sends the body in that way, without announcing its length.

    Attributes:
        headers: None as a value removes a header.
    """

    headers: Mapping[str, str | None]

    def spoil(self, answer: ServerResponse) -> ServerResponse:
        """Change the headers."""
        named = {name.lower() for name in self.headers}
        kept = {name: text for name, text in answer.headers.items() if name.lower() not in named}
        added = {name: text for name, text in self.headers.items() if text is not None}
        return evolve(answer, headers={**kept, **added})


@frozen
class Body(Fault):
    """Answer once with this body and status 200, whatever was requested.

    Attributes:
        headers: In addition to Content-Length; there is no ETag unless it is given here.
    """

    body: bytes
    headers: Mapping[str, str] = field(factory=dict)

    def spoil(self, answer: ServerResponse) -> ServerResponse:
        """Answer with the body instead."""
        content = BytesContent(self.body)
        return evolve(answer, status=200, headers=dict(self.headers), content=content)


@frozen
class Replace(Fault):
    """The object changes from this request on: new body, new ETag, an hour younger."""

    body: bytes

    lasting = True

    def alter(self, key: str, stored: StoredObject | None) -> StoredObject | None:
        """Replace the old object with the new one."""
        new = StoredObject.of(key, self.body)
        if stored is None:
            return new
        return evolve(new, last_modified=stored.last_modified + timedelta(hours=1))


@frozen
class Flip(Fault):
    """Corrupt one byte of the object; length and ETag stay."""

    at: int = 0

    def alter(
        self,
        key: str,  # noqa: ARG002 - the interface's
        stored: StoredObject | None,
    ) -> StoredObject | None:
        """Change the byte in the content that is read."""
        if stored is None:
            return None
        return evolve(stored, content=_Flipped(stored.content, self.at))


@frozen
class _Flipped:
    content: Content
    at: int

    @property
    def size(self) -> int:
        return self.content.size

    @property
    def ready(self) -> bool:
        return self.content.ready

    def read(self, start: int, stop: int) -> bytes:
        body = bytearray(self.content.read(start, stop))
        if 0 <= self.at - start < len(body):
            body[self.at - start] ^= 0xFF
        return bytes(body)
