"""Store a large body while it arrives: one task reads a buffer while another stores the last one.

One thread hop for each buffer hashes and writes it; hops for smaller chunks would cost more than
the work (ARCHITECTURE.md#thread-hops).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from crypto_lakehouse.core.errors import TransferError
from crypto_lakehouse.core.protocols import Part
from crypto_lakehouse.core.task_groups import one_error
from crypto_lakehouse.http.transport import Response

__all__ = ["BUFFER_BYTES", "stream_to_part"]

#: How much of a large body goes to the disk at once.
BUFFER_BYTES = 1 << 20


async def stream_to_part(
    response: Response,
    part: Part,
    count: Callable[[int], None],
    *,
    buffer_bytes: int = BUFFER_BYTES,
) -> None:
    """Append a response's body to a part; the part keeps what came before an error.

    Args:
        response: Its body is read to the end.
        part: Takes the body; it stays open.
        count: Is called with the number of bytes as they arrive.
        buffer_bytes: How much goes to the part at once.

    Raises:
        TransferError: The body broke off.
        StoreError: The part cannot be written.
    """
    send, receive = anyio.create_memory_object_stream[bytes | bytearray](0)
    broken: TransferError | None = None
    with one_error():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_store, receive, part)
            async with send, aclosing(_buffers(response, count, buffer_bytes)) as buffers:
                try:
                    async for buffer in buffers:
                        await send.send(buffer)
                except TransferError as error:
                    broken = error  # raised once the last buffer is stored
    if broken is not None:
        raise broken


async def _store(receive: MemoryObjectReceiveStream[bytes | bytearray], part: Part) -> None:
    async with receive:
        async for buffer in receive:
            await part.append(buffer)


async def _buffers(
    response: Response, count: Callable[[int], None], buffer_bytes: int
) -> AsyncGenerator[bytes | bytearray]:
    """Gather chunks into buffers; a chunk that is large enough is passed on unchanged."""
    pending: list[bytes | bytearray] = []
    size = 0
    async with aclosing(response.chunks()) as chunks:
        try:
            async for chunk in chunks:
                count(len(chunk))
                pending.append(chunk)
                size += len(chunk)
                if size >= buffer_bytes:
                    yield _joined(pending)
                    size = 0
        except TransferError:
            if pending:
                yield _joined(pending)
            raise
    if pending:
        yield _joined(pending)


def _joined(pending: list[bytes | bytearray]) -> bytes | bytearray:
    buffer = pending[0] if len(pending) == 1 else b"".join(pending)
    pending.clear()
    return buffer
