"""From a source's listing, as the client reads it, to the cover: nothing listed is lost."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

import anyio
from attrs import field, frozen
from hypothesis import example, given
from hypothesis import strategies as st
from tests.http.listers import Bucket, lister_of

from crypto_lakehouse.core.archive import Archive, DataType, Market, Partition, Period, Series
from crypto_lakehouse.core.plan import PlannedPeriod
from crypto_lakehouse.planning.listed_cover import ListedSeries, cover_listed
from crypto_lakehouse.planning.listed_folders import list_folder
from crypto_lakehouse.planning.periods import Life, Window

DAILY, MONTHLY = Partition.DAILY, Partition.MONTHLY
SERIES = Series(Market.SPOT, DataType.TRADES, "BTCUSDT")
LAGS = {DAILY: 3, MONTHLY: 35}

#: Everything happens within half a year, so that windows, months, holes and todays meet.
DAYS = st.dates(date(2025, 3, 1), date(2025, 8, 31))


@frozen
class Source:
    """What a source has of one series, what is known of it, and what is wanted when.

    Attributes:
        periods: Everything in both folders.
        holes: Days that are known to be missing.
        first, last: When the matrix says that it exists.
        partitions: Those that the matrix has.
    """

    periods: frozenset[Period]
    window: Window
    holes: frozenset[date] = frozenset()
    first: date = date(2017, 8, 17)
    last: date | None = None
    partitions: tuple[Partition, ...] = (DAILY, MONTHLY)
    known: ListedSeries = field(init=False, repr=False)

    @known.default
    def _list(self) -> ListedSeries:
        keys = [Archive(SERIES, period).key for period in self.periods]
        lister = lister_of(Bucket([*keys, *(f"{key}.CHECKSUM" for key in keys)]))

        async def read() -> ListedSeries:
            folders = {
                partition: await list_folder(lister, SERIES, partition, self.window)
                for partition in self.partitions
            }
            lives = {
                partition: Life(self.first, self.last, LAGS[partition])
                for partition in self.partitions
            }
            return ListedSeries(folders=folders, lives=lives, known_hole=self._why_missing)

        return anyio.run(read)

    def _why_missing(self, period: Period) -> str:
        return "known" if set(days_of(period)) <= self.holes else ""

    def cover(self, *chosen: Partition) -> tuple[PlannedPeriod, ...]:
        return cover_listed(self.known, self.window, chosen or None)

    def own_days(self) -> list[date]:
        """The days that are listed on their own."""
        return sorted(period.first_day for period in self.periods if period.partition is DAILY)


def days_of(period: Period) -> list[date]:
    count = (period.last_day - period.first_day).days + 1
    return [period.first_day + timedelta(days=number) for number in range(count)]


def wanted_days(window: Window) -> list[date]:
    return [period.first_day for period in window.days()]


def run_of_days(first: date, last: date, lost: Iterable[date] = ()) -> frozenset[Period]:
    """Days from the first to the last, but for those that are lost."""
    days = {period.first_day for period in Window(first, last, last).days()}
    return frozenset(Period.day(day) for day in days - set(lost))


def months(*texts: str) -> frozenset[Period]:
    return frozenset(Period.parse(text) for text in texts)


def window(start: str, end: str, today: str = "2025-11-30") -> Window:
    return Window(*(date.fromisoformat(text) for text in (start, end, today)))


@st.composite
def windows(draw: st.DrawFn) -> Window:
    start, end = sorted((draw(DAYS), draw(DAYS)))
    return Window(start, end, draw(st.dates(date(2025, 3, 2), date(2025, 11, 30))))


@st.composite
def sources(draw: st.DrawFn) -> Source:
    """Days and months from some day to some other, each with holes, and a window."""
    wanted = draw(windows())
    first, last = sorted((draw(DAYS), draw(DAYS)))
    last = min(last, wanted.today - timedelta(days=1))
    lost = draw(st.sets(DAYS, max_size=5))
    daily = run_of_days(first, last, lost) if first <= last and draw(st.booleans()) else frozenset()
    spans = Window(draw(st.dates(date(2025, 2, 1), date(2025, 6, 1))), last, wanted.today).months()
    kept = [month for month in spans if month.last_day < wanted.today and draw(st.booleans())]
    return Source(
        daily | frozenset(kept),
        wanted,
        frozenset(draw(st.sets(st.sampled_from(sorted(lost)), max_size=3)) if lost else ()),
        first=draw(st.sampled_from([date(2017, 8, 17), first, last])),
        last=draw(st.sampled_from([None, None, last])),
    )


@given(sources())
def test_every_day_of_the_window_is_covered_exactly_once(source: Source) -> None:
    covered = [day for item in source.cover() for day in days_of(item.period)]
    assert len(covered) == len(set(covered))
    assert set(wanted_days(source.window)) <= set(covered)


@given(sources())
@example(Source(months("2025-06"), window("2025-06-10", "2025-06-20")))
@example(Source(months("2025-06"), window("2025-06-01", "2025-06-30")))
@example(  # the days begin only in July, the months long before
    Source(
        months("2025-04", "2025-05", "2025-06", "2025-07")
        | run_of_days(date(2025, 7, 1), date(2025, 7, 31)),
        window("2025-05-10", "2025-07-10"),
    )
)
@example(  # the days end in April, the months go on
    Source(
        months("2025-04", "2025-05", "2025-06") | run_of_days(date(2025, 3, 1), date(2025, 4, 30)),
        window("2025-04-10", "2025-06-10"),
    )
)
def test_nothing_that_is_listed_is_lost(source: Source) -> None:
    """Days are taken as days or in their month; a month's days where no days are at all."""
    has = {day for item in source.cover() if item.listed for day in days_of(item.period)}
    wanted, own = wanted_days(source.window), source.own_days()
    assert set(own) & set(wanted) <= has
    for day in wanted:
        month = Period.month(day)
        has_days = own and month.first_day <= own[-1] and own[0] <= month.last_day
        assert day in has or has_days or month not in source.periods


@given(sources())
def test_what_is_not_listed_is_missing_or_has_a_reason_and_never_both(source: Source) -> None:
    for item in (*source.cover(), *source.cover(DAILY, MONTHLY)):
        assert [item.listed is not None, item.unlisted, bool(item.not_published)].count(True) == 1
        assert (item.period in source.periods) is (item.listed is not None)
        assert item.lag_days == LAGS[item.period.partition]


@given(sources())
def test_what_is_missing_should_have_come(source: Source) -> None:
    """It has ended, is late beyond its lag, is no known hole, and not before all that is listed."""
    today, listed = source.window.today, source.periods
    for item in source.cover():
        if item.unlisted:
            last = item.period.last_day
            assert last + timedelta(days=item.lag_days) < today
            assert not set(days_of(item.period)) <= source.holes
            assert not listed or last >= min(period.first_day for period in listed)


@given(sources())
@example(  # the matrix believes that the series began, or ended, within what is listed
    Source(
        run_of_days(date(2025, 6, 1), date(2025, 7, 31), [date(2025, 7, 10)]),
        window("2025-07-01", "2025-07-31"),
        first=date(2025, 7, 20),
    )
)
@example(
    Source(
        run_of_days(date(2025, 6, 1), date(2025, 7, 31), [date(2025, 7, 10)]),
        window("2025-07-01", "2025-07-15"),
        last=date(2025, 6, 20),
    )
)
def test_a_hole_between_listed_days_is_missing_whatever_the_matrix_says(source: Source) -> None:
    own = source.own_days()
    for item in source.cover(DAILY):
        day = item.period.first_day
        if own and own[0] < day < own[-1] and item.listed is None:
            is_late = source.window.today <= day + timedelta(days=item.lag_days)
            assert item.unlisted or day in source.holes or is_late, item.not_published


@given(sources(), st.permutations([DAILY, MONTHLY]))
def test_chosen_partitions_are_each_covered_whole(source: Source, order: list[Partition]) -> None:
    wanted = {DAILY: list(source.window.days()), MONTHLY: list(source.window.months())}
    planned = [item.period for item in source.cover(*order)]
    assert planned == [*wanted[order[0]], *wanted[order[1]]]
    for partition in order:
        assert [item.period for item in source.cover(partition)] == wanted[partition]


@given(sources())
def test_what_is_missing_and_comes_is_taken(source: Source) -> None:
    missing = {item.period for item in source.cover() if item.unlisted}
    healed = Source(source.periods | missing, source.window, source.holes)
    after = healed.cover()
    covered = {day for item in after if item.listed for day in days_of(item.period)}
    assert {day for period in missing for day in days_of(period)} & set(
        wanted_days(source.window)
    ) <= covered


@given(sources(), st.sampled_from([date(2026, 1, 1), date(9999, 12, 31)]))
def test_a_key_of_days_to_come_changes_nothing(source: Source, day: date) -> None:
    """Nobody publishes it; it must neither stretch a plan for ever nor end the run."""
    strange = Source(source.periods | {Period.day(day)}, source.window, source.holes)
    assert len(strange.cover()) >= 1
    span = strange.known.span(source.window.today)
    assert span is None or span.end <= max(source.periods, key=_last_day).last_day


def _last_day(period: Period) -> date:
    return period.last_day


@given(windows(), st.sets(st.sampled_from(["2025-02", "2025-03", "2025-05", "2025-06", "2025-08"])))
def test_a_series_that_has_only_months_is_covered_by_every_month_it_has(
    wanted: Window, texts: set[str]
) -> None:
    source = Source(months(*texts), wanted, partitions=(MONTHLY,))
    touched = set(wanted.months())
    assert {item.period for item in source.cover()} == touched
    assert {item.period for item in source.cover() if item.listed} == touched & months(*texts)


@given(windows(), st.sets(DAYS, max_size=40))
def test_a_series_that_has_only_days_is_covered_by_every_day_it_has(
    wanted: Window, listed: set[date]
) -> None:
    source = Source(frozenset(map(Period.day, listed)), wanted, partitions=(DAILY,))
    assert [item.period for item in source.cover()] == list(wanted.days())
    found = {item.period.first_day for item in source.cover() if item.listed}
    assert found == listed & set(wanted_days(wanted))
