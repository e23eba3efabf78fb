"""Listening on a port: in the running event loop, or in a thread with a loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import (
    AbstractAsyncContextManager,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from typing import TypeVar

from aiohttp import web

from crypto_lakehouse.testing.latch import Latch
from crypto_lakehouse.testing.server.handler import Handler

__all__ = ["accepting", "in_thread", "listening", "listening_in_thread"]

T = TypeVar("T")

#: Answers a request.
Respond = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

#: How long to wait for handlers whose connections were cut, in seconds; they end at once.
_SHUTDOWN_S = 1.0

_BACKLOG = 1024


@asynccontextmanager
async def listening(handler: Handler, host: str, port: int) -> AsyncIterator[int]:
    """Listen in the running event loop, and yield the port.

    At the end all connections are cut; no task, thread or socket is left.

    Args:
        handler: Answers the requests.
        host: The address to listen on.
        port: The port to listen on; 0 for any free one.

    Raises:
        OSError: The port is taken.
    """
    # One thread: two would only take the interpreter from each other, and from the loop.
    with ThreadPoolExecutor(1, thread_name_prefix="archive-server-work") as executor:
        handler.executor = executor
        try:
            async with accepting(handler, host, port) as bound_port:
                yield bound_port
        finally:
            executor.shutdown(wait=False, cancel_futures=True)


@asynccontextmanager
async def accepting(handler: Respond, host: str, port: int) -> AsyncIterator[int]:
    """Accept connections in the running event loop, and yield the port; all are cut at the end.

    Args:
        handler: Answers the requests.
        host: The address to listen on.
        port: The port to listen on; 0 for any free one.

    Raises:
        OSError: The port is taken.
    """
    server = web.Server(handler, handler_cancellation=True, access_log=None)
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(server, host, port, backlog=_BACKLOG)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        await _stop_accepting(listener)
        await _cut_all(server)


async def _stop_accepting(listener: asyncio.Server) -> None:
    """Close the listening socket once no connection is half accepted.

    asyncio accepts a connection in one step of the loop and looks at its server in the next; a
    server closed in between makes it lose the socket.
    """
    loop = asyncio.get_running_loop()
    for socket in listener.sockets:
        with suppress(NotImplementedError):  # the loop that Windows has by default
            loop.remove_reader(socket)
    await _next_steps()
    listener.close()


async def _cut_all(server: web.Server) -> None:
    """Cut all connections, which cancels their handlers."""
    for connection in server.connections:
        if connection.transport is not None:
            connection.transport.abort()
    await server.shutdown(_SHUTDOWN_S)
    await _next_steps()


async def _next_steps() -> None:
    """Let the loop run its pending callbacks, and those that they schedule."""
    for _ in range(3):
        await asyncio.sleep(0)


@contextmanager
def listening_in_thread(handler: Handler, host: str, port: int) -> Iterator[int]:
    """Do the same in a new thread, which is joined at the end.

    Raises:
        OSError: The port is taken.
    """
    with in_thread(lambda: listening(handler, host, port), "archive-server") as bound_port:
        yield bound_port


@contextmanager
def in_thread(serve: Callable[[], AbstractAsyncContextManager[T]], name: str) -> Iterator[T]:
    """Enter an asynchronous context in a new thread with a loop of its own; yield its value.

    Args:
        serve: Makes the context, in the thread.
        name: The thread's name.

    Raises:
        OSError: The context raises it when it is entered.
    """
    entered: Future[T] = Future()
    leave = Latch()

    async def stay() -> None:
        try:
            async with serve() as value:
                entered.set_result(value)
                await leave.passed()
        except OSError as error:
            entered.set_exception(error)

    # A daemon thread, so that a test run that dies does not hang on it.
    thread = threading.Thread(target=lambda: asyncio.run(stay()), name=name, daemon=True)
    thread.start()
    try:
        yield entered.result()
    finally:
        leave.open()
        thread.join()
