"""Each state of the ledger, with each that the calendar knows, has one cause."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from attrs import evolve
from tests.coverage.series_records import (
    DAILY,
    MONTHLY,
    TRADES,
    covered,
    folder,
    known_hole,
    row_of,
    run,
)

from crypto_lakehouse.core.archive import DataType, Market, Series
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.coverage import coverage as module
from crypto_lakehouse.coverage.coverage import (
    UNEXPECTED,
    HoleCause,
)
from crypto_lakehouse.matrix.known_holes import KnownHoles

LEDGER: dict[str, dict[str, Any]] = {
    "verified": {"verdict": Verdict.VERIFIED},
    "unchanged": {"verdict": Verdict.UNCHANGED},
    "sidecar missing": {"verdict": Verdict.SIDECAR_MISSING},
    "let in": {"verdict": Verdict.UPSTREAM_MISMATCH, "is_let_in": True},
    "against its sidecar": {"verdict": Verdict.UPSTREAM_MISMATCH},
    "corrupt": {"verdict": Verdict.CORRUPT},
    "failed": {"verdict": Verdict.FAILED},
    "missing": {"verdict": Verdict.MISSING},
    "not published": {"verdict": Verdict.NOT_PUBLISHED},
    "nothing": {},
}
SERVED: dict[str, HoleCause | None] = {
    "verified": None,
    "unchanged": None,
    "sidecar missing": HoleCause.UNPROVEN,
    "let in": HoleCause.UNPROVEN,
    "against its sidecar": HoleCause.QUARANTINED,
    "corrupt": HoleCause.QUARANTINED,
}
ABSENT = {
    "failed": HoleCause.FAILED,
    "missing": HoleCause.MISSING,
    "not published": HoleCause.NOT_COLLECTED,
    "nothing": HoleCause.NOT_COLLECTED,
}
_RETIRED = evolve(
    row_of(TRADES),
    state="retired",
    partitions={
        DAILY: evolve(row_of(TRADES).partitions[DAILY], available_to=date(2024, 3, 30)),
        MONTHLY: evolve(row_of(TRADES).partitions[MONTHLY], available_to=date(2024, 3, 31)),
    },
)
_DATED = Series(Market.FUTURES_UM, DataType.TRADES, "BTCUSDT_240628")
#: What is known of the day -> the day, further arguments, and the cause that explains absence.
CALENDAR: dict[str, tuple[str, dict[str, Any], HoleCause | None]] = {
    "expected": ("2025-07-15", {}, None),
    "before the matrix's first day": ("2019-08-31", {}, HoleCause.OUTSIDE_LIFE),
    "after the feed ended": ("2024-03-31", {"row": _RETIRED}, HoleCause.RETIRED),
    "before a feed that ended": ("2019-08-31", {"row": _RETIRED}, HoleCause.OUTSIDE_LIFE),
    "in a feed that is gone": (
        "2023-03-31",
        {"row": evolve(_RETIRED, state="removed")},
        HoleCause.RETIRED,
    ),
    "after the delivery": ("2024-06-29", {"series": _DATED}, HoleCause.OUTSIDE_LIFE),
    "on the day of delivery": ("2024-06-28", {"series": _DATED}, None),
    "a known hole": (
        "2025-07-15",
        {"holes": KnownHoles((known_hole("2025-07-15", "2025-07-15"),))},
        HoleCause.UPSTREAM_HOLE,
    ),
    "a known hole, and late": (
        "2026-11-22",
        {"holes": KnownHoles((known_hole("2026-11-22", "2026-11-22"),))},
        HoleCause.UPSTREAM_HOLE,
    ),
    "the last day of its lag": ("2026-11-20", {}, HoleCause.NOT_PUBLISHED_YET),
    "its lag has passed": ("2026-11-19", {}, None),
    "not over": ("2026-11-23", {}, HoleCause.NOT_PUBLISHED_YET),
    "in the future": ("2027-01-01", {}, HoleCause.NOT_PUBLISHED_YET),
}


@pytest.mark.parametrize("known", CALENDAR)
def test_the_truth_table(known: str) -> None:
    text, arguments, explanation = CALENDAR[known]
    for state, facts in LEDGER.items():
        runs = [run(text, **facts)] if facts else []
        coverage = covered(folder(*runs), start=text, end=text, **arguments)
        expected = SERVED[state] if state in SERVED else explanation or ABSENT[state]
        causes = [hole.cause for hole in coverage.holes]
        assert causes == ([] if expected is None else [expected]), state
        assert coverage.verified_days == (expected is None), state
        assert coverage.expected_days == (expected not in UNEXPECTED), state
        if expected is not None and expected is explanation:
            assert coverage.holes[0].reason, "what is known of a day is said"


@pytest.mark.parametrize("one", LEDGER)
def test_the_better_word_of_day_and_month_wins(one: str) -> None:
    order = [None, HoleCause.UNPROVEN, HoleCause.QUARANTINED, HoleCause.FAILED,
             HoleCause.MISSING, HoleCause.NOT_COLLECTED]  # fmt: skip
    means = {**SERVED, **ABSENT}
    for other, facts in LEDGER.items():
        coverage = covered(
            folder(run("2025-07-15", **LEDGER[one])) if LEDGER[one] else None,
            folder(run("2025-07", **facts)) if facts else None,
            start="2025-07-15",
            end="2025-07-15",
        )
        expected = min(means[one], means[other], key=order.index)
        assert [hole.cause for hole in coverage.holes] == ([expected] if expected else []), other


def test_the_documented_table_has_every_cause() -> None:
    assert module.__doc__ is not None
    for cause in HoleCause:
        assert f"| {cause} " in module.__doc__
