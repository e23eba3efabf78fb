"""Selects the aiohttp session and the proxy of a request.

The sessions are aiohttp's documented ones, reduced to what a source needs: no cookies, no decoding,
no credentials from `~/.netrc`, and only the proxies that the configuration allows.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, Protocol

import aiohttp
from attrs import define, field, frozen
from yarl import URL

from crypto_lakehouse.http.transport import basic_authorization

__all__ = [
    "HEAD_LINE_BYTES",
    "READ_BUFFER_BYTES",
    "EngineRoutes",
    "Route",
    "Routes",
    "SessionRoute",
]

#: A connection that was idle for longer, in seconds, is not reused: a NAT in between may have
#: dropped it, which would only show as silence.
IDLE_LIMIT_S = 60.0

#: aiohttp's read buffer. Bodies that it parses arrive in pieces of up to twice this many bytes.
READ_BUFFER_BYTES = 1 << 20

#: The longest line of a response head. A redirect may contain a long URL, which the error quotes.
HEAD_LINE_BYTES = 1 << 16


@frozen(eq=False)
class Route:
    """How requests to one origin are sent.

    Attributes:
        session: The session that sends them.
        proxy: The HTTP proxy, without user information; None if there is none.
        proxy_authorization: The value of the `Proxy-Authorization` header, if any.
        options: Arguments that the session needs with each request.
    """

    session: aiohttp.ClientSession
    proxy: URL | None = None
    proxy_authorization: str | None = field(default=None, repr=False)
    options: dict[str, Any] = field(factory=dict, repr=False)


class Routes(Protocol):
    """Finds the route of a request."""

    def of(self, url: URL) -> Route:
        """Return the route of a request to this URL."""
        ...


@frozen(eq=False)
class SessionRoute:
    """The single route of an application's own session, which keeps its settings."""

    route: Route

    def of(self, url: URL) -> Route:  # noqa: ARG002 - all URLs alike
        """Return the session's route for any URL."""
        return self.route


@define(eq=False)
class EngineRoutes:
    """The engine's own sessions: one for direct requests and HTTP proxies, one per SOCKS proxy.

    Args:
        connections: How many connections a session may keep open; 0 means no limit.
        timeout_s: How long a source may be silent, in seconds; only used by sessions that send
            requests themselves.
        proxy_of: Returns the proxy of a request, with its user information; None for none.
        make_tls: Creates the TLS context, when the first https request is sent.
        addresses_kept_s: How long the addresses of a host are cached, in seconds.

    Attributes:
        made_tls: The TLS context; None before the first https request.
    """

    connections: int
    timeout_s: float
    proxy_of: Callable[[URL], URL | None]
    make_tls: Callable[[], ssl.SSLContext]
    addresses_kept_s: float = 300.0
    made_tls: ssl.SSLContext | None = field(init=False, default=None)
    _sessions: dict[URL | None, aiohttp.ClientSession] = field(init=False, factory=dict, repr=False)
    _routes: dict[tuple[str, str | None, int | None], Route] = field(
        init=False, factory=dict, repr=False
    )
    _is_closed: bool = field(init=False, default=False)

    def of(self, url: URL) -> Route:
        """Return the route of a request to this URL.

        Raises:
            ConnectionError: The sessions are closed.
        """
        if self._is_closed:
            raise ConnectionError("the client is closed")
        origin = (url.scheme, url.raw_host, url.port)
        route = self._routes.get(origin)
        if route is None:
            route = self._routes[origin] = self._route(url)
        return route

    def _route(self, url: URL) -> Route:
        proxy = self.proxy_of(url)
        has_tls = "https" in {url.scheme, proxy.scheme if proxy is not None else ""}
        options: dict[str, Any] = {"ssl": self.tls()} if has_tls else {}
        if proxy is None:
            return Route(self._session(None), options=options)
        if proxy.scheme.startswith("socks"):
            return Route(self._session(proxy), options=options)
        # aiohttp adds the host to these headers, and they are part of what tells connections
        # apart: without it here, the first tunnel would serve one request only.
        headers = {"Host": url.host_port_subcomponent or ""}
        authorization = None
        if proxy.user is not None or proxy.password is not None:
            authorization = basic_authorization(proxy.user or "", proxy.password or "")
            headers["Proxy-Authorization"] = authorization
        options["proxy_headers"] = headers
        bare = proxy.with_user(None)
        return Route(self._session(None), bare, authorization, {**options, "proxy": bare})

    def tls(self) -> ssl.SSLContext:
        """Return the TLS context; certificates and host names are always checked."""
        if self.made_tls is None:
            self.made_tls = self.make_tls()
        return self.made_tls

    def _session(self, socks: URL | None) -> aiohttp.ClientSession:
        session = self._sessions.get(socks)
        if session is None:
            session = self._sessions[socks] = aiohttp.ClientSession(
                connector=_connector(self, socks),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers={"Accept-Encoding": "identity", "User-Agent": "crypto-lakehouse"},
                timeout=aiohttp.ClientTimeout(
                    total=None, connect=self.timeout_s, sock_read=self.timeout_s
                ),
                read_bufsize=READ_BUFFER_BYTES,
            )
        return session

    async def aclose(self) -> None:
        """Close all sessions and their connections; no new ones are opened."""
        self._is_closed = True
        for session in self._sessions.values():
            await session.close()


def _connector(routes: EngineRoutes, socks: URL | None) -> aiohttp.BaseConnector:
    settings: dict[str, Any] = {
        "limit": routes.connections,
        "ttl_dns_cache": routes.addresses_kept_s,
        "keepalive_timeout": IDLE_LIMIT_S,
    }
    if socks is None:
        # The resolver of the system, which other programs use, too. aiohttp would use another one
        # if aiodns is installed.
        return aiohttp.TCPConnector(resolver=aiohttp.ThreadedResolver(), **settings)
    from crypto_lakehouse.http.socks import socks_connector

    return socks_connector(socks, settings)
