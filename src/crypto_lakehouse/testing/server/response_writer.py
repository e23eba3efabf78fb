"""Send a response over aiohttp, up to its cut if it has one."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from http import HTTPStatus

from aiohttp import web

from crypto_lakehouse.testing.objects.objects import Content
from crypto_lakehouse.testing.objects.responses import BEFORE_HEADERS, ServerResponse, Silence

__all__ = ["ResponseWriter", "cut"]

#: Bodies are read and written in pieces of this size.
_PIECE_BYTES = 1 << 20

#: Reads a piece of a content, off the event loop if that may block.
Read = Callable[[Content, int, int], Awaitable[bytes]]

#: Waits until a silence ends.
Keep = Callable[[Silence], Awaitable[None]]


class ResponseWriter:
    """Sends responses, with their cuts and silences.

    Args:
        read: Reads a content.
        keep: Waits until a silence ends.
    """

    def __init__(self, read: Read, keep: Keep) -> None:
        self._read = read
        self._keep = keep

    async def send(self, request: web.BaseRequest, answer: ServerResponse) -> web.StreamResponse:
        """Send a response, completely or up to the place where it cuts the connection."""
        size = answer.content.size
        headers = {"Server": "AmazonS3", **answer.headers}
        chunked = headers.pop("Transfer-Encoding", "") == "chunked"
        if answer.ends_with_connection:
            with suppress(ConnectionError):
                await self._send_unannounced(request, answer, headers)
            return web.Response()
        if _is_ordinary(answer) and not chunked and size <= _PIECE_BYTES:
            # HEAD needs only the length; aiohttp omits the body by itself.
            body = await self._read(answer.content, 0, size)
            return web.Response(status=answer.status, headers=headers, body=body)
        response = web.StreamResponse(status=answer.status, headers=headers)
        if chunked:
            response.enable_chunked_encoding()
        else:
            response.content_length = size if answer.announced is None else answer.announced
        with suppress(ConnectionError):  # the client has gone
            if await self._send_all(request, response, answer):
                await response.write_eof()
                await self._send_end(request, answer)
            else:
                cut(request, resets=answer.resets)
        return response

    async def _send_unannounced(
        self, request: web.BaseRequest, answer: ServerResponse, headers: dict[str, str]
    ) -> None:
        """Write the response without aiohttp, which would use chunks; end the connection."""
        transport = request.transport
        if transport is None:
            return
        phrase = HTTPStatus(answer.status).phrase
        lines = [f"HTTP/1.1 {answer.status} {phrase}", *(f"{k}: {v}" for k, v in headers.items())]
        head = "\r\n".join([*lines, "Connection: close", "", ""]).encode()
        end = answer.content.size if answer.cut_at is None else max(0, answer.cut_at)
        transport.write(head + await self._read(answer.content, 0, end))
        cut(request)

    async def _send_end(self, request: web.BaseRequest, answer: ServerResponse) -> None:
        """Send surplus bytes and hang up, if the response has these faults."""
        size = answer.content.size
        announced = size if answer.announced is None else answer.announced
        surplus = await self._read(answer.content, announced, size) if announced < size else b""
        if request.transport is not None and (surplus or answer.surplus):
            request.transport.write(surplus + answer.surplus)
        if answer.hangs_up or announced > size:
            cut(request)

    async def _send_all(
        self, request: web.BaseRequest, response: web.StreamResponse, answer: ServerResponse
    ) -> bool:
        """Send until the end and return True, or until the cut and return False."""
        for place, end in _stretches(answer, has_body=request.method != "HEAD"):
            silence = answer.silence
            if silence is not None and silence.at == place:
                await self._keep(silence)
            if answer.cut_at == place:
                return False
            if place == BEFORE_HEADERS:
                await response.prepare(request)
            elif answer.byte_every_s:
                await self._drip(response, answer, place, end)
            else:
                await response.write(await self._read(answer.content, place, end))
        return True

    async def _drip(
        self, response: web.StreamResponse, answer: ServerResponse, place: int, end: int
    ) -> None:
        for byte in await self._read(answer.content, place, end):
            await response.write(bytes([byte]))
            await asyncio.sleep(answer.byte_every_s)


def _is_ordinary(answer: ServerResponse) -> bool:
    """Whether the response has no cut and no silence."""
    return (
        answer.cut_at is None
        and answer.silence is None
        and answer.announced is None
        and not (answer.hangs_up or answer.surplus or answer.byte_every_s)
    )


def _stretches(answer: ServerResponse, *, has_body: bool) -> Iterator[tuple[int, int]]:
    """Divide a response into ranges that do not span a place where something happens.

    The last one is empty: something can also happen at the end.
    """
    yield BEFORE_HEADERS, 0
    size = answer.content.size if has_body else 0
    silent_at = answer.silence.at if answer.silence is not None else BEFORE_HEADERS
    cut_at = BEFORE_HEADERS if answer.cut_at is None else answer.cut_at
    place = 0
    while place < size:
        stops = [stop for stop in (silent_at, cut_at) if stop > place]
        end = min([size, place + _PIECE_BYTES, *stops])
        yield place, end
        place = end
    yield size, size


def cut(request: web.BaseRequest, *, resets: bool = False) -> None:
    """Close the connection after what was written to it, or reset it."""
    transport = request.transport
    if transport is None:
        return
    if not resets:
        transport.close()
        return
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
