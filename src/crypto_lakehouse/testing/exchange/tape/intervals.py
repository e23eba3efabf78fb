"""The bounds of bars: which bar a moment is in, and when a bar opens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from attrs import frozen

from crypto_lakehouse.testing.exchange.clock import microseconds

__all__ = ["Interval"]

_DAY_US = 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS_US = {
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": _DAY_US,
    "w": 7 * _DAY_US,
}


@frozen
class Interval:
    """An interval, spelled as the exchange does: `1m`, `3d`, `1w`, `1M`.

    Bars are numbered in the order of time. Bars of `3d` count from the epoch, bars of `1w` open on
    Mondays, bars of `1M` on the first of the month, UTC.
    """

    name: str

    def number(self, moment_us: int) -> int:
        """The number of the bar that a moment is in."""
        if self.name == "1M":
            day = _EPOCH + timedelta(microseconds=moment_us)
            return day.year * 12 + day.month - 1
        return (moment_us - self._offset_us) // self._step_us

    def opens(self, number: int) -> int:
        """The first microsecond of a bar; that of the next one ends it."""
        if self.name == "1M":
            year, month = divmod(number, 12)
            return microseconds(datetime(year, month + 1, 1, tzinfo=UTC))
        return number * self._step_us + self._offset_us

    @property
    def _step_us(self) -> int:
        return int(self.name[:-1]) * _UNITS_US[self.name[-1]]

    @property
    def _offset_us(self) -> int:
        return 4 * _DAY_US if self.name == "1w" else 0  # 1970-01-05 was a Monday
