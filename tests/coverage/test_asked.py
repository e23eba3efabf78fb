"""Coverage against what runs were asked for."""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from tests.coverage.series_records import (
    DAILY,
    FUNDING,
    MONTHLY,
    NONE,
    TODAY,
    TRADES,
    day,
    folder,
    listed,
    row_of,
    run,
)

from crypto_lakehouse.core.archive import Partition, Series
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.coverage.asked_days import AskedDays
from crypto_lakehouse.coverage.coverage import SeriesCoverage, cover_series
from crypto_lakehouse.coverage.records import FolderRecord, SeriesRecord

BOTH = tuple(Partition)


def asked(*spans: tuple[str, str], partitions: Any = BOTH) -> AskedDays:
    return AskedDays.of([(day(first), day(last)) for first, last in spans], partitions)


def cover(
    days: AskedDays,
    daily: FolderRecord | None = None,
    *,
    series: Series = TRADES,
    row: Any = None,
    start: str = "",
    end: str = "",
) -> SeriesCoverage | None:
    record = SeriesRecord(series, {DAILY: daily} if daily else {}, days)
    window = {"start": day(start) if start else None, "end": day(end) if end else None}
    return cover_series(record, row or row_of(series), NONE, TODAY, **window)


def covered(*arguments: Any, **more: Any) -> SeriesCoverage:
    coverage = cover(*arguments, **more)
    assert coverage is not None
    return coverage


YEAR = ("2024-01-01", "2024-12-31")


def test_all_that_was_asked_for_is_complete() -> None:
    coverage = covered(asked(YEAR), folder(run("2024-01-01", to="2024-12-31")))
    assert (coverage.start, coverage.end) == (date(2024, 1, 1), date(2024, 12, 31))
    assert (coverage.verified_days, coverage.expected_days, coverage.holes) == (366, 366, ())


def test_what_was_asked_for_and_not_begun_is_missed() -> None:
    coverage = covered(asked(YEAR), folder(run("2024-02-01", to="2024-11-30")))
    assert listed(coverage) == [
        ("2024-01-01", "2024-01-31", "not_collected"),
        ("2024-12-01", "2024-12-31", "not_collected"),
    ]


def test_days_between_what_was_asked_for_do_not_count() -> None:
    days = asked(("2023-01-01", "2023-01-02"), ("2023-01-05", "2023-01-06"))
    coverage = covered(days, folder(run("2023-01-01"), run("2023-01-05", to="2023-01-06")))
    assert listed(coverage) == [
        ("2023-01-02", "2023-01-02", "not_collected"),
        ("2023-01-03", "2023-01-04", "not_asked"),
    ]
    assert (coverage.verified_days, coverage.expected_days) == (3, 4)


def test_what_was_settled_counts_whoever_asked_for_it() -> None:
    days = asked(("2023-01-03", "2023-01-03"))
    runs = folder(run("2023-01-01"), run("2023-01-05", Verdict.MISSING), run("2023-01-03"))
    coverage = covered(days, runs)
    assert listed(coverage) == [
        ("2023-01-02", "2023-01-02", "not_asked"),
        ("2023-01-04", "2023-01-04", "not_asked"),
        ("2023-01-05", "2023-01-05", "missing"),
    ]
    assert (coverage.verified_days, coverage.expected_days) == (2, 3)
    assert covered(asked(), runs).expected_days == 3


def test_an_open_end_lasts_until_what_should_be_there_by_now() -> None:
    days = AskedDays.of([(date(2026, 11, 1), date.max)], BOTH)
    coverage = covered(days, folder(run("2026-11-01", to="2026-11-10")))
    assert listed(coverage) == [("2026-11-11", "2026-11-19", "not_collected")]


def test_a_series_that_no_run_has_begun_shows() -> None:
    coverage = covered(asked(("2023-01-01", "2023-01-31")))
    assert listed(coverage) == [("2023-01-01", "2023-01-31", "not_collected")]
    assert (coverage.verified_days, coverage.expected_days) == (0, 31)


def test_a_series_that_was_asked_for_whole_begins_where_it_is_listed() -> None:
    whole = AskedDays.of([(date.min, date.max)], BOTH)
    coverage = covered(whole, folder(first="2026-11-01", last="2026-11-20", on="2026-11-23"))
    assert listed(coverage) == [("2026-11-01", "2026-11-19", "not_collected")]
    verified = covered(whole, folder(run("2026-11-03"), first="2026-11-01"))
    assert verified.start == date(2026, 11, 1)


def test_nothing_says_when_an_unknown_series_begins_that_was_asked_for_whole() -> None:
    whole = AskedDays.of([(date.min, date.max)], BOTH)
    record = SeriesRecord(TRADES, {}, whole)
    assert cover_series(record, None, NONE, TODAY) is None
    begun = evolve(record, folders={DAILY: folder(run("2026-11-18", to="2026-11-19"))})
    coverage = cover_series(begun, None, NONE, TODAY)
    assert coverage is not None
    assert (coverage.start, coverage.expected_days) == (date(2026, 11, 18), 2)
    dated = evolve(record, asked=asked(("2026-11-18", "2026-11-18")))
    coverage = cover_series(dated, None, NONE, TODAY)
    assert coverage is not None
    assert (coverage.start, coverage.expected_days) == (date(2026, 11, 18), 1)


@pytest.mark.parametrize(
    "days",
    [
        asked(),
        asked(("2026-11-22", "2026-11-23")),
        asked(("2010-01-01", "2010-12-31")),
    ],
)
def test_a_series_of_which_nothing_is_due_does_not_show(days: AskedDays) -> None:
    assert cover(days) is None
    assert cover(days, row=evolve(row_of(TRADES), state="removed")) is None


def test_months_alone_are_due_when_their_own_lag_has_passed() -> None:
    only_months = AskedDays.of([(date(2026, 8, 1), date(2026, 11, 20))], [MONTHLY])
    assert listed(covered(only_months)) == [("2026-08-01", "2026-09-30", "not_collected")]
    funding = covered(asked(("2026-08-01", "2026-11-20")), series=FUNDING)
    assert listed(funding) == [("2026-08-01", "2026-09-30", "not_collected")]


def test_a_window_shows_what_was_not_asked_for() -> None:
    coverage = covered(asked(YEAR), start="2023-12-30", end="2024-01-01")
    assert listed(coverage) == [
        ("2023-12-30", "2023-12-31", "not_asked"),
        ("2024-01-01", "2024-01-01", "not_collected"),
    ]
    nothing = covered(asked(), start="2023-12-30", end="2023-12-31")
    assert (nothing.expected_days, nothing.ratio) == (0, 1.0)
    assert covered(asked(), start="2023-12-30").start is None


spans = st.lists(
    st.tuples(st.dates(date(2024, 1, 1), date(2024, 3, 31)), st.integers(0, 20)).map(
        lambda pair: (pair[0], date.fromordinal(pair[0].toordinal() + pair[1]))
    ),
    max_size=6,
)


@given(spans)
def test_merged_spans_have_the_same_days_and_gaps_between_them(
    given_spans: list[tuple[date, date]],
) -> None:
    days = AskedDays.of(given_spans, BOTH)
    wanted = {
        number
        for first, last in given_spans
        for number in range(first.toordinal(), last.toordinal() + 1)
    }
    in_2024 = range(date(2024, 1, 1).toordinal(), date(2024, 5, 1).toordinal())
    missed = {
        number
        for first, last in days.gaps()
        for number in range(max(first, in_2024.start), min(last + 1, in_2024.stop))
    }
    assert missed == set(in_2024) - wanted
    ends = [(first.toordinal(), last.toordinal()) for first, last in days.spans]
    assert all(last + 1 < first for (_, last), (first, _) in pairwise(ends))
