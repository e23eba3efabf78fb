"""How much a plan is: archives, bytes, requests, and about how long it takes."""

from __future__ import annotations

from datetime import date, timedelta
from functools import reduce
from operator import add
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.stores.memory import MemoryStore

from crypto_lakehouse.collection.inventory import Inventory
from crypto_lakehouse.core.archive import DataType, Market, Period, Series
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.listed import ListedArchive
from crypto_lakehouse.core.plan import PlannedPeriod, PlannedSeries
from crypto_lakehouse.ledger.empty import EmptyLedger
from crypto_lakehouse.workflows.wiring.collector_stack import make_inventory
from crypto_lakehouse.workflows.wiring.plan_sizes import _COUNTS, SeriesSize, sizes_of

SERIES = Series(Market.SPOT, DataType.KLINES, "BTCUSDT", "1h")
LISTING = WorkflowConfig({"output_directory": "o", "discovery": "listing"}, environ={})
ETAG = '"900150983cd24fb0d6963f7d28e17f72"'
DAYS = [Period.day(date(2025, 7, 1) + timedelta(days=number)) for number in range(31)]
MONTH = Period.month(date(2025, 6, 1))


def listed(period: Period, size_bytes: int = 1000, etag: str | None = ETAG) -> PlannedPeriod:
    return PlannedPeriod(period, "", 3, ListedArchive(size_bytes=size_bytes, etag=etag))


def unlisted(period: Period) -> PlannedPeriod:
    return PlannedPeriod(period, "", 3, unlisted=True)


def impossible(period: Period) -> PlannedPeriod:
    return PlannedPeriod(period, "the period has not ended", 3)


def size_of(*periods: PlannedPeriod, **config: Any) -> SeriesSize:
    values = {"output_directory": "o", "discovery": "listing", **config}
    wanted = WorkflowConfig(values, environ={})
    (size,) = sizes_of([PlannedSeries(SERIES, periods)], nothing_here(wanted), wanted)
    return size


def nothing_here(config: WorkflowConfig) -> Inventory:
    return make_inventory(config, MemoryStore(), EmptyLedger(), reads_only=True)


def test_a_listed_series_is_sized_by_what_is_listed() -> None:
    size = size_of(
        listed(MONTH, 50_000), listed(DAYS[0], 2000), unlisted(DAYS[1]), impossible(DAYS[2])
    )
    assert (size.monthly, size.daily, size.missing, size.not_published) == (1, 1, 1, 1)
    assert (size.planned, size.size_bytes, size.requests) == (4, 52_000, 4)
    assert (size.first, size.last) == ("2025-06-01", "2025-07-03")
    assert (size.market, size.data_type, size.symbol, size.interval) == (
        "spot", "klines", "BTCUSDT", "1h",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("periods", "size_bytes"),
    [
        ([PlannedPeriod(DAYS[0])], None),
        ([PlannedPeriod(DAYS[0]), impossible(DAYS[1])], None),
        ([impossible(DAYS[0])], 0),
        ([unlisted(DAYS[0])], 0),
        ([unlisted(DAYS[0]), listed(DAYS[1])], 1000),
    ],
)
def test_a_size_is_known_where_a_listing_was_read(
    periods: list[PlannedPeriod], size_bytes: int | None
) -> None:
    assert size_of(*periods).size_bytes == size_bytes


@pytest.mark.parametrize(
    ("config", "etag", "requests"),
    [
        ({}, ETAG, 2),
        ({"integrity": "listing"}, ETAG, 2),
        ({"integrity": "listing", "download_checksum": False}, ETAG, 1),
        ({"integrity": "listing", "download_checksum": False}, '"0f-3"', 2),
        ({"integrity": "listing", "download_checksum": False}, None, 2),
        ({"integrity": "both", "download_checksum": False}, ETAG, 2),
        ({"integrity": "sidecar", "download_checksum": False}, ETAG, 2),
    ],
)
def test_requests_are_for_the_zip_and_what_proves_it(
    config: dict[str, Any], etag: str | None, requests: int
) -> None:
    assert size_of(listed(DAYS[0], etag=etag), **config).requests == requests


def test_more_connections_and_fewer_bytes_take_less_time() -> None:
    days = [listed(day, 10_000_000) for day in DAYS]
    alone, many = size_of(*days, max_parallel_downloads=1), size_of(*days)
    assert alone.estimate_s == pytest.approx(16 * many.estimate_s)
    assert size_of(*days[:1], max_parallel_downloads=1).estimate_s == pytest.approx(2.08)
    auto = size_of(*days, max_parallel_downloads="auto")
    assert auto.estimate_s == pytest.approx(many.estimate_s / 2)
    assert size_of(impossible(DAYS[0])).estimate_s == 0


# Sums -------------------------------------------------------------------------------------------

sizes = st.builds(
    lambda items, number: next(
        sizes_of(
            [PlannedSeries(SERIES, tuple(items[:number] or items))],
            nothing_here(LISTING),
            LISTING,
        )
    ),
    st.permutations(
        [PlannedPeriod(DAYS[0]), listed(DAYS[1]), unlisted(DAYS[2]), impossible(DAYS[3])]
    ),
    st.integers(1, 4),
)


@given(st.lists(sizes, max_size=5))
def test_a_sum_is_that_of_its_parts(parts: list[SeriesSize]) -> None:
    total = sum(parts, SeriesSize())
    for name in (*_COUNTS, "planned"):
        assert getattr(total, name) == sum(getattr(part, name) for part in parts), name
    known = [part.size_bytes for part in parts if part.size_bytes is not None]
    is_known = bool(parts) and len(known) == len(parts)
    planned = [part.planned_bytes for part in parts if part.planned_bytes is not None]
    is_whole = bool(parts) and len(planned) == len(parts)
    assert total.planned_bytes == (sum(planned) if is_whole else None)
    assert total.size_bytes == (sum(known) if is_known else None)
    assert total.first == min((part.first for part in parts), default="")
    assert total.last == max((part.last for part in parts), default="")
    assert (total.symbol, total.interval) == ("", None)


@given(st.lists(sizes, min_size=1, max_size=5), st.integers(0, 5))
def test_sums_of_sums_are_the_sum(parts: list[SeriesSize], cut: int) -> None:
    one, other = parts[:cut], parts[cut:]
    whole = sum(parts, SeriesSize())
    summed = sum(one, SeriesSize()) + sum(other, SeriesSize())
    assert summed.size_bytes == whole.size_bytes
    assert (summed.planned, summed.first, summed.last) == (whole.planned, whole.first, whole.last)


def test_what_is_not_known_of_one_series_is_not_known_of_all() -> None:
    """A feed that has ended is no bytes; together with a live one the calendar knows none."""
    ended, live = size_of(impossible(DAYS[0])), size_of(PlannedPeriod(DAYS[0]))
    for order in ([ended, live], [live, ended], [ended, live, ended]):
        assert reduce(add, order).size_bytes is None
    assert (ended + ended).size_bytes == 0


def test_a_series_is_written_with_its_names_and_a_sum_without() -> None:
    size = size_of(listed(DAYS[0], 10_000_000), max_parallel_downloads=1)
    mapping = size.to_mapping()
    assert mapping == {
        "market": "spot",
        "data_type": "klines",
        "symbol": "BTCUSDT",
        "interval": "1h",
        "planned": 1,
        "daily": 1,
        "monthly": 0,
        "not_published": 0,
        "missing": 0,
        "verified": 0,
        "to_fetch": 1,
        "to_check": 0,
        "sidecars": 0,
        "quarantined": 0,
        "refused": 0,
        "bytes": 10_000_000,
        "requests": 2,
        "planned_bytes": 10_000_000,
        "planned_requests": 2,
        "estimate_seconds": 2.1,
        "first": "2025-07-01",
        "last": "2025-07-01",
    }
    total = (size + size).to_mapping()
    assert (total["planned"], total["bytes"]) == (2, 20_000_000)
    assert "market" not in total
    assert size.type_name == (size + size).type_name == ("spot", "klines")
