"""Prices that are not traded: mark price, index and premium, one value a second."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from crypto_lakehouse.core.archive import DataType
from crypto_lakehouse.testing.exchange.clock import SECOND_US
from crypto_lakehouse.testing.exchange.tape.instruments import Instrument
from crypto_lakehouse.testing.made_up.rows.values import decimal, seeded

__all__ = ["SecondPrices"]

#: How many seconds are made before they repeat; a prime, so that no hour looks like the one before.
_RING_SIZE = 1531

_PLACES = 8


class SecondPrices:
    """A price with a value in each second, in units of `10**-8`.

    Args:
        instrument: The symbol; the index is that of its pair.
        kind: Bars of which price this is the price of.
        seed: The seed of the tape.
    """

    def __init__(self, instrument: Instrument, kind: DataType, seed: int) -> None:
        name = instrument.pair if kind is DataType.INDEX_PRICE_KLINES else instrument.symbol
        source = seeded("exchange second prices", seed, instrument.market, name, kind)
        if kind is DataType.PREMIUM_INDEX_KLINES:
            self._ring = array("q", [round(source.gauss(0, 40_000)) for _ in range(_RING_SIZE)])
            return
        level = seeded("exchange price", seed, instrument.base).randrange(2_000, 6_000_000)
        start = level * 10 ** (_PLACES - 2)
        factors = (1 + source.gauss(0, 0.001) for _ in range(_RING_SIZE))
        self._ring = array("q", [round(start * factor) for factor in factors])

    def at(self, moment_us: int) -> int:
        """The value at a moment."""
        return self._ring[moment_us // SECOND_US % _RING_SIZE]

    def values(self, first_s: int, end_s: int) -> Sequence[int]:
        """The values of seconds, from one up to another: at most one turn of the ring.

        A longer span has the same lowest and highest value, but ends elsewhere: see `at`.
        """
        place = first_s % _RING_SIZE
        count = min(end_s - first_s, _RING_SIZE)
        part = self._ring[place : place + count]
        return part + self._ring[: count - len(part)]

    @staticmethod
    def text(value: int) -> str:
        """Write a value with 8 places."""
        return decimal(value, _PLACES)
