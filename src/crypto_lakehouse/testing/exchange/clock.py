"""The exchange's own clock, which does not follow the machine's."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from crypto_lakehouse.testing.latch import Latch

__all__ = ["MINUTE_US", "SECOND_US", "ExchangeClock", "microseconds"]

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(moment: datetime) -> int:
    """Count the microseconds from the epoch to an aware moment.

    Raises:
        ValueError: The moment has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone; give tzinfo=UTC")
    return (moment - _EPOCH) // timedelta(microseconds=1)


class ExchangeClock:
    """Time that begins at a given moment, and runs at a given speed or stands still.

    All methods may be called from any thread.

    Args:
        start: An aware moment.
        speed: How many seconds pass here in a second of the machine; 0 to move only by `advance`.
        monotonic: The machine's clock, in seconds.

    Raises:
        ValueError: The start has no time zone, or the speed is negative.
    """

    def __init__(
        self,
        start: datetime,
        *,
        speed: float = 0.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if speed < 0:
            raise ValueError(f"speed is {speed}; give 0 or more")
        self._lock = threading.Lock()
        self._monotonic = monotonic
        self._speed = speed
        self._base_us = microseconds(start)
        self._since = monotonic()
        self._waiting: set[Latch] = set()

    @property
    def now_us(self) -> int:
        """The time, in microseconds since the epoch."""
        with self._lock:
            return self._now()

    @property
    def now_ms(self) -> int:
        """The time, in whole milliseconds since the epoch."""
        return self.now_us // 1000

    @property
    def now(self) -> datetime:
        """The time, aware, UTC."""
        return _EPOCH + timedelta(microseconds=self.now_us)

    def advance(self, seconds: float) -> None:
        """Move the clock forward at once.

        Raises:
            ValueError: The number is negative.
        """
        if seconds < 0:
            raise ValueError(f"the clock cannot go back by {-seconds} s")
        with self._lock:
            self._base_us += round(seconds * SECOND_US)
            waiting, self._waiting = self._waiting, set()
        for latch in waiting:
            latch.open()

    async def wait(self, moment_us: int, wake: Latch) -> None:
        """Wait until a moment, until `wake` opens, or until the clock is advanced at all.

        Args:
            moment_us: The moment; a past one is not waited for.
            wake: A new latch, which `advance` opens, too.
        """
        with self._lock:
            left_us = moment_us - self._now()
            if left_us <= 0:
                return
            self._waiting.add(wake)
        try:
            machine_s = left_us / SECOND_US / self._speed if self._speed else None
            with suppress(TimeoutError):
                await asyncio.wait_for(wake.passed(), machine_s)
        finally:
            with self._lock:
                self._waiting.discard(wake)

    def _now(self) -> int:
        passed = (self._monotonic() - self._since) * self._speed
        return self._base_us + int(passed * SECOND_US)
