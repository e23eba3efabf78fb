"""One WebSocket connection: its events when they are due, pings, limits, its end."""

from __future__ import annotations

import asyncio
import heapq
import json
from collections.abc import Iterable, Iterator
from typing import Any

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web
from attrs import define, frozen

from crypto_lakehouse.testing.exchange.clock import SECOND_US, ExchangeClock
from crypto_lakehouse.testing.exchange.rules import MarketRules
from crypto_lakehouse.testing.exchange.streams.kinds import Message, Stream
from crypto_lakehouse.testing.exchange.streams.line import Closed, Dropped, Line
from crypto_lakehouse.testing.exchange.streams.names import find_stream
from crypto_lakehouse.testing.exchange.streams.requests import answer
from crypto_lakehouse.testing.exchange.tape.tape import Tape
from crypto_lakehouse.testing.faults.connection_kinds import ConnectionFault
from crypto_lakehouse.testing.latch import Latch
from crypto_lakehouse.testing.server.response_writer import cut

__all__ = ["Connection", "ConnectionRecord", "Opening"]

#: How long a client has to answer a close frame, in seconds of the machine.
_CLOSE_S = 1.0


@define(kw_only=True)
class ConnectionRecord:
    """One connection, as it is now.

    Attributes:
        number: Its number on the server, over all markets, from 1 on.
        path: The market and the path: `spot/stream`.
        opened_us: When it was opened.
        closed_us: When it ended; None while it is open.
        code: The code of the close frame that the server sent, 1006 if it dropped the connection;
            None if the client ended it, or while it is open.
        sent: How many messages were sent, without answers to requests.
        pings: How many pings were sent.
        pongs: How many of them were answered with their payload.
        streams: The subscriptions, in their order.
    """

    number: int
    path: str
    opened_us: int
    closed_us: int | None = None
    code: int | None = None
    sent: int = 0
    pings: int = 0
    pongs: int = 0
    streams: tuple[str, ...] = ()


@frozen(kw_only=True)
class Opening:
    """How a connection begins.

    Attributes:
        streams: The names of its first streams.
        combined: Whether messages are wrapped with the name of their stream.
        kinds: The kinds of streams on its path.
        is_mute: Whether not even requests are answered.
        us_per_unit: How many microseconds a unit of its times has.
        script: Its faults.
    """

    path: str
    streams: tuple[str, ...]
    combined: bool
    kinds: frozenset[str]
    is_mute: bool
    us_per_unit: int
    script: tuple[ConnectionFault, ...]


@frozen
class _Subscription:
    since_us: int
    stream: Stream | None


class Connection:
    """Serves one connection.

    Args:
        request: The request that opens it.
        opening: How it begins.
        rules: The market's rules.
        clock: The exchange's time.
        tape: What happens.
        number: Its number.

    Attributes:
        record: What is known of it.
        combined: Whether messages are wrapped with the name of their stream.
    """

    def __init__(
        self,
        request: web.BaseRequest,
        opening: Opening,
        rules: MarketRules,
        clock: ExchangeClock,
        tape: Tape,
        number: int,
    ) -> None:
        now_us = clock.now_us
        self.record = ConnectionRecord(number=number, path=opening.path, opened_us=now_us)
        self.combined = opening.combined
        self._request = request
        self._opening = opening
        self._rules = rules
        self._clock = clock
        self._tape = tape
        self._socket = web.WebSocketResponse(timeout=_CLOSE_S, autoping=False, compress=False)
        self._line = Line(self._socket.send_str, self.announce_shutdown, opening.script)
        self._held: dict[str, _Subscription] = {}
        self._position_us = now_us
        self._ends_us = now_us + rules.live.life_s * SECOND_US
        self._ping_us = now_us + rules.live.ping_every_s * SECOND_US
        self._is_ending = False
        self._awaited: list[tuple[bytes, int]] = []
        self._second, self._received = -1, 0
        self._wake = Latch()
        self._watchers: set[Latch] = set()
        for name in opening.streams:
            self.subscribe(name)

    async def serve(self) -> web.WebSocketResponse:
        """Serve until a side ends the connection."""
        try:
            await self._socket.prepare(self._request)
            async with asyncio.TaskGroup() as group:
                sender = group.create_task(self._send())
                await self._receive()
                if not self._is_ending:
                    sender.cancel()
        finally:
            self.record.closed_us = self._clock.now_us
            self._notify()
        return self._socket

    @property
    def names(self) -> list[str]:
        """The streams, in the order of their subscription."""
        return list(self._held)

    def subscribe(self, name: str) -> None:
        """Add a stream; a known one stays."""
        stream = find_stream(self._rules, self._tape, name, self._opening.kinds)
        self._held.setdefault(name, _Subscription(self._clock.now_us, stream))
        self._subscribed()

    def unsubscribe(self, name: str) -> None:
        """Remove a stream; an unknown one is ignored."""
        self._held.pop(name, None)
        self._subscribed()

    def _subscribed(self) -> None:
        self.record.streams = tuple(self._held)
        self._wake.open()

    @property
    def is_settled(self) -> bool:
        """Whether everything that is due was sent and each ping was answered, or it has ended."""
        if self.record.closed_us is not None:
            return True
        return not self._awaited and self._position_us >= self._clock.now_us

    def watch(self, latch: Latch) -> None:
        """Open a latch when something changes that `is_settled` depends on."""
        self._watchers.add(latch)

    def end_at(self, moment_us: int) -> None:
        """Close the connection at a time, if it does not end before."""
        self._ends_us = min(self._ends_us, moment_us)
        self._wake.open()

    async def announce_shutdown(self) -> None:
        """Send a `serverShutdown`."""
        event = {"e": "serverShutdown", "E": self._clock.now_us // self._opening.us_per_unit}
        await self._socket.send_str(self._wrapped("!serverShutdown", event))

    def _notify(self) -> None:
        watchers, self._watchers = self._watchers, set()
        for latch in watchers.copy():
            latch.open()

    def _wrapped(self, name: str, payload: dict[str, Any]) -> str:
        value = {"stream": name, "data": payload} if self.combined else payload
        return json.dumps(value, separators=(",", ":"))

    async def _send(self) -> None:
        """Send what is due, again and again, until the connection ends."""
        try:
            while True:
                self._wake = Latch()
                now_us = self._clock.now_us
                for _, name, message in self._due(now_us):
                    payload = message.in_unit(self._opening.us_per_unit)
                    await self._line.deliver(self._wrapped(name, payload))
                    self.record.sent = self._line.sent
                self._position_us = now_us
                if now_us >= self._ends_us:
                    raise Closed(WSCloseCode.GOING_AWAY)
                await self._ping(now_us)
                self._notify()
                await self._clock.wait(self._next_us(now_us), self._wake)
        except Dropped:
            self._is_ending = True
            self.record.code = WSCloseCode.ABNORMAL_CLOSURE
            cut(self._request)
        except Closed as closed:
            self._is_ending = True
            self.record.code = closed.code
            await self._socket.close(code=closed.code)
        except ConnectionError:  # the client has gone
            pass

    def _due(self, now_us: int) -> Iterator[tuple[int, str, Message]]:
        """The messages of all streams up to a time, in the order of time."""
        return heapq.merge(
            *(
                _named(name, held.stream.messages(max(self._position_us, held.since_us), now_us))
                for name, held in self._held.items()
                if held.stream is not None
            ),
            key=lambda entry: entry[0],
        )

    def _next_us(self, now_us: int) -> int:
        """When there is something to do again."""
        moments = [self._ends_us]
        if self._line.pings:
            moments.append(self._ping_us)
        moments += [deadline_us for _, deadline_us in self._awaited[:1]]
        for held in self._held.values():
            moment = None if held.stream is None else held.stream.next_us(now_us)
            if moment is not None:
                moments.append(moment)
        return min(moments)

    async def _ping(self, now_us: int) -> None:
        """Send a ping if it is time for one.

        Raises:
            Closed: The last one was not answered in time.
        """
        if self._awaited and now_us >= self._awaited[0][1]:
            raise Closed(WSCloseCode.POLICY_VIOLATION)
        if now_us < self._ping_us or not self._line.pings:
            return
        self._ping_us = now_us + self._rules.live.ping_every_s * SECOND_US
        payload = str(now_us // 1000).encode()
        self._awaited.append((payload, now_us + self._rules.live.pong_within_s * SECOND_US))
        self.record.pings += 1
        await self._socket.ping(payload)

    async def _receive(self) -> None:
        """Read what the client sends until the connection ends."""
        while True:
            message = await self._socket.receive()
            if message.type in {
                WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR,
            }:  # fmt: skip
                return
            if self._is_too_much():
                self.record.code = WSCloseCode.POLICY_VIOLATION
                await self._socket.close(code=WSCloseCode.POLICY_VIOLATION)
                return
            await self._handle(message)

    async def _handle(self, message: WSMessage) -> None:
        if message.type is WSMsgType.PING:
            await self._socket.pong(message.data)
        elif message.type is WSMsgType.PONG:
            payloads = [payload for payload, _ in self._awaited]
            if bytes(message.data) in payloads:
                del self._awaited[: payloads.index(bytes(message.data)) + 1]
                self.record.pongs += 1
                self._notify()
        elif message.type is WSMsgType.TEXT and not self._opening.is_mute:
            reply = answer(message.data, self)
            if len(self._held) > self._rules.live.streams:
                self.record.code = WSCloseCode.POLICY_VIOLATION
                await self._socket.close(code=WSCloseCode.POLICY_VIOLATION)
            else:
                await self._socket.send_str(json.dumps(reply, separators=(",", ":")))

    def _is_too_much(self) -> bool:
        """Count what the client has sent in this second of the exchange's time."""
        second = self._clock.now_us // SECOND_US
        if second != self._second:
            self._second, self._received = second, 0
        self._received += 1
        return self._received > self._rules.live.messages_per_s


def _named(name: str, messages: Iterable[Message]) -> Iterator[tuple[int, str, Message]]:
    for message in messages:
        yield message.time_us, name, message
