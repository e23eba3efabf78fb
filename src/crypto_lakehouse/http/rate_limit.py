"""Limits on bytes and requests per second, with aiolimiter's leaky bucket.

`AsyncLimiter(max_rate, time_period)` allows bursts of `max_rate`, and serves the smallest waiting
amount first. Here its bucket is therefore small, large amounts are split, and a lock in front of it
serves callers in the order of arrival.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from attrs import define, field

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter

__all__ = ["BytePace", "ByteRate", "RequestPace", "RequestRate"]

#: The capacity of the bucket beyond one amount, in seconds of the rate. It compensates for timers
#: that fire late on a busy loop; after an idle period all of it may be used at once.
SLACK_S = 0.05

#: An amount in bytes is split into pieces worth this many seconds.
PIECE_S = 0.025


class BytePace(Protocol):
    """Limits bytes per second."""

    async def pay(self, size: int) -> None:
        """Return when `size` bytes are within the rate."""


class RequestPace(Protocol):
    """Limits requests per second."""

    async def pay(self) -> None:
        """Return when another request is within the rate."""


def _bucket(per_second: float, largest_payment: float) -> AsyncLimiter:
    from aiolimiter import AsyncLimiter

    if not per_second > 0:
        raise ValueError(f"a rate must be above zero, not {per_second!r}")
    size = largest_payment + per_second * SLACK_S
    return AsyncLimiter(size, size / per_second)


@define
class ByteRate:
    """Limits bytes per second over all callers; accurate to 1 % over ten seconds.

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
        self.change(self.bytes_per_second)

    def change(self, bytes_per_second: float) -> None:
        """Limit to another rate from the next piece of an amount on.

        Raises:
            ValueError: The rate is not above zero.
        """
        self.bytes_per_second = bytes_per_second
        # At least one byte: a slow rate should wake up once for each byte, not 40 times a second.
        self._piece = max(1.0, self.bytes_per_second * PIECE_S)
        self._bucket = _bucket(self.bytes_per_second, self._piece)

    async def pay(self, size: int) -> None:
        """Return when `size` bytes are within the rate; a cancelled call still uses its share."""
        async with self._turn:
            left = float(size)
            while left > 0:
                piece = min(left, self._piece)
                await self._bucket.acquire(piece)
                left -= piece


@define
class RequestRate:
    """Limits requests per second over all callers; accurate to 1 % and one request in ten seconds.

    Args:
        requests_per_second: Above zero; 0.1 is one request every ten seconds.

    Raises:
        ValueError: The rate is not above zero.
    """

    requests_per_second: float
    _bucket: AsyncLimiter = field(init=False, repr=False)
    _turn: asyncio.Lock = field(init=False, repr=False, factory=asyncio.Lock)

    def __attrs_post_init__(self) -> None:
        self.change(self.requests_per_second)

    def change(self, requests_per_second: float) -> None:
        """Limit to another rate from the next request on that does not wait yet.

        Raises:
            ValueError: The rate is not above zero.
        """
        self.requests_per_second = requests_per_second
        self._bucket = _bucket(requests_per_second, 1.0)

    async def pay(self) -> None:
        """Return when another request is within the rate."""
        async with self._turn:
            await self._bucket.acquire()
