"""A source on a raw socket, which sends any bytes; it shares no code with `crypto_lakehouse`.

It is written apart from `crypto_lakehouse.testing`, so that both are not wrong in the same way.
Each connection has a thread. Without a script a path is answered with its file, over keep-alive
connections; a script gets the socket and does what it likes.
"""

from __future__ import annotations

import hashlib
import io
import re
import socket
import threading
import zipfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

__all__ = ["RawSource", "Request", "Script", "answer", "bars_of", "kline_zip", "sidecar_of"]

#: A connection or a script that is silent for so many seconds ends, whatever the client does.
_PATIENCE_S = 30.0


@dataclass(frozen=True)
class Request:
    """The head of one request."""

    target: str
    headers: dict[str, str]

    @property
    def path(self) -> str:
        """The path, decoded, without its first slash."""
        return unquote(urlsplit(self.target).path).lstrip("/")

    @property
    def query(self) -> dict[str, str]:
        """The fields of the query."""
        fields = parse_qs(urlsplit(self.target).query, keep_blank_values=True)
        return {name: values[-1] for name, values in fields.items()}


#: Answers a request; returns whether the connection goes on.
Script = Callable[[socket.socket, Request], bool]


def answer(body: bytes, status: str = "200 OK", *lines: str, length: object = None) -> bytes:
    """A whole answer, with a length unless `length` is the empty text."""
    count = len(body) if length is None else length
    head = [f"HTTP/1.1 {status}", *lines]
    if count != "":
        head.append(f"Content-Length: {count}")
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


@dataclass
class RawSource:
    """Serves files, a listing of them, and scripts.

    Attributes:
        files: Bodies by path.
        scripts: What answers instead, by path; `?` for listings.
        requests: The paths that were requested, in order.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    scripts: dict[str, Script] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    _open: set[socket.socket] = field(default_factory=set)

    def __enter__(self) -> Self:
        self._server = socket.create_server(("127.0.0.1", 0), backlog=128)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for connection in tuple(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def url(self) -> str:
        """The base URL."""
        host, port = self._server.getsockname()
        return f"http://{host}:{port}"

    def publish(self, key: str, body: bytes) -> None:
        """Add an archive with its sidecar."""
        self.files[key] = body
        self.files[key + ".CHECKSUM"] = sidecar_of(body, key)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(_PATIENCE_S)
        self._open.add(connection)
        with suppress(OSError), connection:
            held = b""
            goes_on = True
            while goes_on:
                while b"\r\n\r\n" not in held:
                    more = connection.recv(65536)
                    if not more:
                        return
                    held += more
                head, _, held = held.partition(b"\r\n\r\n")
                goes_on = self._answer(connection, _parsed(head))
        self._open.discard(connection)

    def _answer(self, connection: socket.socket, request: Request) -> bool:
        self.requests.append(request.path)
        is_listing = "prefix" in request.query
        script = self.scripts.get("?" if is_listing else request.path)
        if script is not None:
            return script(connection, request)
        if is_listing:
            connection.sendall(answer(self.listing(request.query)))
        elif request.path in self.files:
            connection.sendall(self._file(request))
        else:
            connection.sendall(answer(b"", "404 Not Found"))
        return True

    def _file(self, request: Request) -> bytes:
        body = self.files[request.path]
        etag = f'ETag: "{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        if found is None:
            return answer(body, "200 OK", etag)
        start, stop = int(found[1]), int(found[2] or len(body) - 1) + 1
        place = f"Content-Range: bytes {start}-{stop - 1}/{len(body)}"
        return answer(body[start:stop], "206 Partial Content", etag, place)

    def listing(self, query: dict[str, str]) -> bytes:
        """The page of a listing that answers a query."""
        prefix, after = query["prefix"], query.get("marker", "")
        limit, is_flat = int(query.get("max-keys", "1000")), not query.get("delimiter")
        keys = sorted(key for key in self.files if key.startswith(prefix))
        entries: dict[str, str] = {}
        for key in keys:
            rest = key[len(prefix) :]
            if is_flat or "/" not in rest:
                md5 = hashlib.md5(self.files[key], usedforsecurity=False).hexdigest()
                entries[key] = (
                    f"<Contents><Key>{escape(key)}</Key><Size>{len(self.files[key])}</Size>"
                    f"<ETag>&quot;{md5}&quot;</ETag>"
                    "<LastModified>2025-08-01T00:00:00.000Z</LastModified></Contents>"
                )
            else:
                folder = prefix + rest.partition("/")[0] + "/"
                text = f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>"
                entries[folder] = text
        wanted = [key for key in sorted(entries) if key > after]
        page, has_more = wanted[:limit], len(wanted) > limit
        marker = f"<NextMarker>{escape(page[-1])}</NextMarker>" if has_more else ""
        body = "".join(entries[key] for key in page)
        flag = "true" if has_more else "false"
        text = (
            f"<ListBucketResult><IsTruncated>{flag}</IsTruncated>{marker}{body}</ListBucketResult>"
        )
        return text.encode()


def _parsed(head: bytes) -> Request:
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines if ": " in line)
    return Request(first.split(" ")[1], {name.lower(): value for name, value in headers.items()})


def sidecar_of(body: bytes, key: str) -> bytes:
    """The sidecar of an archive."""
    return f"{hashlib.sha256(body).hexdigest()}  {key.rpartition('/')[2]}\n".encode()


def kline_zip(key: str, rows: Iterable[str] | None = None, *, member: str | None = None) -> bytes:
    """A day of 24 bars of one hour, or other rows."""
    name = key.rpartition("/")[2].removesuffix(".zip")
    day = date.fromisoformat("-".join(name.rsplit("-", 3)[1:]))
    text = "".join(f"{row}\n" for row in (bars_of(day) if rows is None else rows))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        info = zipfile.ZipInfo(f"{name}.csv" if member is None else member, (2025, 1, 1, 0, 0, 0))
        info.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(info, text)
    return buffer.getvalue()


def bars_of(day: date) -> Iterable[str]:
    """The rows of a day of bars of one hour."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    scale = 1_000_000 if day.year >= 2025 else 1_000
    for hour in range(24):
        opens = int((start + timedelta(hours=hour)).timestamp()) * scale
        closes = opens + 3600 * scale - 1
        price = f"{100 + hour}.5"
        yield f"{opens},{price},{price},{price},{price},2.5,{closes},250.0,7,1.5,150.0,0"
