"""The parts that all requests to one origin share, created once by aiohttp's documented session.

aiohttp passes each request to client middlewares before it is sent. The middleware here captures
the first request to an origin as a template: aiohttp's connector needs its URL, TLS context and
proxy to find or open a connection. This package therefore never constructs an aiohttp request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiohttp
from attrs import field, frozen
from yarl import URL

from crypto_lakehouse.http.receiver import Receiver
from crypto_lakehouse.http.routes import Route

__all__ = ["Origin", "make_origin"]

#: The number of lines in a request without the caller's headers, including the empty last line.
_REQUEST_LINES = 6


class _Captured(Exception):
    """Carries a request out of the session before it is sent."""

    def __init__(self, request: aiohttp.ClientRequest) -> None:
        self.request = request


async def _capture(request: aiohttp.ClientRequest, _handler: object) -> aiohttp.ClientResponse:
    raise _Captured(request)


@frozen(eq=False)
class Origin:
    """The parts that the requests to one origin share.

    Attributes:
        template: A request to the origin, as aiohttp's connector expects it.
        connector: Finds or opens connections.
        host: The value of the `Host` header.
        prefix: The part before the path: scheme and host if an HTTP proxy needs them, else empty.
        proxy_line: The `Proxy-Authorization` header, or empty.
        idle: Connections that no request uses, the most recently used one last.
    """

    template: Any = field(repr=False)
    connector: aiohttp.BaseConnector
    host: str
    prefix: str
    proxy_line: str = field(repr=False)
    idle: dict[Receiver, aiohttp.connector.Connection] = field(init=False, factory=dict)

    def head(self, url: URL, headers: Mapping[str, str]) -> bytes:
        """Return the head of a request.

        Raises:
            ValueError: The URL or a header contains a line break.
        """
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        text = (
            f"GET {self.prefix}{url.raw_path_qs} HTTP/1.1\r\nHost: {self.host}\r\n"
            "User-Agent: crypto-lakehouse\r\nAccept: */*\r\nAccept-Encoding: identity\r\n"
            f"{lines}{self.proxy_line}\r\n"
        )
        breaks = _REQUEST_LINES + len(headers) + bool(self.proxy_line)
        if text.count("\n") != breaks or text.count("\r") != breaks:
            raise ValueError("a header or the URL contains a line break")
        return text.encode("latin-1")


async def make_origin(url: URL, route: Route) -> Origin:
    """Let the session create a request, and keep it as a template."""
    connector: Any = route.session.connector  # set until the session is closed
    bare = url.origin()
    try:
        await route.session.get(bare, middlewares=(_capture,), **route.options)
        raise ConnectionError(
            "aiohttp's session sends no requests here; a test that replaces it passes `session=`"
        )
    except _Captured as captured:
        template = captured.request
    proxied = route.proxy is not None and url.scheme == "http"
    authorization = route.proxy_authorization if proxied else None
    return Origin(
        template,
        connector,
        url.host_port_subcomponent or "",
        f"http://{url.host_port_subcomponent}" if proxied else "",
        f"Proxy-Authorization: {authorization}\r\n" if authorization else "",
    )
