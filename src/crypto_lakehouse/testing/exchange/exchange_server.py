"""A server that stands in for the public API of the exchange."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from itertools import chain
from typing import Self

from crypto_lakehouse.core.archive import Market
from crypto_lakehouse.testing.exchange.archives import tape_archive
from crypto_lakehouse.testing.exchange.clock import ExchangeClock
from crypto_lakehouse.testing.exchange.gate import Gate, World
from crypto_lakehouse.testing.exchange.rules import EXCHANGE_MARKETS, MarketRules, exchange_rules
from crypto_lakehouse.testing.exchange.streams.connection import ConnectionRecord
from crypto_lakehouse.testing.exchange.streams.door import ConnectionScripts
from crypto_lakehouse.testing.exchange.tape.tape import Tape
from crypto_lakehouse.testing.faults.connection_kinds import ConnectionFault
from crypto_lakehouse.testing.faults.kinds import Fault
from crypto_lakehouse.testing.faults.script import FaultScripts
from crypto_lakehouse.testing.latch import Latch
from crypto_lakehouse.testing.server.archive_server import ArchiveServer
from crypto_lakehouse.testing.server.request_log import RequestRecord
from crypto_lakehouse.testing.server.serving import accepting, in_thread
from crypto_lakehouse.testing.server.silences import Silences

__all__ = ["ExchangeServer"]

_LOOPBACK = "127.0.0.1"


class ExchangeServer:
    """The public market data of spot, USD-M and COIN-M futures, on a local port for each.

    It keeps the exchange's rules: weights by clock minute and IP, 429 and then 418 with
    Retry-After, page sizes, windows, inclusive ends, unfinished bars; on WebSocket connections
    paths, pings, limits and the end after 24 hours. Its time is its own: `clock.advance` moves it,
    and everything follows.

    Use it as an asynchronous context manager to serve in the running event loop, or as a plain
    one to serve in a background thread, for synchronous code and other processes. All methods
    may be called from any thread.

    Args:
        tape: What happened; by default made up for two symbols of each market since 2026-01-01.
        clock: The exchange's time; by default it stands still at 2026-05-08 12:00 UTC.
        rules: The rules of markets whose real ones have changed; see `exchange_rules`.
        other_weight: What other programs on each IP use of its budget, at the start of every
            minute: a client that counts only its own requests exceeds the limit.
        host: The address to listen on.

    Examples:
        >>> from urllib.request import urlopen
        >>> with ExchangeServer() as server:
        ...     urlopen(server.url("spot") + "/api/v3/time").read()
        b'{"serverTime":1778241600000}'
    """

    def __init__(
        self,
        tape: Tape | None = None,
        *,
        clock: ExchangeClock | None = None,
        rules: Iterable[MarketRules] = (),
        other_weight: int = 0,
        host: str = _LOOPBACK,
    ) -> None:
        self.tape = tape or Tape()
        self.clock = clock or ExchangeClock(datetime(2026, 5, 8, 12, tzinfo=UTC))
        self._scripts = FaultScripts()
        self._silences = Silences()
        self._log: list[RequestRecord] = []
        self._live_scripts = ConnectionScripts()
        self._loop: asyncio.AbstractEventLoop | None = None
        world = World(
            self.clock,
            self.tape,
            self._scripts,
            self._silences,
            self._log,
            self._live_scripts,
        )
        known = {market: exchange_rules(market) for market in EXCHANGE_MARKETS}
        known |= {each.market: each for each in rules}
        self._gates = {market: Gate(each, world, other_weight) for market, each in known.items()}
        self._host = host
        self._ports: dict[Market, int] = {}
        self._contexts = AsyncExitStack()
        self._thread_contexts = ExitStack()

    def url(self, market: Market | str) -> str:
        """The URL of a market, without a slash at the end: what stands before `/api/v3`.

        Raises:
            RuntimeError: The server is not running.
            ValueError: There is no such market.
        """
        return f"http://{self._host}:{self._port(market)}"

    def ws_url(self, market: Market | str) -> str:
        """The WebSocket URL of a market: what stands before `/ws`, `/stream`, `/public`, `/market`.

        Raises:
            RuntimeError: The server is not running.
            ValueError: There is no such market.
        """
        return f"ws://{self._host}:{self._port(market)}"

    @property
    def requests(self) -> list[RequestRecord]:
        """The requests and their statuses, oldest first; a copy.

        Their `path` is the market and the path: `spot/api/v3/klines`.
        """
        return self._log.copy()

    def count(self, pattern: str = "*", *, status: int | None = None) -> int:
        """Count the requests whose path matches a glob, of one status if it is given."""
        return sum(
            fnmatchcase(record.path, pattern) and status in {None, record.status}
            for record in self.requests
        )

    def used_weight(self, market: Market | str, ip: str = _LOOPBACK) -> int:
        """The weight that an IP has used in this minute, over all its programs."""
        return self._gate(market).used_weight(ip)

    def spend(self, market: Market | str, weight: int, ip: str = _LOOPBACK) -> None:
        """Use weight of an IP's budget now, as another program on it does.

        Raises:
            ValueError: The weight is negative, or there is no such market.
        """
        if weight < 0:
            raise ValueError(f"no program uses a weight of {weight}; give 0 or more")
        self._gate(market).spend(ip, weight)

    def banned_until(self, market: Market | str, ip: str = _LOOPBACK) -> int | None:
        """When the ban of an IP ends, in microseconds; None if it is not banned."""
        return self._gate(market).banned_until(ip)

    def refuse(self, market: Market | str, status: int | None) -> None:
        """Answer every request to a market with 403 or 451 from now on; None ends that.

        Raises:
            ValueError: It is another status, or there is no such market.
        """
        if status not in {None, 403, 451}:
            raise ValueError(f"a market refuses with 403 or 451, not {status}; script `Status`")
        self._gate(market).refused_with = status

    def inject(self, pattern: str, *faults: Fault | Iterable[Fault], endless: bool = False) -> None:
        """Script faults for future requests; each that matches takes the next one.

        Args:
            pattern: The market and the path, or a glob: `futures_um/fapi/v1/klines`, `*Trades`.
            faults: Faults, and sequences of them: those of `crypto_lakehouse.testing.faults`.
            endless: Whether to start over after the last one.
        """
        flat = [[fault] if isinstance(fault, Fault) else fault for fault in faults]
        self._scripts.add(pattern, chain.from_iterable(flat), endless=endless)

    def publish(self, archives: ArchiveServer, *keys: str) -> None:
        """Let an archive server hold archives of the same tape, with their sidecars.

        Args:
            archives: The server, best made with `generate=False`.
            keys: Of bars, trades, aggTrades, fundingRate or metrics; whole days or months, even if
                the clock has not reached their end.

        Raises:
            ArchiveKeyError: The tape has no such symbol or data type.
        """
        for key in keys:
            archives.publish(key, tape_archive(self.tape, key))

    @property
    def connections(self) -> list[ConnectionRecord]:
        """All WebSocket connections, oldest first; a copy."""
        records = [record for gate in self._gates.values() for record in gate.door.records]
        return sorted(records, key=lambda record: record.number)

    def script_connection(self, pattern: str, *faults: ConnectionFault) -> None:
        """Script the next WebSocket connection whose market and path match.

        Args:
            pattern: The market and the path, or a glob: `spot/*`, `futures_um/market/stream`.
            faults: Its faults, of `crypto_lakehouse.testing.faults`, at most one for each message.

        Raises:
            ValueError: Two faults are at one message.
        """
        self._live_scripts.add(pattern, faults)

    async def connected(self, count: int = 1) -> None:
        """Wait until so many WebSocket connections were opened, over all markets."""
        while True:
            opened = Latch()
            self._live_scripts.watch(opened)
            if len(self.connections) >= count:
                return
            await opened.passed()

    async def settled(self) -> None:
        """Wait until each connection has got all that is due, and has answered all pings.

        A client that does not answer pings keeps this waiting until its connection ends.
        """
        for gate in self._gates.values():
            for connection in gate.door.connections.copy():
                while True:
                    changed = Latch()
                    connection.watch(changed)
                    if connection.is_settled:
                        break
                    await changed.passed()

    async def shut_down(self, market: Market | str, after_s: float) -> None:
        """Announce a `serverShutdown` on a market's connections; close them `after_s` later."""
        door = self._gate(market).door
        if self._loop is None:
            raise RuntimeError("the exchange server does not serve; enter it with `with` first")
        future = asyncio.run_coroutine_threadsafe(door.shut_down(after_s), self._loop)
        await asyncio.wrap_future(future)

    def heal(self) -> None:
        """Forget all faults that are still scripted."""
        self._scripts.clear()
        self._live_scripts.clear()

    def release(self) -> None:
        """End all current silences of `Stall`; future ones are kept."""
        self._silences.release()

    async def __aenter__(self) -> Self:
        self._check_idle()
        self._ports = await self._contexts.enter_async_context(self._serving())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ports = {}
        await self._contexts.aclose()

    def __enter__(self) -> Self:
        self._check_idle()
        context = in_thread(self._serving, "exchange-server")
        self._ports = self._thread_contexts.enter_context(context)
        return self

    def __exit__(self, *_: object) -> None:
        self._ports = {}
        self._thread_contexts.close()

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[dict[Market, int]]:
        self._loop = asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            yield {
                market: await stack.enter_async_context(accepting(gate, self._host, 0))
                for market, gate in self._gates.items()
            }

    def _port(self, market: Market | str) -> int:
        where = self._gate(market).rules.market
        if where not in self._ports:
            raise RuntimeError("the exchange server does not serve; enter it with `with` first")
        return self._ports[where]

    def _gate(self, market: Market | str) -> Gate:
        return self._gates[exchange_rules(market).market]

    def _check_idle(self) -> None:
        if self._ports:
            raise RuntimeError("the exchange server serves already")
