"""Every day of a range is covered once, by the right period."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_lakehouse.core.archive import Partition, Period
from crypto_lakehouse.planning.periods import Life, Window, cover_days

DAILY, MONTHLY = Partition.DAILY, Partition.MONTHLY
TODAY = date(2026, 11, 23)
START_OF_ALL = date(2017, 8, 17)

days = st.dates(date(2016, 1, 1), date(2027, 6, 30))


def both(
    first: date = START_OF_ALL, last: date | None = None, *, removed: bool = False
) -> dict[Partition, Life]:
    """A series that has days and months, with the publisher's usual lags."""
    return {
        DAILY: Life(first, last, 3, removed),
        MONTHLY: Life(first.replace(day=1), last, 35, removed),
    }


def texts(
    start: date,
    end: date,
    lives: dict[Partition, Life],
    partitions: tuple[Partition, ...] | None = None,
) -> list[str]:
    """The periods planned to be requested."""
    cover = cover_days(Window(start, end, TODAY), lives, partitions)
    return [str(dated.period) for dated in cover if not dated.not_published]


def test_a_closed_month_is_taken_whole() -> None:
    assert texts(date(2025, 6, 1), date(2025, 7, 31), both()) == ["2025-06", "2025-07"]


def test_edges_are_taken_by_days() -> None:
    cover = texts(date(2025, 5, 30), date(2025, 7, 2), both())
    assert cover == ["2025-05-30", "2025-05-31", "2025-06", "2025-07-01", "2025-07-02"]


def test_a_month_within_its_publication_lag_is_taken_by_days() -> None:
    cover = texts(date(2026, 9, 1), date(2026, 10, 31), both())
    assert cover[0] == "2026-09"
    assert cover[1:] == [f"2026-10-{day:02d}" for day in range(1, 32)]


def test_days_that_have_not_ended_are_not_requested() -> None:
    cover = cover_days(Window(date(2026, 11, 21), date(2026, 11, 25), TODAY), both(), None)
    assert [bool(dated.not_published) for dated in cover] == [False, False, True, True, True]
    assert cover[2].not_published == "the period has not ended"


def test_the_month_in_which_a_series_begins_is_taken_whole() -> None:
    assert texts(START_OF_ALL, date(2017, 9, 30), both()) == ["2017-08", "2017-09"]


def test_months_before_the_life_are_planned_once_and_not_requested() -> None:
    cover = cover_days(Window(date(2017, 6, 1), date(2017, 7, 31), TODAY), both(), None)
    assert [str(dated.period) for dated in cover] == ["2017-06", "2017-07"]
    assert {dated.not_published for dated in cover} == {"the series begins on 2017-08-01"}


def test_a_retired_series_ends() -> None:
    lives = both(date(2023, 5, 16), date(2024, 3, 30))
    cover = cover_days(Window(date(2024, 3, 1), date(2024, 4, 2), TODAY), lives, None)
    assert [(str(item.period), bool(item.not_published)) for item in cover] == [
        ("2024-03", False),
        ("2024-04-01", True),
        ("2024-04-02", True),
    ]
    assert cover[1].not_published == "the series ended on 2024-03-30"


def test_a_removed_feed_is_never_requested() -> None:
    lives = both(date(2023, 6, 25), date(2024, 3, 31), removed=True)
    cover = cover_days(Window(date(2023, 7, 1), date(2023, 7, 31), TODAY), lives, None)
    assert {item.not_published for item in cover} == {"the publisher has removed this feed"}


def test_a_series_with_only_days_is_taken_by_days() -> None:
    lives = {DAILY: Life(date(2020, 9, 1), None, 3)}
    assert len(texts(date(2025, 6, 1), date(2025, 6, 30), lives)) == 30


def test_a_series_with_only_months_is_taken_by_every_month_touched() -> None:
    lives = {MONTHLY: Life(date(2020, 1, 1), None, 35)}
    assert texts(date(2025, 7, 15), date(2025, 8, 1), lives) == ["2025-07", "2025-08"]


def test_days_exist_before_months_do() -> None:
    lives = {DAILY: Life(date(2019, 12, 31), None, 3), MONTHLY: Life(date(2020, 1, 1), None, 35)}
    assert texts(date(2019, 12, 31), date(2020, 1, 31), lives) == ["2019-12-31", "2020-01"]


@pytest.mark.parametrize(
    ("partitions", "expected"),
    [
        ((DAILY,), ["2025-07-15"]),
        ((MONTHLY,), ["2025-07"]),
        ((MONTHLY, DAILY), ["2025-07", "2025-07-15"]),
        ((), []),
    ],
)
def test_named_partitions_are_taken_as_named(
    partitions: tuple[Partition, ...], expected: list[str]
) -> None:
    day = date(2025, 7, 15)
    assert texts(day, day, both(), partitions) == expected


def test_a_partition_that_the_series_lacks_gives_nothing() -> None:
    lives = {MONTHLY: Life(date(2020, 1, 1), None, 35)}
    assert texts(date(2025, 7, 1), date(2025, 7, 31), lives, (DAILY,)) == []


@given(st.tuples(days, days).map(sorted), days, days)
def test_auto_covers_every_living_day_exactly_once(
    window: list[date], first: date, today: date
) -> None:
    start, end = window
    lives = both(first)
    cover = cover_days(Window(start, end, today), lives, None)
    covered: dict[date, int] = {}
    for item in cover:
        day = item.period.first_day
        while day <= item.period.last_day:
            covered[day] = covered.get(day, 0) + 1
            day += timedelta(days=1)
    assert set(covered.values()) <= {1}
    living = [start + timedelta(days=n) for n in range((end - start).days + 1)]
    assert set(living) <= set(covered)
    outside = [day for day in covered if not start <= day <= end]
    assert all(day < first for day in outside), "only days without data lie outside"


@given(st.tuples(days, days).map(sorted), days, days)
def test_a_month_is_requested_only_when_it_is_surely_published(
    window: list[date], first: date, today: date
) -> None:
    cover = cover_days(Window(window[0], window[1], today), both(first), None)
    for item in cover:
        if item.period.partition is MONTHLY and not item.not_published:
            assert item.period.last_day + timedelta(days=35) < today
        if not item.not_published:
            assert item.period.last_day < today
            assert item.period.last_day >= first


@given(st.tuples(days, days).map(sorted), days)
def test_a_cover_is_in_the_order_of_time(window: list[date], today: date) -> None:
    cover = cover_days(Window(window[0], window[1], today), both(), None)
    starts = [item.period.first_day for item in cover]
    assert starts == sorted(starts)


def test_the_same_question_has_the_same_answer_in_memory() -> None:
    window = Window(date(2025, 1, 1), date(2025, 3, 31), TODAY)
    assert cover_days(window, both(), None) is cover_days(window, both(), None)


def test_a_period_that_is_late_is_not_yet_surely_published() -> None:
    life = Life(START_OF_ALL, None, 3)
    assert not life.is_surely_published(Period.day(TODAY - timedelta(days=3)), TODAY)
    assert life.is_surely_published(Period.day(TODAY - timedelta(days=4)), TODAY)


def test_a_month_before_days_were_published_is_taken_as_a_month() -> None:
    lives = {DAILY: Life(date(2021, 1, 1), None, 3), MONTHLY: Life(date(2020, 1, 1), None, 35)}
    assert texts(date(2020, 12, 1), date(2021, 1, 31), lives) == ["2020-12", "2021-01"]


def test_a_month_that_outlives_the_days_is_taken_as_a_month() -> None:
    lives = {
        DAILY: Life(date(2023, 5, 16), date(2024, 3, 30), 3),
        MONTHLY: Life(date(2023, 5, 1), date(2024, 4, 30), 35),
    }
    assert texts(date(2024, 3, 1), date(2024, 4, 30), lives) == ["2024-03", "2024-04"]
