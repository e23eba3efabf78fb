"""Send an answer over aiohttp, as far as it goes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

from aiohttp import web

from crypto_lakehouse.testing.answers import BEFORE_HEADERS, Answer, Silence
from crypto_lakehouse.testing.stored import Content

__all__ = ["Sender", "cut"]

#: Bodies are read and written in pieces of this size.
_PIECE_BYTES = 1 << 20

#: Reads a piece of a content, off the event loop where that may block.
Read = Callable[[Content, int, int], Awaitable[bytes]]

#: Keeps a silence.
Keep = Callable[[Silence], Awaitable[None]]


class Sender:
    """Sends answers, with the cuts and silences that they have.

    Args:
        read: How to read a content.
        keep: How to keep a silence.
    """

    def __init__(self, read: Read, keep: Keep) -> None:
        self._read = read
        self._keep = keep

    async def send(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        """Send an answer, whole or in part; the connection is cut where the answer says so."""
        size = answer.content.size
        headers = {"Server": "AmazonS3", **answer.headers}
        chunked = headers.pop("Transfer-Encoding", "") == "chunked"
        is_whole = answer.cut_at is None and answer.silence is None
        if is_whole and not chunked and size <= _PIECE_BYTES:
            # HEAD needs the length only; aiohttp leaves the body away by itself.
            body = await self._read(answer.content, 0, size)
            return web.Response(status=answer.status, headers=headers, body=body)
        response = web.StreamResponse(status=answer.status, headers=headers)
        if chunked:
            response.enable_chunked_encoding()
        else:
            response.content_length = size
        with suppress(ConnectionError):  # the client has gone
            if await self._send_all(request, response, answer):
                await response.write_eof()
            else:
                cut(request)
        return response

    async def _send_all(
        self, request: web.BaseRequest, response: web.StreamResponse, answer: Answer
    ) -> bool:
        """Send until the end, where to return True, or until the place of the cut."""
        for place, end in _stretches(answer, has_body=request.method != "HEAD"):
            silence = answer.silence
            if silence is not None and silence.at == place:
                await self._keep(silence)
            if answer.cut_at == place:
                return False
            if place == BEFORE_HEADERS:
                await response.prepare(request)
            else:
                await response.write(await self._read(answer.content, place, end))
        return True


def _stretches(answer: Answer, *, has_body: bool) -> Iterator[tuple[int, int]]:
    """Divide an answer into stretches, none of which goes over a place where something happens.

    The last one is empty: it is the end, where something can happen, too.
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


def cut(request: web.BaseRequest) -> None:
    """Close the connection, behind what was written to it."""
    if request.transport is not None:
        request.transport.close()
