"""Funding, open interest and ratios of one contract."""

from __future__ import annotations

from attrs import frozen

from crypto_lakehouse.testing.exchange.tape.instruments import Instrument
from crypto_lakehouse.testing.made_up.rows.values import seeded

__all__ = ["FUNDING_HOURS", "STATISTIC_US", "Derivatives", "Funding", "Liquidation", "Statistic"]

FUNDING_HOURS = 8
_FUNDING_US = FUNDING_HOURS * 3_600_000_000

_LIQUIDATION_US = 60_000_000

#: The time between two statistics.
STATISTIC_US = 300_000_000


@frozen
class Funding:
    """One funding: its time, 1 to 2 ms late, and its rate in units of `10**-8`."""

    time_us: int
    rate: int


@frozen
class Liquidation:
    """One order that closed a position by force, of so many units of quantity."""

    time_us: int
    is_sell: bool
    quantity: int


@frozen(kw_only=True)
class Statistic:
    """Open interest and ratios at one moment.

    Attributes:
        open_interest: In the instrument's units of quantity.
        accounts_long, positions_long, all_long: The share of the long side among the accounts and
            the positions of the largest traders, and among all accounts, in units of `10**-4`.
        buys, sells: What takers bought and sold, in the instrument's units of quantity.
    """

    time_us: int
    open_interest: int
    accounts_long: int
    positions_long: int
    all_long: int
    buys: int
    sells: int


class Derivatives:
    """What a contract has beside trades and bars.

    Args:
        instrument: The contract.
        start_us: When it begins.
        seed: The seed of the tape.
    """

    def __init__(self, instrument: Instrument, start_us: int, seed: int) -> None:
        self._parts = (seed, instrument.market, instrument.symbol)
        self._scale = 1 if instrument.contract_size else 1000
        self._is_perpetual = instrument.contract_type == "PERPETUAL"
        self._start_us = start_us

    def fundings(self, first_us: int, last_us: int) -> list[Funding]:
        """The fundings from a time to another, both inclusive; a dated contract has none."""
        if not self._is_perpetual:
            return []
        first_us = max(first_us, self._start_us)
        slots = range(first_us // _FUNDING_US, last_us // _FUNDING_US + 1)
        made = (self._funding(slot) for slot in slots)
        return [each for each in made if first_us <= each.time_us <= last_us]

    def _funding(self, slot: int) -> Funding:
        source = seeded("exchange funding", *self._parts, slot)
        late_us = source.choice((1000, 2000))
        return Funding(slot * _FUNDING_US + late_us, round(source.gauss(5_000, 6_000)))

    def next_funding(self, moment_us: int) -> Funding:
        """The funding after a moment, at its whole hour."""
        slot = moment_us // _FUNDING_US + 1
        return Funding(slot * _FUNDING_US, self._funding(slot).rate)

    def liquidation_after(self, moment_us: int) -> Liquidation:
        """The first liquidation after a moment: there is one in each minute."""
        for slot in (moment_us // _LIQUIDATION_US, moment_us // _LIQUIDATION_US + 1):
            source = seeded("exchange liquidation", *self._parts, slot)
            time_us = slot * _LIQUIDATION_US + source.randrange(60_000) * 1000
            is_sell, quantity = source.random() < 0.5, source.randrange(1, 400) * self._scale
            if time_us > moment_us:
                break
        return Liquidation(time_us, is_sell, quantity)

    def statistics(self, first_us: int, last_us: int, step_us: int) -> list[Statistic]:
        """The statistics from a time to another, both inclusive, at multiples of a step."""
        first = -(-max(first_us, self._start_us) // step_us)
        return [self._statistic(slot * step_us) for slot in range(first, last_us // step_us + 1)]

    def _statistic(self, time_us: int) -> Statistic:
        source = seeded("exchange statistic", *self._parts, time_us // STATISTIC_US)
        return Statistic(
            time_us=time_us,
            open_interest=source.randrange(10_000, 90_000) * self._scale,
            accounts_long=source.randrange(2_000, 8_000),
            positions_long=source.randrange(2_000, 8_000),
            all_long=source.randrange(2_000, 8_000),
            buys=source.randrange(100, 9_000) * self._scale,
            sells=source.randrange(100, 9_000) * self._scale,
        )
