"""A series' coverage, cut into months."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.core.archive import DataType, Market, Series
from crypto_lakehouse.coverage.coverage import Hole, HoleCause, SeriesCoverage
from crypto_lakehouse.coverage.months import months_of

SERIES = Series(Market.SPOT, DataType.TRADES, "BTCUSDT")


def coverage(start: date | None, end: date | None, *holes: Hole) -> SeriesCoverage:
    return SeriesCoverage(
        series=SERIES, start=start, end=end, first_day=None, last_day=None, verified_days=0,
        expected_days=0, size_bytes=0, refused_newer=0, holes=holes,
    )  # fmt: skip


def hole(first: date, last: date, cause: HoleCause) -> Hole:
    days = (last - first).days + 1
    return Hole(first_day=first, last_day=last, days=days, cause=cause, reason="")


def test_months_are_cut_at_the_window_and_know_their_holes() -> None:
    holes = (
        hole(date(2024, 1, 30), date(2024, 2, 2), HoleCause.MISSING),
        hole(date(2024, 2, 3), date(2024, 2, 3), HoleCause.FAILED),
        hole(date(2024, 2, 20), date(2024, 2, 29), HoleCause.UPSTREAM_HOLE),
    )
    january, february, march = months_of(coverage(date(2024, 1, 30), date(2024, 3, 2), *holes))
    assert (january.verified_days, january.expected_days, january.ratio) == (0, 2, 0.0)
    assert (february.verified_days, february.expected_days) == (16, 19)
    assert february.worst is HoleCause.FAILED
    assert february.causes() == [HoleCause.UPSTREAM_HOLE, HoleCause.MISSING, HoleCause.FAILED]
    assert (march.first_day, march.verified_days, march.ratio) == (date(2024, 3, 1), 2, 1.0)
    assert march.worst is None
    assert march.causes() == []


def test_a_month_that_nobody_can_have_is_complete_and_empty() -> None:
    gone = hole(date(2024, 1, 1), date(2024, 1, 31), HoleCause.RETIRED)
    (month,) = months_of(coverage(date(2024, 1, 1), date(2024, 1, 31), gone))
    assert (month.verified_days, month.expected_days, month.ratio) == (0, 0, 1.0)


def test_where_nothing_was_judged_there_are_no_months() -> None:
    assert list(months_of(coverage(None, None))) == []


@given(
    st.dates(date(2023, 1, 1), date(2024, 12, 31)),
    st.integers(0, 400),
    st.lists(st.tuples(st.integers(1, 90), st.sampled_from(HoleCause)), max_size=6),
)
def test_months_sum_up_to_the_whole(
    start: date, length: int, lengths: list[tuple[int, HoleCause]]
) -> None:
    end, day, holes = start + timedelta(days=length), start, []
    for days, cause in lengths:
        last = min(end, day + timedelta(days=days - 1))
        if day <= last:
            holes.append(hole(day, last, cause))
        day = last + timedelta(days=2)
    months = list(months_of(coverage(start, end, *holes)))
    in_holes = sum(each.days for each in holes)
    assert sum(month.verified_days for month in months) == length + 1 - in_holes
    assert sum(month.holes.total() for month in months) == in_holes
    assert [month.first_day for month in months] == sorted({
        (start + timedelta(days=number)).replace(day=1) for number in range(length + 1)
    })  # fmt: skip
