"""Caps on bytes and requests per second, by aiolimiter's leaky bucket.

`AsyncLimiter(max_rate, time_period)` lets `max_rate` through at once, and serves whoever waits
for the least first. So its bucket is kept small here, large payments are split, and a lock in
front of it makes payers take turns in the order in which they came.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter

__all__ = ["ByteRate", "RequestRate"]

#: What the bucket holds beyond one payment, in seconds of the rate. It makes up for timers that
#: fire late on a busy loop; all of it may pass at once after a quiet while.
SLACK_S = 0.05

#: A payment in bytes is split into pieces worth this many seconds.
PIECE_S = 0.025


def _bucket(per_second: float, largest_payment: float) -> AsyncLimiter:
    from aiolimiter import AsyncLimiter

    if not per_second > 0:
        raise ValueError(f"a rate is above zero, not {per_second!r}")
    size = largest_payment + per_second * SLACK_S
    return AsyncLimiter(size, size / per_second)


@define
class ByteRate:
    """So many bytes a second, all payers together; within 1 % over ten seconds.

    Args:
        bytes_per_second: Above zero; may be less than one.

    Raises:
        ValueError: The rate is not above zero.
    """

    bytes_per_second: float
    _bucket: AsyncLimiter = field(init=False, repr=False)
    _piece: float = field(init=False, repr=False)
    _turn: asyncio.Lock = field(init=False, repr=False, factory=asyncio.Lock)

    def __attrs_post_init__(self) -> None:
        # Not less than a byte: a slow rate should cost a wake-up a byte, not forty a second.
        self._piece = max(1.0, self.bytes_per_second * PIECE_S)
        self._bucket = _bucket(self.bytes_per_second, self._piece)

    async def pay(self, size: int) -> None:
        """Return once `size` bytes are within the rate; a cancelled payer keeps what it paid."""
        async with self._turn:
            left = float(size)
            while left > 0:
                piece = min(left, self._piece)
                await self._bucket.acquire(piece)
                left -= piece


@define
class RequestRate:
    """So many requests a second, all payers together; within 1 % and a request over ten seconds.

    Args:
        requests_per_second: Above zero; 0.1 is one in ten seconds.

    Raises:
        ValueError: The rate is not above zero.
    """

    requests_per_second: float
    _bucket: AsyncLimiter = field(init=False, repr=False)
    _turn: asyncio.Lock = field(init=False, repr=False, factory=asyncio.Lock)

    def __attrs_post_init__(self) -> None:
        self._bucket = _bucket(self.requests_per_second, 1.0)

    async def pay(self) -> None:
        """Return once another request is within the rate."""
        async with self._turn:
            await self._bucket.acquire()
