"""A recording of an exchange server, by the clock of the exchange."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from attrs import define, field

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.core.stream_kinds import StreamKind
from crypto_lakehouse.http.client import engine_client
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.http.routes import EngineRoutes
from crypto_lakehouse.http.tls import tls_context
from crypto_lakehouse.live.gap_filler import GapFiller
from crypto_lakehouse.live.line import LiveTimes
from crypto_lakehouse.live.recorder import Recorder
from crypto_lakehouse.live.snapshots import SnapshotFetcher
from crypto_lakehouse.live.sockets import AiohttpSockets
from crypto_lakehouse.live.streams import LiveStream
from crypto_lakehouse.rest import RestClient
from crypto_lakehouse.segments.live_segment import LiveMark, LiveMessage, read_live_from
from crypto_lakehouse.segments.live_writer import LiveWriter
from crypto_lakehouse.stores.directory import LocalStore
from crypto_lakehouse.testing import ExchangeServer
from crypto_lakehouse.testing.latch import Latch

__all__ = ["MARKETS", "ExchangeTime", "Recording", "recording"]

MARKETS = (Market.SPOT, Market.FUTURES_UM, Market.FUTURES_CM)

#: So many steps of the loop after a response, all that it wakes has been woken.
_STEPS = 20


@define
class ExchangeTime:
    """The exchange's clock as that of this machine; sleeps end when a test moves it."""

    exchange: ExchangeServer

    def local(self) -> float:
        return self.exchange.clock.now_us / 1_000_000

    async def sleep(self, seconds: float) -> None:
        until_us = self.exchange.clock.now_us + round(seconds * 1_000_000)
        while self.exchange.clock.now_us < until_us:
            await self.exchange.clock.wait(until_us, Latch())
        await asyncio.sleep(0)

    @property
    def times(self) -> LiveTimes:
        return LiveTimes(self.local, self.sleep, lambda: self.exchange.clock.now_us, lambda: 0.5)


@define
class Recording:
    """A recording that is under way.

    Attributes:
        stored: The keys of the segments that are finished.
        notes: Remarks for the user.
    """

    exchange: ExchangeServer
    store: LocalStore
    recorder: Recorder
    stored: list[str] = field(factory=list)
    notes: list[str] = field(factory=list)

    async def advance(self, seconds: float, step_s: float = 1.0) -> None:
        """Move the exchange's time, and let the recorder work."""
        for _ in range(round(seconds / step_s)):
            self.exchange.clock.advance(step_s)
            await self.exchange.settled()
            for _ in range(_STEPS):
                await asyncio.sleep(0)

    async def until(self, holds: Any, most_s: int = 4000) -> None:
        """Move the exchange's time until something holds."""
        for _ in range(most_s):
            if holds():
                return
            await self.advance(1)
        raise AssertionError(f"it does not hold after {most_s} s")

    def lines(self) -> Iterator[tuple[StreamKind, LiveMessage | LiveMark]]:
        """Read the finished segments."""
        for key in sorted(self.stored):
            header, lines = read_live_from(self.store, key)
            for line in lines:
                yield header.kind, line

    def marks(self, name: str) -> list[LiveMark]:
        """The marks of a name in all segments."""
        return [x for _, x in self.lines() if isinstance(x, LiveMark) and x.name == name]

    def messages(self) -> list[LiveMessage]:
        """The messages in all segments."""
        return [line for _, line in self.lines() if isinstance(line, LiveMessage)]


@asynccontextmanager
async def recording(
    exchange: ExchangeServer,
    folder: Path,
    streams: Iterable[LiveStream],
    *,
    fills: bool = True,
    waits: bool = True,
    url: str = "",
) -> AsyncIterator[Recording]:
    """Record until the end of the block; segments are finished then."""
    time = ExchangeTime(exchange)
    store = LocalStore(folder)
    store.prepare()
    routes = EngineRoutes(0, 20, lambda _url: None, lambda: tls_context(None, {}))
    async with engine_client(32, 20) as client:
        rest = RestClient.of(
            client,
            {market: exchange.url(market) for market in MARKETS},
            retry=RetryPolicy(max_retries=1, sleep=time.sleep),
            local=time.local,
            sleep=time.sleep,
            wall=lambda: exchange.clock.now,
            asks_again=True,
        )

        def writer(market: Market, kind: StreamKind) -> LiveWriter:
            return LiveWriter(
                store=store, market=market, kind=kind, recording="0123abcd", tool_version="1"
            )

        stored: list[str] = []
        notes: list[str] = []
        recorder = Recorder(
            streams=list(streams),
            sockets=AiohttpSockets(routes, 20),
            make_writer=writer,
            on_stored=stored.extend,
            filler=GapFiller(rest) if fills else None,
            snapshots=SnapshotFetcher(rest) if fills else None,
            snapshot_every_s=120,
            urls={market: url or exchange.ws_url(market) for market in MARKETS},
            times=time.times,
            note=notes.append,
        )
        started = Recording(exchange, store, recorder, stored, notes)
        opened = len(exchange.connections)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(recorder.run)
                if waits:
                    await exchange.connected(opened + 1)
                for _ in range(_STEPS):
                    await asyncio.sleep(0)
                yield started
                tasks.cancel_scope.cancel()
        finally:
            await routes.aclose()
