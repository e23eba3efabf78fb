"""Letting connections in: paths, the limit on connects, scripts."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from fnmatch import fnmatchcase
from itertools import count

from aiohttp import web

from crypto_lakehouse.testing.exchange.clock import SECOND_US, ExchangeClock
from crypto_lakehouse.testing.exchange.rules import MarketRules
from crypto_lakehouse.testing.exchange.streams.connection import (
    Connection,
    ConnectionRecord,
    Opening,
)
from crypto_lakehouse.testing.exchange.tape.tape import Tape
from crypto_lakehouse.testing.faults.connection_kinds import ConnectionFault
from crypto_lakehouse.testing.latch import Latch

__all__ = ["ConnectionScripts", "Door"]


class ConnectionScripts:
    """The scripts of connections that are not open yet, and their numbers, over all markets.

    All methods may be called from any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._scripts: list[tuple[str, tuple[ConnectionFault, ...]]] = []
        self._numbers = count(1)
        self._watchers: set[Latch] = set()

    def watch(self, latch: Latch) -> None:
        """Open a latch when the next connection is opened."""
        with self._lock:
            self._watchers.add(latch)

    def opened(self) -> None:
        """Open the latches that wait for a connection."""
        with self._lock:
            watchers, self._watchers = self._watchers, set()
        for latch in watchers:
            latch.open()

    def next_number(self) -> int:
        """Number a connection."""
        return next(self._numbers)

    def add(self, pattern: str, faults: Iterable[ConnectionFault]) -> None:
        """Add the script of the next connection whose market and path match.

        Raises:
            ValueError: Two faults are at one message.
        """
        script = tuple(faults)
        places = [fault.at for fault in script]
        for place in places:
            if places.count(place) > 1:
                raise ValueError(f"two faults are at message {place} of a connection")
        with self._lock:
            self._scripts.append((pattern, script))

    def clear(self) -> None:
        """Remove all of them."""
        with self._lock:
            self._scripts.clear()

    def take(self, path: str) -> tuple[ConnectionFault, ...]:
        """Take the first script that matches; an empty one if none does."""
        with self._lock:
            for index, (pattern, faults) in enumerate(self._scripts):
                if fnmatchcase(path, pattern):
                    del self._scripts[index]
                    return faults
        return ()


class Door:
    """Opens the connections of one market.

    Args:
        rules: The market's rules.
        clock: The exchange's time.
        tape: What happens.
        scripts: The faults of connections.

    Attributes:
        connections: All connections, oldest first.
    """

    def __init__(
        self, rules: MarketRules, clock: ExchangeClock, tape: Tape, scripts: ConnectionScripts
    ) -> None:
        self.connections: list[Connection] = []
        self._rules = rules
        self._clock = clock
        self._tape = tape
        self._scripts = scripts
        self._connects: dict[str, tuple[int, int]] = {}

    @property
    def records(self) -> list[ConnectionRecord]:
        """What is known of all connections, oldest first."""
        return [connection.record for connection in self.connections]

    def wait_s(self, ip: str) -> int | None:
        """Count a connect of an IP; return how long it must wait, None if it need not."""
        limit = self._rules.live.connects
        if limit is None:
            return None
        now_us, window_us = self._clock.now_us, limit.window_s * SECOND_US
        number, used = self._connects.get(ip, (-1, 0))
        used = used + 1 if number == now_us // window_us else 1
        number = now_us // window_us
        self._connects[ip] = number, used
        if used <= limit.requests:
            return None
        return -(-((number + 1) * window_us - now_us) // SECOND_US)

    def opening(self, request: web.BaseRequest) -> Opening | None:
        """Read how a connection begins; None if there is no such path."""
        prefix, is_combined, names = _split(request)
        kinds = self._rules.live.routes.get(prefix)
        if kinds is None or is_combined is None:
            return None
        unit = request.rel_url.query.get("timeUnit", "").upper()
        path = f"{self._rules.market}{request.path}"
        return Opening(
            path=path,
            streams=names,
            combined=is_combined,
            kinds=kinds,
            is_mute=not kinds,
            us_per_unit=1 if self._rules.microseconds and unit == "MICROSECOND" else 1000,
            script=self._scripts.take(path),
        )

    async def serve(self, request: web.BaseRequest, opening: Opening) -> web.WebSocketResponse:
        """Serve a connection until it ends."""
        number = self._scripts.next_number()
        connection = Connection(request, opening, self._rules, self._clock, self._tape, number)
        self.connections.append(connection)
        self._scripts.opened()
        return await connection.serve()

    async def shut_down(self, after_s: float) -> None:
        """Announce a shutdown on all open connections, and close them some time later."""
        ends_us = self._clock.now_us + round(after_s * SECOND_US)
        for connection in self.connections:
            if connection.record.closed_us is None:
                await connection.announce_shutdown()
                connection.end_at(ends_us)


def _split(request: web.BaseRequest) -> tuple[str, bool | None, tuple[str, ...]]:
    """The path before `/ws` or `/stream`, whether it is the latter, and the streams."""
    head, is_raw, rest = request.path.partition("/ws")
    if is_raw and (not rest or rest.startswith("/")):
        return head, False, tuple(name for name in rest.split("/") if name)
    if request.path.endswith("/stream"):
        names = request.rel_url.query.get("streams", "").split("/")
        prefix = request.path.removesuffix("/stream")
        return prefix, True, tuple(name for name in names if name)
    return "", None, ()
