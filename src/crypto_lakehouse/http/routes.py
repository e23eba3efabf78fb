"""Which aiohttp session a request goes through: directly, or by which proxy.

The sessions are the documented ones, with nothing that a source does not need: no cookies, no
decoding, no credentials of `~/.netrc`, no proxies but those that the configuration allows.
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

#: A connection that was idle for longer, in seconds, is not trusted with a request: a NAT on the
#: way may have forgotten it, which shows as silence only.
IDLE_LIMIT_S = 60.0

#: aiohttp's read buffer. Bodies that it parses arrive in pieces of up to twice this many bytes.
READ_BUFFER_BYTES = 1 << 20

#: No line of a head is longer: a redirect may name a long URL, which is then refused by name.
HEAD_LINE_BYTES = 1 << 16


@frozen(eq=False)
class Route:
    """How requests to one origin are sent.

    Attributes:
        session: The session that sends them.
        proxy: The HTTP proxy on the way, without user information; None where there is none.
        proxy_authorization: What the proxy wants to know, as a header's value.
        options: What the session must be given with each request.
    """

    session: aiohttp.ClientSession
    proxy: URL | None = None
    proxy_authorization: str | None = field(default=None, repr=False)
    options: dict[str, Any] = field(factory=dict, repr=False)


class Routes(Protocol):
    """Finds the route of a request."""

    def of(self, url: URL) -> Route:
        """The route of a request to this URL."""
        ...


@frozen(eq=False)
class SessionRoute:
    """The one route of an application's own session, whose settings hold."""

    route: Route

    def of(self, url: URL) -> Route:  # noqa: ARG002 - all URLs alike
        """The session, whatever the URL is."""
        return self.route


@define(eq=False)
class EngineRoutes:
    """The engine's own sessions: one for direct requests and HTTP proxies, one a SOCKS proxy.

    Args:
        connections: How many connections a session may hold open, 0 for any number.
        timeout_s: How long a source may be silent, in seconds; only sessions that send the
            requests themselves look after it.
        proxy_of: The proxy of a request, with its user information; None where there is none.
        make_tls: Makes the TLS context, when the first https request is sent.
        addresses_kept_s: For so long the addresses of a host are not looked up again, in seconds.

    Attributes:
        made_tls: The context, once an https request was sent.
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
        """The route of a request to this URL.

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
        """How TLS is spoken; certificates and host names are always checked."""
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
        """Close every session with its connections; there will be no others."""
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
        # The system's resolver, as every other program's: aiohttp would take another one, where
        # there is a package for it.
        return aiohttp.TCPConnector(resolver=aiohttp.ThreadedResolver(), **settings)
    from crypto_lakehouse.http.socks import socks_connector

    return socks_connector(socks, settings)
