"""Rows of the options market: BVOLIndex and EOHSummary.

Source: docs/archive-rows.md#bvolindex and docs/archive-rows.md#eohsummary.
"""

from __future__ import annotations

from datetime import timedelta
from random import Random

from crypto_lakehouse.testing.made_up.rows.values import Day, decimal, price_level, seeded

__all__ = ["BVOL_PER_DAY", "CONTRACTS", "bvol_rows", "eoh_rows"]

BVOL_PER_DAY = 1440
CONTRACTS = 10

_STRIKES = CONTRACTS // 2


def bvol_rows(day: Day) -> str:
    """Write `BVOL_PER_DAY` values, one a minute (the archive: one a second), 1 or 2 ms late."""
    source = seeded(day.series, day.date)
    symbol = day.series.symbol
    base = symbol.removesuffix("USDT")
    value = source.randrange(300_000, 900_000)
    rows = []
    for minute in range(BVOL_PER_DAY):
        value = max(100_000, value + source.randrange(-500, 501))
        moment = (day.start_ms + minute * 60_000 + source.choice((1, 2))) * day.units_per_ms
        rows.append(f"{moment},{symbol},{base},USDT,{decimal(value, 4)}\n")
    return "".join(rows)


def eoh_rows(day: Day) -> str:
    """Write 24 hours of `CONTRACTS` contracts: five strikes, a call and a put each."""
    source = seeded(day.series, day.date)
    symbol = day.series.symbol
    base = symbol.removesuffix("USDT")
    spot = price_level(day.series) // 100
    expiry = f"{day.date + timedelta(days=7):%y%m%d}"
    rows = []
    for hour in range(24):
        for index in range(CONTRACTS):
            strike = f"{expiry}-{spot * (8 + index % _STRIKES) // 10}"
            kind = "CP"[index // _STRIKES]
            label = f"{day.date},{hour},{base}-{strike}-{kind},{symbol},{kind},{strike}"
            rows.append(f"{label},{_summary(source)}\n")
    return "".join(rows)


def _summary(source: Random) -> str:
    """Write the 20 numbers of one contract's hour.

    A contract without bids has blank bids; one that was not traded has blank prices.
    """
    opened, closed = source.randrange(100, 9000), source.randrange(100, 9000)
    high = max(opened, closed) + source.randrange(50)
    low = min(opened, closed) - source.randrange(50)
    traded = source.randrange(3) > 0
    prices = [decimal(price, 1) if traded else "" for price in (opened, high, low, closed)]
    contracts = source.randrange(1, 2000) if traded else 0
    volumes = [decimal(contracts, 2), decimal(contracts * closed, 3)]
    bid_wanted = source.randrange(8) > 0
    bid = decimal(low, 1) if bid_wanted else ""
    bid_size = decimal(source.randrange(1, 900), 2) if bid_wanted else ""
    offers = [bid, decimal(high + 1, 1), bid_size, decimal(source.randrange(1, 900), 2)]
    volatilities = [decimal(source.randrange(2000, 9000), 4) if bid_wanted else ""]
    volatilities.append(decimal(source.randrange(2000, 9000), 4))
    mark = [decimal((low + high) // 2, 1), decimal(source.randrange(2000, 9000), 4)]
    greeks = [
        decimal(source.randrange(-100_000_000, 100_000_000), 8),
        decimal(source.randrange(100_000), 8),
        decimal(source.randrange(1_000_000_000), 8),
        decimal(-source.randrange(1_000_000_000), 8),
    ]
    interest = source.randrange(1, 50_000)
    interests = [decimal(interest, 2), decimal(interest * 2_000, 2)]
    return ",".join([*prices, *volumes, *offers, *volatilities, *mark, *greeks, *interests])
