"""Keep the streams of one connection coming, over as many connections as that takes.

A connection is replaced before its planned end, on a `serverShutdown`, and when nothing but pings
comes for long: the next one is up before it is closed, so that both get the same messages for a
while. One that is silent, pings included, or that ends by itself is replaced at once.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

import anyio
from attrs import define, field, frozen

from crypto_lakehouse.core.errors import ServerError, TransferError
from crypto_lakehouse.live.sockets import Ping, Socket, Sockets
from crypto_lakehouse.live.streams import ConnectionPlan

__all__ = ["ConnectLimit", "Line", "LiveTimes", "Receiver"]

#: The exchange ends a connection after 24 hours.
_PLANNED_S, _JITTER_S = 23.5 * 3600, 600.0

#: How long two connections overlap after the new one has its first frame, in seconds.
_OVERLAP_S = 5.0

#: A connection that lived so long was a good one: the next one is opened at once.
_GOOD_S = 10.0

_LONGEST_WAIT_S = 60.0

#: Where nothing comes for long, a new connection is tried at last once an hour.
_LONGEST_QUIET_S = 3600.0

_WINDOW_S = 300.0

#: Codes that no server has sent.
_ENDINGS = {1006: "it broke (1006)", 1009: "a message was too large (1009)"}


@frozen
class LiveTimes:
    """Where the time comes from; a parameter for tests, which follow the exchange's clock.

    Attributes:
        local: A clock that only goes forward, in seconds.
        sleep: Sleeps for seconds of it.
        wall_us: The machine's time, in microseconds since the epoch.
        chance: Returns a number from 0 to 1, for jitter.
    """

    local: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    wall_us: Callable[[], int] = lambda: time.time_ns() // 1000
    chance: Callable[[], float] = random.random


class Receiver(Protocol):
    """Takes what comes over the connections of a line."""

    def opened(self, number: int) -> None:
        """A connection is open."""
        ...

    def message(self, number: int, data: bytes) -> bool:
        """Take a message, as it came; return whether the server will end this connection soon."""
        ...

    def ended(self, number: int, cause: str) -> None:
        """A connection has ended, for better or worse."""
        ...

    def failed(self, cause: str) -> None:
        """A connection could not be opened."""
        ...


@define
class ConnectLimit:
    """Keeps the limit on connects of an address, with a tenth to spare.

    Args:
        most: How many connections may be opened in five minutes.
        times: Where the time comes from.
    """

    most: int
    times: LiveTimes
    _opened: deque[float] = field(init=False, factory=deque)

    async def take(self) -> None:
        """Wait until one more connection may be opened."""
        while True:
            now = self.times.local()
            while self._opened and now - self._opened[0] >= _WINDOW_S:
                self._opened.popleft()
            if len(self._opened) < self.most * 9 // 10:
                self._opened.append(now)
                return
            await self.times.sleep(self._opened[0] + _WINDOW_S - now)


@define(eq=False)
class _Link:
    """One connection of a line."""

    number: int
    socket: Socket
    opened_at: float
    ends_at: float
    frame_at: float
    message_at: float
    is_up: bool = False
    cause: str = ""
    replace: anyio.Event = field(factory=anyio.Event)


@define(eq=False)
class Line:
    """Keeps some streams coming until it is cancelled.

    Args:
        plan: The streams, and where they are.
        sockets: Opens connections.
        receiver: Takes what comes.
        limit: The limit on connects of the address.
        next_number: Returns the number of the next connection, from 1 on.
        times: Where the time comes from.

    Attributes:
        is_up: Is set when the first frame has come, a ping included.
    """

    plan: ConnectionPlan
    sockets: Sockets
    receiver: Receiver
    limit: ConnectLimit
    next_number: Callable[[], int]
    times: LiveTimes = field(factory=LiveTimes)
    is_up: anyio.Event = field(init=False, factory=anyio.Event)
    _links: list[_Link] = field(init=False, factory=list)
    _failures: int = field(init=False, default=0)
    _quiet_s: float = field(init=False, default=0.0)

    async def run(self) -> None:
        """Keep the streams coming; returns only by cancellation.

        Raises:
            HostRefusedError: The host refuses this machine.
        """
        self._quiet_s = self.plan.quiet_s
        try:
            async with anyio.create_task_group() as tasks:
                while True:
                    link = await self._connect()
                    self._links.append(link)
                    self.receiver.opened(link.number)
                    tasks.start_soon(self._serve, link)
                    await link.replace.wait()
        finally:
            with anyio.CancelScope(shield=True):
                for link in self._links:
                    await link.socket.close()

    async def _connect(self) -> _Link:
        """Open a connection, again and again with growing waits until there is one."""
        while True:
            if self._failures:
                wait_s = min(_LONGEST_WAIT_S, 2.0 ** (self._failures - 1))
                await self.times.sleep(wait_s * (0.5 + self.times.chance() / 2))
            await self.limit.take()
            try:
                socket = await self.sockets.open(self.plan.url)
            except TransferError as error:
                self._failures += 1
                self.receiver.failed(str(error))
                if isinstance(error, ServerError) and error.retry_after_s:
                    await self.times.sleep(error.retry_after_s)
                continue
            now = self.times.local()
            life_s = _PLANNED_S + _JITTER_S * (2 * self.times.chance() - 1)
            return _Link(self.next_number(), socket, now, now + life_s, now, now)

    async def _serve(self, link: _Link) -> None:
        """Read one connection until it ends."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch, link)
            code = await self._read(link, tasks)
            tasks.cancel_scope.cancel()
        self._links.remove(link)
        if self.times.local() - link.opened_at >= _GOOD_S and link.is_up:
            self._failures = 0
        elif not link.replace.is_set():
            self._failures += 1
        self.receiver.ended(link.number, link.cause or _ending(code))
        link.replace.set()

    async def _read(self, link: _Link, tasks: anyio.abc.TaskGroup) -> int:
        """Hand on what comes; return the code of the end."""
        receive, message, local = link.socket.receive, self.receiver.message, self.times.local
        quiet_s = self.plan.quiet_s  # it looks at each stream
        while True:
            frame = await receive()
            link.frame_at = local()
            if isinstance(frame, bytes):
                link.message_at = link.frame_at
                if message(link.number, frame):
                    link.cause = link.cause or "the server was shut down"
                    link.replace.set()
                self._quiet_s = quiet_s
            elif isinstance(frame, Ping):
                await link.socket.pong(frame.payload)
            else:
                return frame.code
            if not link.is_up:
                link.is_up = True
                self.is_up.set()
                for earlier in self._links[: self._links.index(link)]:
                    tasks.start_soon(self._retire, earlier)

    async def _retire(self, link: _Link) -> None:
        """Close a connection that another one has replaced."""
        await self.times.sleep(_OVERLAP_S)
        link.cause = link.cause or "replaced"
        await link.socket.close()

    async def _watch(self, link: _Link) -> None:
        """Close a connection that is silent, and have one replaced that ends soon or is quiet."""
        silence_s = self.plan.silence_s
        while True:
            now = self.times.local()
            if now >= link.frame_at + silence_s:
                link.cause = f"silent for {silence_s:.0f} s"
                link.replace.set()
                await link.socket.close()
                return
            moments = [link.frame_at + silence_s]
            if not link.replace.is_set():
                if now >= link.ends_at:
                    link.cause = "its planned end"
                    link.replace.set()
                elif now >= link.message_at + self._quiet_s:
                    link.cause = f"quiet for {self._quiet_s:.0f} s"
                    self._quiet_s = min(2 * self._quiet_s, _LONGEST_QUIET_S)
                    link.replace.set()
                else:
                    moments += [link.ends_at, link.message_at + self._quiet_s]
            await self.times.sleep(min(moments) - now)


def _ending(code: int) -> str:
    return _ENDINGS.get(code) or f"the server closed it ({code})"
