"""What holds for the cover of any window with any listing."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta

from attrs import frozen
from hypothesis import event, given
from hypothesis import strategies as st

from crypto_lakehouse.core.archive import Partition, Period
from crypto_lakehouse.core.listed import ListedArchive
from crypto_lakehouse.core.plan import PlannedPeriod
from crypto_lakehouse.planning.listed_cover import ListedSeries, cover_listed
from crypto_lakehouse.planning.listed_folders import ListedFolder, is_silent
from crypto_lakehouse.planning.periods import Life, Window

BEGIN = date(2024, 1, 1)
LIFE = Life(date(2017, 8, 1), None, 3)
_DAY = timedelta(days=1)


@frozen
class Case:
    """What a source has of a series, and the days that are wanted of it."""

    listed: frozenset[Period]
    window: Window

    def series(self) -> ListedSeries:
        """The series, as its listing would be read for the window."""
        folders = {partition: self._folder(partition) for partition in Partition}
        lives = dict.fromkeys(Partition, LIFE)
        return ListedSeries(folders=folders, lives=lives, known_hole=lambda _period: "")

    def _folder(self, partition: Partition) -> ListedFolder:
        has = sorted(period for period in self.listed if period.partition is partition)
        start, end, today = self.window.start, self.window.end, self.window.today
        seen = [period for period in has if start <= period.last_day]
        behind = [period for period in seen if period.first_day > end]
        is_late = bool(has) and not is_silent(has[-1].last_day, partition, today)
        is_first_known = not seen or seen[0].first_day > start
        return ListedFolder(
            archives={
                period: ListedArchive(size_bytes=1) for period in seen if period not in behind[1:]
            },
            first=has[0] if has and is_first_known else None,
            last=has[-1] if has and len(behind) <= 1 and (seen or is_late) else None,
            ended_before=bool(has) and not seen and not is_late,
        )

    def cover(self) -> tuple[PlannedPeriod, ...]:
        """Each day once."""
        return cover_listed(self.series(), self.window, None)


def _spans(partition: Partition) -> st.SearchStrategy[frozenset[Period]]:
    days = st.integers(0, 150)
    ends = st.tuples(days, days).map(sorted)
    whole = ends.map(lambda pair: _periods(partition, pair[0], pair[1]))
    holes = ends.map(lambda pair: _periods(partition, pair[0], min(pair[1], pair[0] + 40)))
    return st.tuples(whole, holes).map(lambda both: both[0] - both[1]) | st.just(frozenset())


def _periods(partition: Partition, first: int, last: int) -> frozenset[Period]:
    window = Window(BEGIN + first * _DAY, BEGIN + last * _DAY, BEGIN)
    return frozenset(window.days() if partition is Partition.DAILY else window.months())


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A source with holes, and a window of up to a few months on any day after its last archive."""
    listed = draw(_spans(Partition.DAILY)) | draw(_spans(Partition.MONTHLY))
    last = max((period.last_day for period in listed), default=BEGIN)
    today = last + draw(st.integers(1, 120)) * _DAY
    start = BEGIN + draw(st.integers(0, 200)) * _DAY
    return Case(listed, Window(start, start + draw(st.integers(0, 120)) * _DAY, today))


def days_of(periods: Collection[Period]) -> list[date]:
    found: list[date] = []
    for period in periods:
        found += [day.first_day for day in Window(period.first_day, period.last_day, BEGIN).days()]
    return found


@given(cases())
def test_each_day_is_planned_once(case: Case) -> None:
    planned = days_of([item.period for item in case.cover()])
    assert len(planned) == len(set(planned))
    assert {day.first_day for day in case.window.days()} <= set(planned)


@given(cases())
def test_each_wanted_day_that_is_listed_is_taken_once(case: Case) -> None:
    taken = days_of([item.period for item in case.cover() if item.listed])
    wanted = {period.first_day for period in case.window.days() if period in case.listed}
    event("days are listed" if wanted else "none are listed")
    assert all(taken.count(day) == 1 for day in wanted)


@given(cases())
def test_what_is_taken_is_listed_and_touches_the_window(case: Case) -> None:
    for item in case.cover():
        assert (item.listed is not None) == (item.period in case.listed)
        assert item.period.first_day <= case.window.end
        assert item.period.last_day >= case.window.start


@given(cases())
def test_nothing_is_missing_and_excused_at_once(case: Case) -> None:
    for item in case.cover():
        said = [bool(item.listed), item.unlisted, bool(item.not_published)]
        assert said.count(True) == 1


@given(cases())
def test_a_month_that_days_could_serve_is_taken_only_where_it_is_wanted_whole(case: Case) -> None:
    dailies = sorted(period for period in case.listed if period.partition is Partition.DAILY)
    for item in case.cover():
        month = item.period
        if month.partition is Partition.DAILY or not dailies:
            continue
        if dailies[0].first_day <= month.last_day and month.first_day <= dailies[-1].last_day:
            of_month = {day for day in days_of([month]) if Period.day(day) in case.listed}
            event("a month instead of its days")
            assert item.listed is not None
            assert of_month <= {day.first_day for day in case.window.days()}


@given(cases())
def test_a_hole_between_listed_days_is_never_excused(case: Case) -> None:
    dailies = sorted(period for period in case.listed if period.partition is Partition.DAILY)
    for item in case.cover():
        if item.period.partition is Partition.DAILY and dailies:
            is_hole = dailies[0] < item.period < dailies[-1] and item.period not in case.listed
            is_long_over = item.period.last_day + LIFE.lag_days * _DAY < case.window.today
            assert item.unlisted or not (is_hole and is_long_over)


@given(cases())
def test_named_partitions_are_planned_whole(case: Case) -> None:
    planned = cover_listed(case.series(), case.window, tuple(Partition))
    periods = [item.period for item in planned]
    assert periods == [*case.window.days(), *case.window.months()]


@given(cases())
def test_periods_are_planned_in_the_order_of_time(case: Case) -> None:
    firsts = [item.period.first_day for item in case.cover()]
    assert firsts == sorted(firsts)
