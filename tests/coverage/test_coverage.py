"""Which days of a window are covered, and why the others are not."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from attrs import evolve
from tests.coverage.series_records import (
    DAILY,
    FUNDING,
    NONE,
    TODAY,
    TRADES,
    WEEKS,
    cover,
    covered,
    day,
    folder,
    known_hole,
    listed,
    run,
)
from tests.coverage.test_truth_table import _DATED, _RETIRED

from crypto_lakehouse.core.archive import DataType, Market, Series
from crypto_lakehouse.core.verdicts import Verdict
from crypto_lakehouse.coverage.coverage import (
    HoleCause,
    cover_series,
)
from crypto_lakehouse.coverage.records import SeriesRecord
from crypto_lakehouse.matrix.known_holes import KnownHoles


def test_the_listing_knows_when_a_series_began_and_ended() -> None:
    coverage = covered(
        folder(run("2022-01-03", to="2022-01-04"), first="2022-01-02", last="2022-01-08",
               on="2026-11-23"),
        start="2022-01-01", end="2022-01-10",
    )  # fmt: skip
    assert listed(coverage) == [
        ("2022-01-01", "2022-01-01", "outside_life"),
        ("2022-01-02", "2022-01-02", "not_collected"),
        ("2022-01-05", "2022-01-08", "not_collected"),
        ("2022-01-09", "2022-01-10", "outside_life"),
    ]
    assert coverage.holes[0].reason == "the source lists this series from 2022-01-02 on"
    assert coverage.holes[-1].reason == "the source lists this series up to 2022-01-08"
    assert (coverage.verified_days, coverage.expected_days) == (2, 7)


def test_a_series_has_not_ended_because_it_was_listed_when_it_was_young() -> None:
    window = {"start": "2026-09-01", "end": "2026-09-30"}
    young = folder(last="2026-09-10", on="2026-09-12")
    assert listed(covered(young, **window)) == [("2026-09-01", "2026-09-30", "not_collected")]
    silent = folder(last="2026-09-10", on="2026-10-16")
    assert listed(covered(silent, **window))[1:] == [("2026-09-11", "2026-09-30", "outside_life")]


@pytest.mark.parametrize(
    ("daily", "monthly", "begin"),
    [
        ("2021-03-12", "2021-03", "2021-03-12"),
        ("2021-03-12", "2020-08", "2020-08-01"),
        ("2021-03-12", "2021-04", "2021-03-12"),
        ("2021-03-12", "", "2021-03-12"),
        ("", "2021-03", "2021-03-01"),
    ],
)
def test_days_know_better_than_the_month_in_which_a_series_began(
    daily: str, monthly: str, begin: str
) -> None:
    coverage = covered(folder(first=daily), folder(first=monthly), start="2020-01-01",
                       end="2021-12-31")  # fmt: skip
    before = date.fromisoformat(begin) - timedelta(days=1)
    assert listed(coverage)[0] == ("2020-01-01", str(before), "outside_life")


def test_the_last_month_lasts_as_long_as_its_last_day() -> None:
    ended = (folder(last="2024-03-12", on="2026-11-01"), folder(last="2024-03", on="2026-11-01"))
    coverage = covered(*ended, start="2024-03-01", end="2024-04-30")
    assert listed(coverage)[-1] == ("2024-03-13", "2024-04-30", "outside_life")


def test_a_feed_that_the_source_lists_beyond_its_end_is_not_retired() -> None:
    alive = folder(last="2026-11-20", on="2026-11-23")
    window = {"start": "2024-03-30", "end": "2024-04-02", "row": _RETIRED}
    assert listed(covered(alive, **window)) == [("2024-03-30", "2024-04-02", "not_collected")]
    longer = folder(last="2024-04-01", on="2026-11-23")
    assert listed(covered(longer, **window)) == [
        ("2024-03-30", "2024-04-01", "not_collected"),
        ("2024-04-02", "2024-04-02", "retired"),
    ]
    within = folder(last="2024-03-20", on="2024-03-22")
    assert listed(covered(within, **window))[1:] == [("2024-03-31", "2024-04-02", "retired")]


def test_a_listing_without_a_date_does_not_end_a_series() -> None:
    coverage = covered(folder(last="2024-03-12"), start="2024-03-12", end="2024-03-14")
    assert listed(coverage) == [("2024-03-12", "2024-03-14", "not_collected")]


def test_a_series_of_months_counts_all_their_days() -> None:
    coverage = covered(
        None,
        folder(run("2025-01", to="2025-03"), run("2025-04", Verdict.FAILED), run("2025-05")),
        series=FUNDING, start="2025-01-01", end="2025-05-31",
    )  # fmt: skip
    assert listed(coverage) == [("2025-04-01", "2025-04-30", "failed")]
    assert (coverage.verified_days, coverage.expected_days) == (121, 151)


def test_a_month_is_surely_published_when_its_own_lag_has_passed() -> None:
    months = folder(run("2026-09"))
    coverage = covered(None, months, series=FUNDING, start="2026-09-01", end="2026-11-30")
    assert listed(coverage) == [("2026-10-01", "2026-11-30", "not_published_yet")]
    assert "up to 35 days" in coverage.holes[0].reason
    later = covered(None, months, series=FUNDING, start="2026-09-01", end="2026-11-30",
                    today=date(2026, 12, 6))  # fmt: skip
    assert listed(later)[0] == ("2026-10-01", "2026-10-31", "not_collected")


@pytest.mark.parametrize(
    ("on", "cause"), [("2025-07-06", "not_published_yet"), ("2025-08-06", "outside_life")]
)
def test_a_series_of_months_is_silent_a_month_later(on: str, cause: str) -> None:
    coverage = covered(
        None,
        folder(run("2025-04", to="2025-05"), first="2025-04", last="2025-05", on=on),
        series=FUNDING, start="2025-04-01", end="2025-06-30", today=day("2025-07-06"),
    )  # fmt: skip
    assert listed(coverage) == [("2025-06-01", "2025-06-30", cause)]


def test_only_whole_months_are_known_holes_of_a_series_of_months() -> None:
    holes = KnownHoles((known_hole("2021-01-24", "2021-03-21", WEEKS),))
    coverage = covered(None, folder(run("2020-12")), series=WEEKS, holes=holes,
                       start="2021-01-01", end="2021-03-31")  # fmt: skip
    assert listed(coverage) == [
        ("2021-01-01", "2021-01-31", "not_collected"),
        ("2021-02-01", "2021-02-28", "upstream_hole"),
        ("2021-03-01", "2021-03-31", "not_collected"),
    ]


def test_a_month_covers_the_days_that_are_known_to_lack_an_archive() -> None:
    holes = KnownHoles((known_hole("2025-07-15", "2025-07-16"),))
    month = folder(run("2025-07"))
    window = {"holes": holes, "start": "2025-07-01", "end": "2025-07-31"}
    assert covered(None, month, **window).holes == ()
    days = folder(run("2025-07-01", to="2025-07-14"), run("2025-07-17", to="2025-07-31"))
    coverage = covered(days, **window)
    assert listed(coverage) == [("2025-07-15", "2025-07-16", "upstream_hole")]
    assert coverage.ratio == 1.0, "what nobody can have does not count"


def test_without_a_window_the_question_is_how_complete_that_is_which_was_begun() -> None:
    coverage = covered(folder(run("2026-11-10", to="2026-11-14")))
    assert (coverage.start, coverage.end) == (date(2026, 11, 10), date(2026, 11, 19))
    assert listed(coverage) == [("2026-11-15", "2026-11-19", "not_collected")]
    assert (coverage.first_day, coverage.last_day) == (date(2026, 11, 10), date(2026, 11, 14))


def test_early_birds_count_and_what_is_late_beside_them_shows() -> None:
    coverage = covered(folder(run("2026-11-18", to="2026-11-20"), run("2026-11-22")))
    assert coverage.end == date(2026, 11, 22)
    assert listed(coverage) == [("2026-11-21", "2026-11-21", "not_published_yet")]
    assert (coverage.verified_days, coverage.expected_days) == (4, 4)


def test_what_was_settled_outside_the_life_is_not_judged() -> None:
    days = folder(run("2021-12-25", Verdict.MISSING, to="2022-01-01"), run("2022-01-02"),
                  run("2022-01-09", Verdict.MISSING, to="2022-01-20"),
                  first="2022-01-02", last="2022-01-08", on="2026-11-23")  # fmt: skip
    coverage = covered(days)
    assert (coverage.start, coverage.end) == (date(2022, 1, 2), date(2022, 1, 8))
    assert listed(coverage) == [("2022-01-03", "2022-01-08", "not_collected")]


def test_the_month_in_which_a_series_begins_does_not_make_it_older() -> None:
    spot = Series(Market.SPOT, DataType.TRADES, "BTCUSDT")
    coverage = covered(None, folder(run("2017-08", to="2026-09")), series=spot)
    assert (coverage.start, coverage.end) == (date(2017, 8, 17), date(2026, 9, 30))
    assert coverage.ratio == 1.0
    asked = covered(None, folder(run("2017-08")), series=spot, start="2017-08-01",
                    end="2017-08-31")  # fmt: skip
    assert asked.holes == (), "the month itself is there"


def test_the_month_in_which_a_series_ends_does_not_make_it_longer() -> None:
    coverage = covered(None, folder(run("2024-03", to="2024-06")), series=_DATED)
    assert coverage.end == date(2024, 6, 28)
    ticker = Series(Market.FUTURES_CM, DataType.BOOK_TICKER, "BTCUSD_PERP")
    months = covered(None, folder(run("2024-09", to="2024-10")), series=ticker)
    assert months.end == date(2024, 10, 15), "the days of the feed know better"


def test_verified_archives_are_judged_wherever_the_matrix_ends_a_series() -> None:
    days = folder(run("2019-08-01", to="2019-08-02"), run("2024-07-05"))
    coverage = covered(days, series=_DATED)
    assert (coverage.start, coverage.end) == (date(2019, 8, 1), date(2024, 7, 5))
    causes = {hole.cause for hole in coverage.holes}
    assert causes == {HoleCause.OUTSIDE_LIFE, HoleCause.NOT_COLLECTED}


def test_a_retired_feed_is_complete_when_all_of_it_is_here() -> None:
    ticker = Series(Market.FUTURES_UM, DataType.BOOK_TICKER, "SUIUSDT")
    coverage = covered(folder(run("2023-05-16", to="2024-03-30")), series=ticker)
    assert coverage.end == date(2024, 3, 30), "by the partition that is collected"
    assert coverage.ratio == 1.0
    assert coverage.holes == ()
    window = covered(folder(run("2023-05-16", to="2024-03-30")), series=ticker,
                     start="2024-03-30", end="2024-05-02")  # fmt: skip
    assert listed(window) == [
        ("2024-03-31", "2024-04-30", "not_collected"),
        ("2024-05-01", "2024-05-02", "retired"),
    ]
    assert window.holes[1].reason == "the publisher ended this feed on 2024-04-30"


def test_a_removed_feed_says_so() -> None:
    gone = Series(Market.FUTURES_UM, DataType.LIQUIDATION_SNAPSHOT, "BTCUSDT")
    coverage = covered(folder(run("2023-07-01")), series=gone, start="2023-06-24",
                       end="2023-07-02")  # fmt: skip
    assert listed(coverage) == [
        ("2023-06-24", "2023-06-24", "outside_life"),
        ("2023-06-25", "2023-06-30", "retired"),
        ("2023-07-02", "2023-07-02", "retired"),
    ]
    assert coverage.holes[1].reason == "the publisher has removed this feed"


def test_nothing_settled_and_nothing_asked_is_nothing() -> None:
    assert cover(folder(first="2022-01-01")) is None
    assert cover(folder(), end="2022-01-01") is None
    assert cover(folder(), start="2022-01-01") is not None


def test_half_a_window_is_completed() -> None:
    days = folder(run("2026-11-10", to="2026-11-14"))
    assert covered(days, start="2026-11-13").end == date(2026, 11, 19)
    assert covered(days, end="2026-11-12").start == date(2026, 11, 10)
    empty = covered(folder(run("2026-11-22", Verdict.FAILED)))
    assert (empty.start, empty.end, empty.holes) == (None, None, ())
    assert empty.ratio == 1.0


def test_a_feed_that_the_matrix_does_not_have_is_judged_by_the_usual_lags() -> None:
    record = SeriesRecord(TRADES, {DAILY: folder(run("2026-11-10"))})
    coverage = cover_series(record, None, NONE, TODAY)
    assert coverage is not None
    assert (coverage.start, coverage.end) == (date(2026, 11, 10), date(2026, 11, 19))
    wide = cover_series(record, None, NONE, TODAY, start=date(2000, 1, 1), end=date(2026, 11, 20))
    assert wide is not None
    assert [hole.cause for hole in wide.holes] == [
        HoleCause.NOT_COLLECTED, HoleCause.NOT_COLLECTED, HoleCause.NOT_PUBLISHED_YET,
    ]  # fmt: skip


def test_an_interval_that_the_matrix_does_not_have_is_judged_so_too() -> None:
    seconds = Series(Market.FUTURES_UM, DataType.KLINES, "BTCUSDT", "1s")
    coverage = covered(folder(run("2019-01-01")), series=seconds, start="2019-01-01",
                       end="2019-01-02")  # fmt: skip
    assert listed(coverage) == [("2019-01-02", "2019-01-02", "not_collected")]
    ended = evolve(_RETIRED, state="retired")
    assert listed(
        covered(folder(), series=seconds, row=ended, start="2025-01-01", end="2025-01-01")
    ) == [("2025-01-01", "2025-01-01", "not_collected")]


def test_neighbours_with_the_same_cause_are_one_hole_with_all_its_reasons() -> None:
    failed = [
        run(f"2025-07-{number:02d}", Verdict.FAILED, reason=reason)
        for number, reason in ((2, "timed out"), (3, "timed out"), (4, "answered 500"))
    ]
    coverage = covered(folder(*failed), start="2025-07-01", end="2025-07-05")
    assert listed(coverage) == [
        ("2025-07-01", "2025-07-01", "not_collected"),
        ("2025-07-02", "2025-07-04", "failed"),
        ("2025-07-05", "2025-07-05", "not_collected"),
    ]
    assert coverage.holes[1].reason == "timed out (and 1 more reason)"
    assert coverage.holes[1].days == 3
    assert coverage.days_by_cause() == {HoleCause.FAILED: 3, HoleCause.NOT_COLLECTED: 2}
    more = [*failed, run("2025-07-05", Verdict.FAILED, reason="answered 503")]
    reasons = [hole.reason for hole in covered(folder(*more), start="2025-07-02",
                                               end="2025-07-05").holes]  # fmt: skip
    assert reasons == ["timed out (and 2 more reasons)"]


def test_sizes_and_refused_versions_are_those_of_both_partitions() -> None:
    daily = evolve(folder(run("2025-07-15")), size_bytes=5, refused_newer=1)
    monthly = evolve(folder(run("2025-06")), size_bytes=70, refused_newer=2)
    coverage = covered(daily, monthly, start="2025-06-01", end="2025-07-15")
    assert (coverage.size_bytes, coverage.refused_newer) == (75, 3)


def test_the_lag_is_from_the_newest_verified_day_to_the_newest_that_should_be() -> None:
    for runs, lag in (
        ([run("2024-01-01")], 0),
        ([run("2024-01-01"), run("2024-01-02", Verdict.FAILED, to="2024-01-04")], 3),
        ([run("2024-01-01", Verdict.FAILED), run("2024-01-02")], 0),
        ([run("2024-01-01", Verdict.FAILED, to="2024-01-04")], 4),
    ):
        last = str(runs[-1].last_day)
        found = cover(folder(*runs), start="2024-01-01", end=last)
        assert found is not None
        assert found.lag_days == lag
