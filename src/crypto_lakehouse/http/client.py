"""The engine's own HTTP client and its connections."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from attrs import define, field
from yarl import URL

from crypto_lakehouse.http.body_chunks import CHUNK_BYTES
from crypto_lakehouse.http.exchange import Exchange, connect, missing_names
from crypto_lakehouse.http.idle_timeout import SILENT
from crypto_lakehouse.http.origin import Origin, make_origin
from crypto_lakehouse.http.receiver import Receiver
from crypto_lakehouse.http.routes import IDLE_LIMIT_S, EngineRoutes
from crypto_lakehouse.http.session_client import AiohttpClient, transfer_error
from crypto_lakehouse.http.tls import tls_context
from crypto_lakehouse.http.transport import Client

__all__ = ["ExchangeClient", "engine_client", "session_client"]

#: A connection, the protocol that aiohttp made for it, and its transport.
Opened = tuple[aiohttp.connector.Connection, asyncio.Protocol, asyncio.Transport]

ProxyOf = Callable[[URL], URL | None]
MakeTls = Callable[[], ssl.SSLContext]


def _system_tls() -> ssl.SSLContext:
    return tls_context(None, os.environ)


def _no_proxy(_url: URL) -> None:
    return None


@define(eq=False)
class ExchangeClient:
    """Sends requests over connections of aiohttp's connector.

    Args:
        routes: Selects the session, and so the connector, of a request.
        connections: How many idle connections are kept.
        timeout_s: How long a source may be silent, in seconds.
        chunk_bytes: The chunk size of large bodies.

    Attributes:
        origins: What the requests to each origin share, by scheme, host and port.
    """

    routes: EngineRoutes
    connections: int
    timeout_s: float
    chunk_bytes: int = CHUNK_BYTES
    _open: dict[Receiver, Origin] = field(init=False, factory=dict)
    origins: dict[tuple[str, str | None, int | None], Origin] = field(init=False, factory=dict)
    _opening: set[asyncio.Future[Opened]] = field(init=False, factory=set)
    _limits: aiohttp.ClientTimeout = field(init=False)
    _is_closed: bool = field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self._limits = aiohttp.ClientTimeout(total=None, connect=self.timeout_s)

    @property
    def receivers(self) -> set[Receiver]:
        """The open connections."""
        return set(self._open)

    @property
    def idle(self) -> set[Receiver]:
        """The connections that no request uses."""
        return {receiver for origin in self.origins.values() for receiver in origin.idle}

    async def send(self, url: URL, headers: Mapping[str, str]) -> Exchange:
        """Send a GET and wait for the head of the response.

        If the source has closed an idle connection, the request is sent again over another one.

        Raises:
            TransferError: There is no response.
        """
        place = (url.scheme, url.raw_host, url.port)
        try:
            origin = self.origins.get(place) or await self.origin(url)
            head = origin.head(url, headers)
            while True:
                connection, receiver, is_reused = await self._connect(origin)
                exchange = Exchange(self.keep, connection, receiver, url, self.chunk_bytes)
                try:
                    await exchange.ask(head)
                except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
                    if isinstance(receiver.error, TimeoutError):
                        raise receiver.error from error
                    if not is_reused or receiver.answer_bytes:
                        raise
                else:
                    return exchange
        except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as error:
            raise transfer_error(url, error) from error

    async def origin(self, url: URL) -> Origin:
        """Return the parts that requests to the origin of a URL share."""
        made = await make_origin(url, self.routes.of(url))
        # If another request was faster, its connections must be kept.
        return self.origins.setdefault((url.scheme, url.raw_host, url.port), made)

    async def _connect(self, origin: Origin) -> tuple[aiohttp.connector.Connection, Receiver, bool]:
        """Return the most recently used connection or a new one, and whether it is a reused one.

        Raises:
            OSError, aiohttp.ClientError, TimeoutError: No connection can be opened.
        """
        while origin.idle:
            receiver, connection = origin.idle.popitem()
            if receiver.idle_s() > IDLE_LIMIT_S:
                receiver.fail(ConnectionError("the connection was idle for too long"))
            elif receiver.has_unread():
                # Bytes that came before the request are no answer to it: let the loop read them.
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            if receiver.error is None:
                return connection, receiver, True
            connection.close()
        if self._is_closed:
            raise ConnectionError("the client is closed")
        try:
            # In a task, so that `aclose` can cancel it at any stage: names, proxies, TLS.
            opening = asyncio.ensure_future(connect(origin, self._limits))
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)
            connection, protocol, transport = await opening
        except asyncio.CancelledError:
            _close_opened(opening)
            if self._was_closed_meanwhile():
                raise ConnectionError("the client is closed") from None
            raise
        except TimeoutError as error:
            raise TimeoutError(SILENT) from error
        receiver = Receiver(protocol, transport, self.timeout_s, self.chunk_bytes, self._lost)
        self._open[receiver] = origin
        return connection, receiver, False

    def _was_closed_meanwhile(self) -> bool:
        """Whether `aclose` cancelled the opening of a connection; else its caller was cancelled."""
        task = asyncio.current_task()
        return self._is_closed and (task is None or not task.cancelling())

    def keep(self, receiver: Receiver, connection: aiohttp.connector.Connection) -> None:
        """Keep a connection for further requests, unless there are enough already."""
        if sum([len(each.idle) for each in self.origins.values()]) < self.connections:
            self._open[receiver].idle[receiver] = connection
        else:
            receiver.fail(ConnectionError("the connection is not needed"))
            connection.close()

    def _lost(self, receiver: Receiver) -> None:
        origin = self._open.pop(receiver, None)
        connection = origin.idle.pop(receiver, None) if origin is not None else None
        if connection is not None:
            connection.close()

    async def aclose(self) -> None:
        """Close all connections and open no new ones; do not wait for name lookups."""
        self._is_closed = True
        for receiver in tuple(self._open):
            receiver.fail(ConnectionError("the request was aborted"))
        opening = tuple(self._opening)
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
        await self.routes.aclose()
        await asyncio.sleep(0)  # transports close in the next iteration of the loop


def _close_opened(opening: asyncio.Future[Opened]) -> None:
    """Close a connection that was opened just as its caller was cancelled."""
    if opening.done() and not opening.cancelled() and opening.exception() is None:
        connection, _, transport = opening.result()
        transport.abort()
        connection.close()


@asynccontextmanager
async def engine_client(
    connections: int,
    timeout_s: float,
    chunk_bytes: int = CHUNK_BYTES,
    *,
    proxy_of: ProxyOf = _no_proxy,
    make_tls: MakeTls = _system_tls,
    note: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[Client]:
    """Open a client, and close its connections at the end.

    Args:
        connections: How many idle connections it keeps.
        timeout_s: How long the source may be silent, in seconds, while connecting or sending;
            a body that keeps coming may take as long as it needs.
        chunk_bytes: The chunk size of large bodies; small if the run has a rate limit.
        proxy_of: Returns the proxy of a request, with its user information; None for none.
        make_tls: Creates the TLS context when the first https request is sent.
        note: Receives a message if the installed aiohttp does not support the faster client.
    """
    missing = missing_names()
    if missing:
        note(
            f"the installed aiohttp lacks {', '.join(missing)}: requests use its session, "
            "which takes more processor time; install the version in requirements/runtime.txt"
        )
        opening = session_client(connections, timeout_s, proxy_of=proxy_of, make_tls=make_tls)
        async with opening as client:
            yield client
        return
    routes = EngineRoutes(0, timeout_s, proxy_of, make_tls)
    exchange = ExchangeClient(routes, connections, timeout_s, chunk_bytes)
    try:
        yield exchange
    finally:
        await exchange.aclose()


@asynccontextmanager
async def session_client(
    connections: int,
    timeout_s: float,
    *,
    proxy_of: ProxyOf = _no_proxy,
    make_tls: MakeTls = _system_tls,
) -> AsyncIterator[Client]:
    """Open a client on aiohttp's documented session; see `engine_client`.

    Args:
        connections: How many connections it may keep open.
        timeout_s: How long the source may be silent, in seconds.
        proxy_of: Returns the proxy of a request.
        make_tls: Creates the TLS context.
    """
    routes = EngineRoutes(connections, timeout_s, proxy_of, make_tls)
    try:
        yield AiohttpClient(routes, timeout_s)
    finally:
        await routes.aclose()
