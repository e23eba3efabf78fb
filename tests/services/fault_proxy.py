"""A proxy in front of an object store that answers some requests itself, or not at all.

It knows the requests of S3 by their kinds, and those that write to Azure or list it; it counts
them, and forwards what no fault is for.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

from attrs import define, evolve, field, frozen
from tests.services.bucket import Bucket

__all__ = ["Answer", "Fault", "FaultProxy", "Request", "behind_faults", "error"]

_HOP = {"connection", "transfer-encoding", "keep-alive", "date", "server"}


@frozen
class Request:
    """A request as the proxy sees it.

    Attributes:
        kind: `put`, `begin`, `part`, `complete` and `abort` of an upload, `copy`, `delete`, `list`,
            `head` or `get`.
        key: The object's key in the bucket; empty for a listing.
        number: How many requests of this kind there were, this one included.
        query: The parameters of its URL.
    """

    kind: str
    key: str
    number: int
    query: Mapping[str, str] = field(factory=dict)


@frozen
class Answer:
    """An answer of a server; the connection is closed after a body that is shorter than it says."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


Forward = Callable[[], Answer]

Fault = Callable[[Request, Forward], Answer | None]
"""Takes a request, and what forwards it; returns the answer, or None to close the connection."""


def error(status: int, code: str, message: str = "no") -> Answer:
    """Return an error of a server, in the form of S3."""
    text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Answer(status, {"Content-Type": "application/xml"}, text.encode())


@define(eq=False)
class FaultProxy:
    """A proxy that runs.

    Attributes:
        url: Where it listens.
        fault: What is done with each request; forwards it by default.
        requests: What was asked, in order.
    """

    upstream: str
    url: str = ""
    fault: Fault = field(default=lambda _request, forward: forward())
    requests: list[Request] = field(factory=list)
    ended: Event = field(factory=Event)
    _counts: dict[str, int] = field(factory=dict)
    _lock: Lock = field(factory=Lock)

    def take(self, kind: str, key: str, query: Mapping[str, str] | None = None) -> Request:
        """Count a request."""
        with self._lock:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            request = Request(kind, key, self._counts[kind], query or {})
            self.requests.append(request)
            return request

    def clear(self) -> None:
        """Forward everything from now on, and count anew."""
        with self._lock:
            self.fault = lambda _request, forward: forward()
            self._counts.clear()
            self.requests.clear()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    proxy: FaultProxy

    def log_message(self, *_: object) -> None:
        """Write nothing."""

    def _serve(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:  # the client has gone
            self.close_connection = True
            return
        names = {name.lower() for name in self.headers}
        query = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        request = self.proxy.take(*_kind_of(self.command, self.path, names), query)
        answer = self.proxy.fault(request, lambda: self._forward(body))
        if answer is None:
            self.close_connection = True
            return
        with suppress(BrokenPipeError, ConnectionResetError):
            self._answer(answer)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815 - the base class asks

    def _forward(self, body: bytes) -> Answer:
        address = urlsplit(self.proxy.upstream).netloc
        with closing(http.client.HTTPConnection(address)) as connection:
            # The host as the client has signed it.
            headers = dict(self.headers.items())
            connection.request(self.command, self.path, body or None, headers)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())

    def _answer(self, answer: Answer) -> None:
        self.send_response_only(answer.status)
        said = -1
        for name, value in answer.headers.items():
            if name.lower() in _HOP:
                continue
            said = int(value) if name.lower() == "content-length" else said
            self.send_header(name, value)
        if said < 0:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
            self.close_connection |= len(answer.body) < said


def _kind_of(method: str, path: str, headers: set[str]) -> tuple[str, str]:
    url = urlsplit(path)
    query = parse_qs(url.query, keep_blank_values=True)
    key = unquote(url.path).lstrip("/").partition("/")[2]
    if method == "POST" and "delete" in query:
        return "delete", key
    if method == "POST":
        return ("begin" if "uploads" in query else "complete"), key
    if method == "PUT" and ("partNumber" in query or query.get("comp") == ["block"]):
        return "part", key
    if method == "PUT" and query.get("comp") == ["blocklist"]:
        return "complete", key
    if method == "PUT" and "x-amz-copy-source" in headers:
        return "copy", key
    if method == "DELETE" and "uploadId" in query:
        return "abort", key
    if method == "GET" and (not key or query.get("comp") == ["list"]):
        return "list", ""
    return method.lower(), key


@contextmanager
def behind_faults(bucket: Bucket) -> Iterator[tuple[FaultProxy, Bucket]]:
    """Run a proxy in front of a bucket.

    Yields:
        The proxy, and the bucket as it is reached through it.
    """
    upstream = bucket.storage["endpoint"]
    proxy = FaultProxy(upstream)
    handler = type("Handler", (_Handler,), {"proxy": proxy})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        proxy.url = re.sub(r"^http://[^/]*", f"http://127.0.0.1:{server.server_port}", upstream)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield proxy, evolve(bucket, storage={**bucket.storage, "endpoint": proxy.url})
        finally:
            proxy.ended.set()
            server.shutdown()
            thread.join()
