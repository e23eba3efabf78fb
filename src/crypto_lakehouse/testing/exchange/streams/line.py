"""Sending the messages of a connection, with the faults of its script."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from crypto_lakehouse.testing.faults.connection_kinds import (
    AlterMessage,
    CloseConnection,
    ConnectionFault,
    DropConnection,
    GoSilent,
    RepeatMessage,
    ShutDown,
    SkipMessages,
    StopPings,
    SwapMessages,
)

__all__ = ["Closed", "Dropped", "Line"]


class Dropped(Exception):
    """The script ends the connection without a close frame."""


class Closed(Exception):
    """The script closes the connection.

    Args:
        code: The code of the close frame.
    """

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Line:
    """Sends the messages of one connection.

    Args:
        send: Sends a text.
        announce: Sends a `serverShutdown`.
        script: The faults, at most one for each message.

    Attributes:
        sent: How many messages were sent, repeated ones twice.
        pings: Whether the server pings.
    """

    def __init__(
        self,
        send: Callable[[str], Awaitable[None]],
        announce: Callable[[], Awaitable[None]],
        script: Iterable[ConnectionFault] = (),
    ) -> None:
        self._send = send
        self._announce = announce
        self._faults = {fault.at: fault for fault in script}
        self._count = 0
        self._skipped_to = 0
        self._closes_at: int | None = None
        self._held: str | None = None
        self._is_silent = False
        self.sent = 0
        self.pings = True

    async def deliver(self, text: str) -> None:
        """Send the next message, or what its fault makes of it.

        Raises:
            Dropped: The script ends the connection here.
            Closed: The script closes the connection here.
        """
        self._count += 1
        fault = self._faults.get(self._count)
        if isinstance(fault, DropConnection):
            raise Dropped
        if isinstance(fault, CloseConnection):
            raise Closed(fault.code)
        if isinstance(fault, ShutDown):
            self._closes_at = self._count + fault.more
            await self._announce()
        if isinstance(fault, StopPings):
            self.pings = False
        if self._count == self._closes_at:
            raise Closed(1001)
        await self._pass(fault, text)

    async def _pass(self, fault: ConnectionFault | None, text: str) -> None:
        """Send a message that does not end the connection."""
        if isinstance(fault, SkipMessages):
            self._skipped_to = self._count + fault.count
        if isinstance(fault, GoSilent):
            self._is_silent = True
        if self._is_silent or self._count < self._skipped_to:
            return
        if isinstance(fault, SwapMessages) and self._held is None:
            self._held = text
            return
        if isinstance(fault, AlterMessage):
            text = fault.altered(text)
        await self._out(text)
        if isinstance(fault, RepeatMessage):
            await self._out(text)
        if self._held is not None:
            held, self._held = self._held, None
            await self._out(held)

    async def _out(self, text: str) -> None:
        self.sent += 1
        await self._send(text)
