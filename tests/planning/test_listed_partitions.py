"""Cover a window of series that have days only, months only, or both of different times."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import pytest
from tests.planning.listed_series import (
    DAILY,
    MONTHLY,
    NOTHING,
    TODAY,
    cover,
    folder,
    listed_of,
    missing_of,
    periods,
    reasons_of,
    series,
)

from crypto_lakehouse.core.archive import Partition, Period
from crypto_lakehouse.planning.periods import Life, Window

# One partition ----------------------------------------------------------------------------------


def test_a_data_type_that_has_days_only_is_covered_by_days() -> None:
    planned = cover(series(folder(("2025-06-01", "2025-06-30"))), "2025-06-01", "2025-06-30")
    assert listed_of(planned) == list(planned)
    assert len(planned) == 30


def test_a_data_type_that_has_months_only_is_covered_by_every_month_it_touches() -> None:
    months = folder(("2025-05", "2025-07"))
    planned = cover(series(monthly=months), "2025-05-31", "2025-07-01")
    assert listed_of(planned) == list(planned) == ["2025-05", "2025-06", "2025-07"]


def test_a_symbol_that_has_months_only_is_covered_as_if_there_were_no_days() -> None:
    months = folder(("2025-05", "2025-05"), ("2025-07", "2025-07"), first="2025-05")
    planned = cover(series(NOTHING, months), "2025-04-30", "2025-07-02")
    assert listed_of(planned) == ["2025-05", "2025-07"]
    assert missing_of(planned) == ["2025-06"]
    assert reasons_of(planned) == {"2025-04": "the source lists this series from 2025-05 on"}


def test_a_symbol_that_has_days_only_is_covered_by_days() -> None:
    planned = cover(
        series(folder(("2025-06-01", "2025-06-30")), NOTHING), "2025-06-01", "2025-06-30"
    )
    assert len(listed_of(planned)) == len(planned) == 30


def test_a_series_that_has_neither_is_missing_as_the_calendar_would_have_it() -> None:
    planned = cover(series(NOTHING, NOTHING), "2025-06-01", "2025-07-02")
    assert missing_of(planned) == list(planned) == ["2025-06", "2025-07-01", "2025-07-02"]


@pytest.mark.parametrize(
    ("partitions", "expected"),
    [
        ((DAILY,), ["2025-06-29", "2025-06-30", "2025-07-01"]),
        ((MONTHLY,), ["2025-06", "2025-07"]),
        ((MONTHLY, DAILY), ["2025-06", "2025-07", "2025-06-29", "2025-06-30", "2025-07-01"]),
    ],
)
def test_partitions_that_are_named_are_all_taken(
    partitions: Sequence[Partition], expected: list[str]
) -> None:
    both = series(folder(("2025-06-01", "2025-07-31")), folder(("2025-06", "2025-07")))
    planned = cover(both, "2025-06-29", "2025-07-01", *partitions)
    assert listed_of(planned) == list(planned) == expected


def test_partitions_that_a_series_was_not_asked_for_are_no_part_of_it() -> None:
    days = series(folder(("2025-06-01", "2025-07-31")))
    assert list(cover(days, "2025-07-01", "2025-07-01", MONTHLY, DAILY)) == ["2025-07-01"]


# Days and months of different times -------------------------------------------------------------

LATE_DAYS = folder(("2025-07-05", "2025-07-31"), first="2025-07-05")


def test_months_from_before_there_were_days_are_taken_and_not_passed_over() -> None:
    both = series(LATE_DAYS, folder(("2025-05", "2025-07")))
    planned = cover(both, "2025-05-20", "2025-06-10")
    assert listed_of(planned) == list(planned) == ["2025-05", "2025-06"]


def test_a_month_that_is_missing_from_before_there_were_days_is_missing() -> None:
    both = series(LATE_DAYS, folder(("2025-04", "2025-04"), ("2025-06", "2025-07")))
    planned = cover(both, "2025-04-10", "2025-06-10")
    assert missing_of(planned) == ["2025-05"]
    assert reasons_of(planned) == {}


def test_the_month_in_which_days_begin_is_known_by_its_days() -> None:
    both = series(LATE_DAYS, folder(("2025-07", "2025-07"), first="2025-07"))
    planned = cover(both, "2025-07-01", "2025-07-02")
    assert list(planned) == ["2025-07-01", "2025-07-02"]
    assert listed_of(planned) == missing_of(planned) == []


def test_months_from_after_there_were_days_are_taken() -> None:
    both = series(
        folder(("2025-05-01", "2025-05-20"), last="2025-05-20"), folder(("2025-05", "2025-07"))
    )
    planned = cover(both, "2025-05-20", "2025-06-10")
    assert listed_of(planned) == ["2025-05-20", "2025-06"]
    assert len(reasons_of(planned)) == 11


def test_months_that_begin_after_all_days_are_taken() -> None:
    both = series(folder(first="2020-01-01", ended_before=True), folder(("2025-05", "2025-07")))
    planned = cover(both, "2025-05-20", "2025-06-10")
    assert listed_of(planned) == ["2025-06"], "May is perhaps the month of the last day"
    assert len(reasons_of(planned)) == 12


def test_days_that_are_late_are_no_reason_to_take_months_in_part() -> None:
    today = date(2025, 7, 30)
    both = series(
        folder(("2025-06-01", "2025-06-30"), last="2025-06-30"), folder(("2025-06", "2025-07"))
    )
    planned = cover(both, "2025-07-01", "2025-07-02", today=today)
    assert missing_of(planned) == ["2025-07-01", "2025-07-02"]


# When months are silent ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("today", "said"),
    [
        (date(2025, 7, 1), "not listed yet; that is normal for up to 35 days after the period"),
        (date(2025, 7, 20), "not listed yet; that is normal for up to 35 days after the period"),
        (date(2025, 8, 5), ""),
        (date(2025, 8, 6), "the source lists this series up to 2025-05"),
    ],
)
def test_a_series_of_months_has_not_ended_before_its_next_month_could_be_listed(
    today: date, said: str
) -> None:
    months = series(monthly=folder(("2025-04", "2025-05"), last="2025-05"))
    item = cover(months, "2025-06-10", "2025-06-10", today=today)["2025-06"]
    assert (item.not_published, item.unlisted) == (said, not said)


# The listing against the matrix -----------------------------------------------------------------


def test_a_listing_that_goes_on_longer_than_the_matrix_says_is_right() -> None:
    life = Life(date(2020, 1, 1), date(2025, 7, 5), 3)
    days = folder(("2025-07-01", "2025-07-07"), ("2025-07-09", "2025-07-31"))
    both = series(days, NOTHING, lives={DAILY: life, MONTHLY: life})
    assert missing_of(cover(both, "2025-07-01", "2025-07-31")) == ["2025-07-08"]


def test_a_month_in_which_a_contract_is_delivered_does_not_prolong_its_days() -> None:
    life = Life(date(2020, 1, 1), date(2025, 6, 27), 3)
    both = series(
        folder(("2025-06-01", "2025-06-27"), last="2025-06-27"),
        folder(("2025-06", "2025-06"), last="2025-06"),
        lives={DAILY: life, MONTHLY: life},
    )
    planned = cover(both, "2025-06-02", "2025-07-01", today=date(2025, 7, 20))
    assert missing_of(planned) == []
    assert set(reasons_of(planned).values()) == {"the series ended on 2025-06-27"}


# The span of a series ---------------------------------------------------------------------------


def test_a_span_goes_from_the_first_to_the_last_listed_day() -> None:
    both = series(folder(("2025-06-10", "2025-08-02")), folder(("2025-07", "2025-08")))
    assert both.span(TODAY) == Window(date(2025, 6, 10), date(2025, 8, 31), TODAY)


def test_nothing_that_is_listed_has_no_span() -> None:
    assert series(NOTHING, NOTHING).span(TODAY) is None
    assert not series(NOTHING, NOTHING).is_listed


def test_a_series_is_listed_where_its_archives_are_all_outside_of_the_window() -> None:
    assert series(folder(first="2020-01-01", ended_before=True), NOTHING).is_listed


def test_a_whole_span_is_covered_by_what_is_listed() -> None:
    both = series(
        folder(("2025-06-10", "2025-08-02"), first="2025-06-10", last="2025-08-02"),
        folder(("2025-06", "2025-07"), first="2025-06", last="2025-07"),
    )
    span = both.span(TODAY)
    assert span is not None
    planned = cover(both, str(span.start), str(span.end))
    assert listed_of(planned) == list(planned)
    days = [day for item in planned.values() for day in periods(*_ends(item.period))]
    assert len(days) == (span.end - span.start) // timedelta(days=1) + 1


def _ends(period: Period) -> tuple[str, str]:
    return str(period.first_day), str(period.last_day)
