"""Cover a window with what a source lists: what is there, what cannot be, what is missing."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from tests.planning.listed_series import (
    ARCHIVE,
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

from crypto_lakehouse.core.archive import Period
from crypto_lakehouse.core.plan import PlannedPeriod
from crypto_lakehouse.planning.listed_cover import ListedSeries
from crypto_lakehouse.planning.periods import Life, Window

JUNE, JULY = ("2025-06-01", "2025-06-30"), ("2025-07-01", "2025-07-31")


# Each day once ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "months"),
    [
        ("2025-06-01", "2025-06-30", ["2025-06"]),
        ("2025-06-01", "2025-07-31", ["2025-06", "2025-07"]),
        ("2025-06-02", "2025-06-30", []),
        ("2025-06-01", "2025-06-29", []),
        ("2025-06-02", "2025-07-31", ["2025-07"]),
        ("2025-06-01", "2025-07-30", ["2025-06"]),
        ("2025-06-10", "2025-06-10", []),
    ],
)
def test_a_month_is_taken_where_all_of_it_is_wanted(
    start: str, end: str, months: list[str]
) -> None:
    both = series(folder(JUNE, JULY), folder(("2025-06", "2025-07")))
    planned = cover(both, start, end)
    assert [text for text in planned if len(text) == 7] == months
    assert listed_of(planned) == list(planned)
    days = {day for item in planned.values() for day in _days(item.period)}
    assert sorted(days) == [period.first_day for period in periods(start, end)]


def _days(period: Period) -> list[date]:
    return [item.first_day for item in periods(str(period.first_day), str(period.last_day))]


def test_days_are_taken_where_the_month_is_not_listed() -> None:
    both = series(folder(JUNE, JULY), folder(("2025-06", "2025-06")))
    planned = cover(both, "2025-06-01", "2025-07-31")
    assert list(planned)[:2] == ["2025-06", "2025-07-01"]
    assert len(planned) == 32


def test_what_is_planned_bears_what_is_listed_and_how_late_it_may_be() -> None:
    both = series(folder(JULY), folder(("2025-06", "2025-06")))
    planned = cover(both, "2025-06-01", "2025-07-01")
    assert planned["2025-06"] == PlannedPeriod(Period.parse("2025-06"), "", 35, ARCHIVE)
    assert planned["2025-07-01"] == PlannedPeriod(Period.parse("2025-07-01"), "", 3, ARCHIVE)


def test_a_hole_among_listed_days_is_missing() -> None:
    days = folder(("2025-07-01", "2025-07-09"), ("2025-07-11", "2025-07-31"))
    planned = cover(series(days, folder()), "2025-07-05", "2025-07-15")
    assert missing_of(planned) == ["2025-07-10"]
    assert planned["2025-07-10"].lag_days == 3


def test_a_hole_that_is_known_is_not_missing() -> None:
    days = folder(("2025-07-01", "2025-07-09"), ("2025-07-12", "2025-07-31"))
    known = {"2025-07-10": "the exchange was closed"}
    holes = series(days, folder(), known_hole=lambda period: known.get(period.text, ""))
    planned = cover(holes, "2025-07-05", "2025-07-15")
    assert reasons_of(planned) == known
    assert missing_of(planned) == ["2025-07-11"]


# Series that begin or end -----------------------------------------------------------------------


def test_a_series_that_begins_in_the_window_is_covered_from_its_first_day() -> None:
    both = series(
        folder(("2025-06-10", "2025-06-30"), JULY, first="2025-06-10"),
        folder(("2025-06", "2025-07"), first="2025-06"),
    )
    planned = cover(both, "2025-05-30", "2025-07-31")
    assert listed_of(planned) == ["2025-06", "2025-07"]
    assert reasons_of(planned) == dict.fromkeys(
        ["2025-05-30", "2025-05-31"], "the source lists this series from 2025-06-10 on"
    )


def test_a_month_in_which_a_series_begins_is_taken_only_where_all_of_it_is_wanted() -> None:
    days = folder(("2025-06-10", "2025-06-30"), first="2025-06-10")
    planned = cover(series(days, folder(("2025-06", "2025-06"))), "2025-06-05", "2025-06-30")
    assert len(listed_of(planned)) == 21
    assert len(reasons_of(planned)) == 5


@pytest.mark.parametrize(("end", "cover_of"), [("2025-07-10", "2025-07"), ("2025-07-09", "days")])
def test_a_month_in_which_a_series_ended_is_wanted_whole_up_to_its_last_day(
    end: str, cover_of: str
) -> None:
    both = series(
        folder(("2025-07-01", "2025-07-10"), last="2025-07-10"),
        folder(("2025-07", "2025-07"), last="2025-07"),
    )
    planned = cover(both, "2025-07-01", end)
    assert list(planned) == (["2025-07"] if cover_of == "2025-07" else _texts("2025-07-01", end))


@pytest.mark.parametrize("monthly_last", ["2025-08", None])
def test_the_last_day_of_dailies_is_no_end_where_months_go_on(monthly_last: str | None) -> None:
    ends = {"last": monthly_last} if monthly_last else {}
    both = series(
        folder(("2025-07-01", "2025-07-10"), last="2025-07-10"),
        folder(("2025-07", "2025-08"), **ends),
    )
    planned = cover(both, "2025-07-01", "2025-07-20")
    assert "2025-07" not in planned
    assert len(listed_of(planned)) == 10


def _texts(first: str, last: str) -> list[str]:
    return [period.text for period in periods(first, last)]


def test_a_series_that_ended_in_the_window_is_covered_up_to_its_last_day() -> None:
    both = series(
        folder(JUNE, ("2025-07-01", "2025-07-10"), last="2025-07-10"),
        folder(("2025-06", "2025-07"), last="2025-07"),
    )
    planned = cover(both, "2025-06-01", "2025-08-02")
    assert listed_of(planned) == ["2025-06", "2025-07"]
    assert reasons_of(planned) == dict.fromkeys(
        ["2025-08-01", "2025-08-02"], "the source lists this series up to 2025-07-10"
    )


@pytest.mark.parametrize(("silent", "ended"), [(34, False), (35, False), (36, True), (400, True)])
def test_a_silence_of_more_than_35_days_ends_a_series(silent: int, *, ended: bool) -> None:
    days = folder(("2025-07-01", "2025-07-10"), last="2025-07-10")
    today = date(2025, 7, 10) + timedelta(days=silent)
    planned = cover(series(days, folder()), "2025-07-10", "2025-07-12", today=today)
    assert missing_of(planned) == ([] if ended else ["2025-07-11", "2025-07-12"])
    assert list(reasons_of(planned)) == (["2025-07-11", "2025-07-12"] if ended else [])


def test_a_listing_that_goes_on_behind_the_window_has_holes_and_no_end() -> None:
    days = folder(("2025-07-01", "2025-07-10"))
    planned = cover(series(days, folder()), "2025-07-10", "2025-07-12", today=date(2026, 7, 1))
    assert missing_of(planned) == ["2025-07-11", "2025-07-12"]


def test_a_series_that_ended_before_the_window_is_not_missing() -> None:
    days = folder(first="2020-01-01", ended_before=True)
    planned = cover(series(days, folder()), "2025-07-01", "2025-07-02")
    reason = "the source lists nothing of this series from 2025-07-01 on"
    assert reasons_of(planned) == {"2025-07-01": reason, "2025-07-02": reason}


def test_a_series_that_begins_behind_the_window_is_not_missing() -> None:
    days = folder(("2025-07-05", "2025-07-06"), first="2025-07-05")
    planned = cover(series(days, folder()), "2025-07-01", "2025-07-02")
    assert set(reasons_of(planned).values()) == {"the source lists this series from 2025-07-05 on"}


# What the matrix says beside the listing --------------------------------------------------------


def test_a_symbol_that_is_nowhere_is_missing_for_as_long_as_the_matrix_has_it() -> None:
    life = Life(date(2025, 7, 2), date(2025, 7, 3), 3)
    nowhere = series(NOTHING, NOTHING, lives={DAILY: life, MONTHLY: life})
    planned = cover(nowhere, "2025-07-01", "2025-07-04", DAILY)
    assert missing_of(planned) == ["2025-07-02", "2025-07-03"]
    assert reasons_of(planned) == {
        "2025-07-01": "the series begins on 2025-07-02",
        "2025-07-04": "the series ended on 2025-07-03",
    }


def test_what_is_listed_is_taken_whatever_the_matrix_says() -> None:
    life = Life(date(2025, 7, 2), date(2025, 7, 3), 3, removed=True)
    both = series(folder(JULY), folder(), lives={DAILY: life, MONTHLY: life})
    assert reasons_of(cover(both, "2025-07-01", "2025-07-31")) == {}


def test_a_listing_that_begins_earlier_than_the_matrix_says_is_right() -> None:
    life = Life(date(2025, 7, 20), None, 3)
    days = folder(("2025-07-01", "2025-07-03"), ("2025-07-05", "2025-07-31"), first="2025-07-01")
    both = series(days, folder(), lives={DAILY: life, MONTHLY: life})
    assert missing_of(cover(both, "2025-07-01", "2025-07-31")) == ["2025-07-04"]


def test_a_removed_feed_is_not_missing() -> None:
    life = Life(date(2020, 1, 1), None, 3, removed=True)
    planned = cover(series(NOTHING, NOTHING, lives={DAILY: life, MONTHLY: life}),
                    "2025-07-01", "2025-07-01", DAILY)  # fmt: skip
    assert reasons_of(planned) == {"2025-07-01": "the publisher has removed this feed"}


def test_a_day_that_has_not_ended_is_not_missing() -> None:
    both = series(folder(("2025-09-01", "2025-09-30")), folder())
    planned = cover(both, "2025-09-30", "2025-10-02")
    assert set(reasons_of(planned).values()) == {"the period has not ended"}
    assert list(reasons_of(planned)) == ["2025-10-01", "2025-10-02"]


@pytest.mark.parametrize(("days_later", "late"), [(1, True), (3, True), (4, False), (5, False)])
def test_what_is_within_its_lag_is_late_and_not_missing(days_later: int, *, late: bool) -> None:
    today = date(2025, 7, 10) + timedelta(days=days_later)
    days = folder(("2025-07-01", "2025-07-09"), last="2025-07-09")
    item = cover(series(days, folder()), "2025-07-10", "2025-07-10", today=today)["2025-07-10"]
    reason = "not listed yet; that is normal for up to 3 days after the period"
    assert (item.not_published, item.unlisted) == ((reason, False) if late else ("", True))


# Ranges without an end --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listed", "start", "end"),
    [
        # Listed up to the lag: 3 days for daily archives, 35 for monthly ones; today is 2025-10-01.
        (series(folder(("2025-09-01", "2025-09-29"))), "2025-09-01", "2025-09-29"),
        (series(folder(("2025-09-01", "2025-09-27"))), "2025-09-01", "2025-09-27"),
        (series(None, folder(("2025-06", "2025-09"))), "2025-06-01", "2025-09-30"),
        (series(None, folder(("2025-06", "2025-08"))), "2025-06-01", "2025-08-31"),
        # Days that should be listed by now are in the range.
        (series(folder(("2025-09-01", "2025-09-20"))), "2025-09-01", "2025-09-27"),
        (series(None, folder(("2025-06", "2025-07"))), "2025-06-01", "2025-08-26"),
        # A series that has ended has none.
        (series(folder(("2025-06-01", "2025-07-15"))), "2025-06-01", "2025-07-15"),
        (series(None, folder(("2025-01", "2025-06"))), "2025-01-01", "2025-06-30"),
        # Days and months: the later of both; a month of which days are listed ends with them.
        (series(folder(JULY), folder(("2025-07", "2025-07"))), "2025-07-01", "2025-07-31"),
        (series(folder(("2025-07-01", "2025-07-09")), folder(("2025-06", "2025-07"))),
         "2025-06-01", "2025-07-09"),
        (series(folder(JUNE), folder(("2025-06", "2025-07"))), "2025-06-01", "2025-07-31"),
        (series(NOTHING, folder(("2025-06", "2025-06"))), "2025-06-01", "2025-06-30"),
        # Neither today, nor a day before the start.
        (series(folder(("2025-09-01", "2025-10-01"))), "2025-09-01", "2025-09-30"),
        (series(folder(("2025-09-20", "2025-09-29"))), "2025-09-30", "2025-09-30"),
        # What is not listed at all is covered as the calendar does, up to yesterday.
        (series(NOTHING, NOTHING), "2025-09-01", "2025-09-30"),
    ],
)  # fmt: skip
def test_an_open_end_is_the_newest_listed_day_or_a_later_one_that_is_due(
    listed: ListedSeries, start: str, end: str
) -> None:
    first = date.fromisoformat(start)
    window = Window(first, max(first, TODAY - timedelta(days=1)), TODAY)
    assert str(listed.open_end(window)) == end
