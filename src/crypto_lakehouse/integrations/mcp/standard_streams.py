"""Serve one client over standard input and output.

While a server runs, only the protocol is written to standard output; what else is printed goes to
standard error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from threading import Thread
from typing import Any, cast

import anyio
from anyio.from_thread import BlockingPortal
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from crypto_lakehouse.integrations.mcp.served import Served
from crypto_lakehouse.integrations.mcp.server import make_server

__all__ = ["serve"]

#: The longest message that is read, in bytes.
_LONGEST = 4 << 20

#: What stands for a longer one; it is no JSON, so the protocol's reader ignores it.
_TOO_LONG = "a message that is too long"

_PIECE = 1 << 16


async def serve(served: Served) -> None:
    """Answer calls until the client closes standard input.

    Raises:
        ExtraMissing: The extra `mcp` is not installed.
    """
    server = make_server(served)
    from mcp.server.stdio import stdio_server

    async with (
        _lines(sys.stdin.fileno()) as lines,
        # It only iterates over the lines.
        stdio_server(stdin=cast("Any", lines)) as (reading, writing),
    ):
        await server.run(reading, writing, server.create_initialization_options())


@asynccontextmanager
async def _lines(descriptor: int) -> AsyncIterator[MemoryObjectReceiveStream[str]]:
    """Read lines in a thread that does not keep the process alive, as it may wait for ever.

    The protocol's own reader would delay the end of a process that gets SIGTERM until the next line
    of its client.
    """
    into, lines = anyio.create_memory_object_stream[str](0)
    async with BlockingPortal() as portal, into, lines:
        Thread(target=_read, args=(descriptor, portal, into), name="stdin", daemon=True).start()
        try:
            yield lines
        finally:
            await portal.stop(cancel_remaining=True)


def _read(descriptor: int, portal: BlockingPortal, into: MemoryObjectSendStream[str]) -> None:
    """Send each line; the end of the input ends the stream."""
    # RuntimeError: the portal has stopped. The others: the server no longer reads, or the input
    # cannot be read.
    with suppress(RuntimeError, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        for line in _split(descriptor):
            portal.call(into.send, line)
    with suppress(RuntimeError):
        portal.call(into.aclose)


def _split(descriptor: int) -> Iterator[str]:
    """Yield the lines of a file; one that is too long is replaced."""
    begun, size = bytearray(), 0
    while piece := os.read(descriptor, _PIECE):
        *ends, rest = piece.split(b"\n")
        for end in ends:
            is_short = size + len(end) <= _LONGEST
            yield (begun + end).decode(errors="replace") if is_short else _TOO_LONG
            begun, size = bytearray(), 0
        size += len(rest)
        if size <= _LONGEST:
            begun += rest
