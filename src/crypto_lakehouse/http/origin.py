"""What all requests to one origin have in common, made once by aiohttp's documented session.

A client middleware is given each request before it is sent. The one here keeps the first request
to an origin as a template: its URL, TLS context and proxy are what aiohttp's connector needs to
find or open a connection, so no request of aiohttp's is ever made by hand.
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

#: Lines of a request beside the headers that it is given, the empty one at its end included.
_REQUEST_LINES = 6


class _Captured(Exception):
    """Carries a request out of the session before it is sent."""

    def __init__(self, request: aiohttp.ClientRequest) -> None:
        self.request = request


async def _capture(request: aiohttp.ClientRequest, _handler: object) -> aiohttp.ClientResponse:
    raise _Captured(request)


@frozen(eq=False)
class Origin:
    """What the requests to one origin have in common.

    Attributes:
        template: A request to the origin, as aiohttp's connector wants it.
        connector: Finds or opens the connections.
        host: The `Host` header's value.
        prefix: Stands before the path: scheme and host where a proxy wants them, else empty.
        proxy_line: The header that tells an HTTP proxy who asks, or empty.
        idle: Connections that no request uses, the one used last at the end.
    """

    template: Any = field(repr=False)
    connector: aiohttp.BaseConnector
    host: str
    prefix: str
    proxy_line: str = field(repr=False)
    idle: dict[Receiver, aiohttp.connector.Connection] = field(init=False, factory=dict)

    def head(self, url: URL, headers: Mapping[str, str]) -> bytes:
        """A request's head.

        Raises:
            ValueError: It could not be sent as one.
        """
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        text = (
            f"GET {self.prefix}{url.raw_path_qs} HTTP/1.1\r\nHost: {self.host}\r\n"
            "User-Agent: crypto-lakehouse\r\nAccept: */*\r\nAccept-Encoding: identity\r\n"
            f"{lines}{self.proxy_line}\r\n"
        )
        breaks = _REQUEST_LINES + len(headers) + bool(self.proxy_line)
        if text.count("\n") != breaks or text.count("\r") != breaks:
            raise ValueError("a header or the URL holds a line break")
        return text.encode("latin-1")


async def make_origin(url: URL, route: Route) -> Origin:
    """Let the session make a request, and keep it as a template."""
    connector: Any = route.session.connector  # it is there until the session is closed
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
