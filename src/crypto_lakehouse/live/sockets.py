"""Open WebSocket connections with aiohttp's client: the only module of `live` that knows it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

import aiohttp
import anyio
from attrs import define, frozen
from yarl import URL

from crypto_lakehouse.core.errors import (
    ConnectionFailed,
    HostRefusedError,
    PlaceRefusedError,
    ServerError,
    TimedOut,
    TransferError,
)
from crypto_lakehouse.http.routes import Routes
from crypto_lakehouse.http.tls_errors import tls_refusal
from crypto_lakehouse.http.transport import retry_after_s
from crypto_lakehouse.segments.live_writer import MESSAGE_BYTES

__all__ = ["AiohttpSockets", "Ended", "Ping", "Socket", "Sockets"]

#: The largest messages, changes of a book, have some 100 kB; a segment takes no larger ones.
_LARGEST_MESSAGE = MESSAGE_BYTES

#: How long the other side has to answer a close frame, in seconds.
_CLOSE_S = 1.0


@frozen
class Ping:
    """A ping, which must be answered with its payload."""

    payload: bytes


@frozen
class Ended:
    """The end of a connection.

    Attributes:
        code: The code of the close frame; 1006 if there was none.
    """

    code: int


class Socket(Protocol):
    """An open connection."""

    async def receive(self) -> bytes | Ping | Ended:
        """Return the next message, ping, or the end."""
        ...

    async def pong(self, payload: bytes) -> None:
        """Answer a ping."""
        ...

    async def close(self) -> None:
        """End the connection; `receive` then returns the end."""
        ...


class Sockets(Protocol):
    """Opens connections."""

    async def open(self, url: URL) -> Socket:
        """Open a connection.

        Raises:
            TransferError: There is none.
            HostRefusedError: The host refuses this machine.
        """
        ...


@define
class AiohttpSockets:
    """Opens connections through the sessions of the engine, so through its proxies and TLS.

    Args:
        routes: Selects the session of an address.
        timeout_s: How long a host may take to open a connection, in seconds.
    """

    routes: Routes
    timeout_s: float

    async def open(self, url: URL) -> Socket:
        """Open a connection; see `Sockets.open`."""
        route = self.routes.of(url.with_scheme("https" if url.scheme == "wss" else "http"))
        headers = {}
        if route.proxy_authorization is not None and url.scheme == "ws":
            headers["Proxy-Authorization"] = route.proxy_authorization
        _refuse_redirects(route.session)
        with _translated(url):
            with anyio.fail_after(self.timeout_s):
                socket = await route.session.ws_connect(
                    url,
                    headers=headers,
                    autoping=False,
                    max_msg_size=_LARGEST_MESSAGE,
                    timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_S),
                    decode_text=False,
                    **route.options,
                )
        return _AiohttpSocket(socket)


@define
class _AiohttpSocket:
    socket: aiohttp.ClientWebSocketResponse[Any]

    async def receive(self) -> bytes | Ping | Ended:
        message = await self.socket.receive()
        if message.type is aiohttp.WSMsgType.TEXT or message.type is aiohttp.WSMsgType.BINARY:
            data: bytes = message.data
            return data
        if message.type is aiohttp.WSMsgType.PING:
            return Ping(bytes(message.data))
        if message.type is aiohttp.WSMsgType.PONG:
            return Ping(b"")
        return Ended(self.socket.close_code or aiohttp.WSCloseCode.ABNORMAL_CLOSURE)

    async def pong(self, payload: bytes) -> None:
        try:
            await self.socket.pong(payload)
        except (aiohttp.ClientError, ConnectionError):
            return  # `receive` returns the end

    async def close(self) -> None:
        await self.socket.close()


async def _redirected(*_given: object) -> None:
    raise aiohttp.ClientConnectionError("redirects are not followed; name the place itself")


#: aiohttp's client of WebSockets follows redirects, also to hosts that no configuration names.
_NO_REDIRECTS = aiohttp.TraceConfig()
_NO_REDIRECTS.on_request_redirect.append(_redirected)
_NO_REDIRECTS.freeze()


def _refuse_redirects(session: aiohttp.ClientSession) -> None:
    if _NO_REDIRECTS not in session.trace_configs:
        session.trace_configs.append(_NO_REDIRECTS)


@contextmanager
def _translated(url: URL) -> Iterator[None]:
    place = str(url.with_query(None))
    try:
        yield
    except aiohttp.WSServerHandshakeError as error:
        raise _refusal(url, place, error) from error
    except TimeoutError as error:
        raise TimedOut(place, "no connection within the time limit") from error
    except aiohttp.ClientError as error:
        cause = getattr(error, "certificate_error", None) or error.__cause__ or error
        if refused := tls_refusal(place, cause):
            raise refused from error
        raise ConnectionFailed(place, f"no connection: {error}") from error
    except OSError as error:
        raise ConnectionFailed(place, f"no connection: {error}") from error


def _refusal(
    url: URL, place: str, error: aiohttp.WSServerHandshakeError
) -> TransferError | HostRefusedError:
    host = url.host_port_subcomponent or ""
    wait_s = retry_after_s(
        error.headers.get("Retry-After") if error.headers else None, datetime.now(UTC)
    )
    if error.status == 451:
        return PlaceRefusedError(host)
    if error.status in {403, 418}:
        return HostRefusedError(host, error.status, wait_s)
    return ServerError(place, error.status, wait_s)
