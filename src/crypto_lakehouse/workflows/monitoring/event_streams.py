"""What a run does, once a second, to each browser that shows its page: server-sent events.

A stream never holds up the run, and has no queue: each event is made when its reader has taken the
one before. A reader that takes none is dropped.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio
from attrs import define, field

from crypto_lakehouse.pages.figures import Progress

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["MOST_STREAMS", "EventStreams"]

#: How many streams there may be at the same time; a browser has one for each tab.
MOST_STREAMS = 16

_EVERY_S = 1.0

#: How long a reader may take for the bytes that its connection cannot hold.
_PATIENCE_S = 30.0


@define(eq=False)
class EventStreams:
    """Answers requests for events.

    Args:
        progress_of: Returns what makes the events that answer a request, in the event loop; raises
            if there are none for it.
        every_s: The time between two events.
    """

    progress_of: Callable[[web.Request], Callable[[], Progress]]
    every_s: float = _EVERY_S
    _open: list[web.Request] = field(init=False, factory=list)
    _ended: anyio.Event = field(init=False, factory=anyio.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Send events until the reader leaves, or the run ends."""
        from aiohttp import web

        progress = self.progress_of(request)
        if len(self._open) >= MOST_STREAMS:
            text = f"there are {MOST_STREAMS} readers already; close a tab\n"
            return web.Response(status=503, text=text, headers={"Retry-After": "10"})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        self._open.append(request)
        try:
            await response.prepare(request)
            if request.method == "GET":
                with suppress(OSError, TimeoutError):  # the reader has left, or takes nothing
                    await self._send(response, progress)
        finally:
            self._open.remove(request)
        return response

    async def _send(self, response: web.StreamResponse, progress: Callable[[], Progress]) -> None:
        while not self._ended.is_set():
            await _write(response, "progress", json.dumps(progress()))
            with anyio.move_on_after(self.every_s):
                await self._ended.wait()
        await _write(response, "end", "")

    def end(self) -> None:
        """End all streams; a connection whose reader takes nothing is cut."""
        self._ended.set()
        for request in self._open:
            transport = request.transport
            if transport is not None and transport.get_write_buffer_size():
                transport.abort()


async def _write(response: web.StreamResponse, name: str, data: str) -> None:
    with anyio.fail_after(_PATIENCE_S):
        await response.write(f"event: {name}\ndata: {data}\n\n".encode())
