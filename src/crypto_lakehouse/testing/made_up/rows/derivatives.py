"""Rows of fundingRate, metrics, bookDepth and liquidationSnapshot.

Source: docs/archive-rows.md#data-types.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache

from crypto_lakehouse.core.archive import Market, Series
from crypto_lakehouse.testing.made_up.rows.values import (
    Day,
    decimal,
    from_ring,
    moment_text,
    price_ring,
    seeded,
)

__all__ = [
    "DEPTHS_PER_DAY",
    "FUNDING_HOURS",
    "LIQUIDATIONS_PER_DAY",
    "METRICS_PER_DAY",
    "UM_LABELS_AT_START",
    "book_depth_rows",
    "funding_rate_rows",
    "liquidation_rows",
    "metrics_rows",
]

FUNDING_HOURS = 8
METRICS_PER_DAY = 288
DEPTHS_PER_DAY = 288
LIQUIDATIONS_PER_DAY = 48

#: On this day USD-M metrics moved their label from the end of the period to its start; COIN-M
#: had it there before (binance-public-data#491, docs/archive-faults.md#metrics-labels).
UM_LABELS_AT_START = date(2026, 6, 25)

#: The bands of a depth snapshot, in hundredths of a percent from the mid price.
_BANDS = (-500, -400, -300, -200, -100, -20, 20, 100, 200, 300, 400, 500)


def funding_rate_rows(day: Day) -> str:
    """Write one rate every `FUNDING_HOURS` hours, up to 11 ms late, as in reality."""
    rows = []
    for slot in range(24 // FUNDING_HOURS):
        source = seeded(day.series, day.date, slot)
        late_ms = source.choice((0, 0, 0, 0, 1, 2, 11))
        moment = day.start_ms + slot * FUNDING_HOURS * 3_600_000 + late_ms
        rate = decimal(round(source.gauss(5_000, 6_000)), 8)
        rows.append(f"{moment * day.units_per_ms},{FUNDING_HOURS},{rate}\n")
    return "".join(rows)


def metrics_rows(day: Day) -> str:
    """Write `METRICS_PER_DAY` rows, five minutes apart, labelled as that day's files were."""
    at_start = day.series.market is Market.FUTURES_CM or day.date >= UM_LABELS_AT_START
    first_s = 0 if at_start else 300
    bodies = from_ring(_metrics(day.series), day.number * METRICS_PER_DAY, METRICS_PER_DAY)
    return "".join(
        [
            f"{moment_text(day, first_s + index * 300)},{day.series.symbol},{body}\n"
            for index, body in enumerate(bodies)
        ]
    )


@lru_cache(maxsize=64)
def _metrics(series: Series) -> list[str]:
    """Open interest, its value, and four ratios, one of them blank now and then."""
    source = seeded(series)
    width = 16 if series.market is Market.FUTURES_UM else None
    rows = []
    for index, price in enumerate(price_ring(series, source, 997)):
        interest = source.randrange(1_000_000, 90_000_000)
        ratios = [decimal(source.randrange(300_000, 4_000_000), 6, width) for _ in range(4)]
        if index % 97 == 0:
            ratios[0] = ""
        value = decimal(interest * price, 5, width)
        rows.append(",".join([decimal(interest, 3, width), value, *ratios]))
    return rows


def book_depth_rows(day: Day) -> str:
    """Write `DEPTHS_PER_DAY` snapshots of 12 bands each; a tenth of what the archive has."""
    snapshots = from_ring(_depths(day.series), day.number * DEPTHS_PER_DAY, DEPTHS_PER_DAY)
    rows = []
    for index, bands in enumerate(snapshots):
        moment = moment_text(day, index * 300 + 8)
        rows += [f"{moment},{band}\n" for band in bands]
    return "".join(rows)


@lru_cache(maxsize=64)
def _depths(series: Series) -> list[tuple[str, ...]]:
    source = seeded(series)
    snapshots = []
    for mid in price_ring(series, source, 101):
        depth = {}
        for side in (-1, 1):
            total = 0
            for reach in sorted(abs(band) for band in _BANDS if band * side > 0):
                total += source.randrange(10_000, 400_000)
                depth[side * reach] = total
        snapshots.append(tuple(_band(band, depth[band], mid) for band in _BANDS))
    return snapshots


def _band(band: int, depth: int, mid: int) -> str:
    """Write one band: percentage, depth, and notional at the price halfway into the band."""
    price = mid * (20_000 + band)  # of 20,000ths of a hundredth
    return f"{decimal(band, 2)},{decimal(depth, 3)},{decimal(depth * price // 200, 7)}"


def liquidation_rows(day: Day) -> str:
    """Write `LIQUIDATIONS_PER_DAY` filled liquidation orders."""
    source = seeded(day.series, day.date)
    rows = []
    for index, price in enumerate(price_ring(day.series, source, LIQUIDATIONS_PER_DAY)):
        moment = day.start_ms + index * 1_800_000 + source.randrange(1_800_000)
        side = source.choice(("BUY", "SELL"))
        quantity = source.randrange(1, 400)
        average = price + source.randrange(-20, 21)
        rows.append(
            f"{moment * day.units_per_ms},{side},LIMIT,IOC,{quantity},{decimal(price, 2)},"
            f"{decimal(average, 2)},FILLED,{source.randrange(1, quantity + 1)},{quantity}\n"
        )
    return "".join(rows)
