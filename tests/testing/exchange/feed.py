"""A plain WebSocket client that reads in the background."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from crypto_lakehouse.testing import ExchangeServer
from crypto_lakehouse.testing.exchange.streams.connection import ConnectionRecord

__all__ = ["Feed", "feed"]


class Feed:
    """One connection of a plain client.

    Attributes:
        texts: All events that came, as text.
        replies: All answers to requests.
        shutdowns: All `serverShutdown` events.
    """

    def __init__(self, server: ExchangeServer, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.server = server
        self.socket = socket
        self.record: ConnectionRecord = server.connections[-1]
        self.texts: list[str] = []
        self.replies: list[Any] = []
        self.shutdowns: list[Any] = []
        self._changed = asyncio.Condition()

    @property
    def events(self) -> list[Any]:
        """The events that came, without a wrapper."""
        values = [json.loads(text) for text in self.texts]
        return [value.get("data", value) for value in values]

    async def read(self) -> None:
        """Read until the connection ends."""
        async for message in self.socket:
            assert message.type is aiohttp.WSMsgType.TEXT
            self._sort(message.data)
            async with self._changed:
                self._changed.notify_all()
        async with self._changed:
            self._changed.notify_all()

    def _sort(self, text: str) -> None:
        if '"serverShutdown"' in text:
            self.shutdowns.append(json.loads(text))
        elif text.startswith(('{"result"', '{"code"')):
            self.replies.append(json.loads(text))
        else:
            self.texts.append(text)

    async def advance(self, seconds: float) -> None:
        """Move the exchange's time, and wait for all that is due."""
        self.server.clock.advance(seconds)
        await self.server.settled()
        await self.until(lambda: len(self.texts) >= self.record.sent)

    async def until(self, holds: Any) -> None:
        """Wait until something holds, or the connection has ended."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.socket.closed or holds())

    async def ask(self, method: str, *values: Any, id_: Any = 1) -> Any:
        """Send a request, and return its answer."""
        return await self.ask_text(json.dumps({"method": method, "params": values, "id": id_}))

    async def ask_text(self, text: str) -> Any:
        """Send a text, and return its answer."""
        count = len(self.replies)
        await self.socket.send_str(text)
        await self.until(lambda: len(self.replies) > count)
        return self.replies[-1]


@asynccontextmanager
async def feed(
    server: ExchangeServer, market: str, path: str, *, autoping: bool = True
) -> AsyncIterator[Feed]:
    """Open a connection, and read it."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(server.ws_url(market) + path, autoping=autoping) as socket,
    ):
        opened = Feed(server, socket)
        reader = asyncio.create_task(opened.read())
        yield opened
        await socket.close()
        await reader
