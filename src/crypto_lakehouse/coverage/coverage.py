"""Which days of a series are covered, which are not, and the cause of each hole; pure.

A day is covered if its own archive or its month's is verified. Every other day of the window is a
hole, and gets the first cause in this table that fits:

| the ledger on the day's or its month's archive  | what is known of the day            | cause             |
|-------------------------------------------------|-------------------------------------|-------------------|
| verified                                        | anything                            | none, it is there |
| sidecar missing, or accepted against its sidecar  | anything                            | unproven          |
| corrupt, or against its sidecar                 | anything                            | quarantined       |
| failed, missing, or nothing                     | before the series began             | outside_life      |
| failed, missing, or nothing                     | after the feed ended, or it is gone | retired           |
| failed, missing, or nothing                     | after the series ended              | outside_life      |
| failed, missing, or nothing                     | a known hole of the source          | upstream_hole     |
| failed, missing, or nothing                     | its lag has not passed              | not_published_yet |
| failed                                          | none of these                       | failed            |
| missing                                         | none of these                       | missing           |
| nothing                                         | none of these                       | not_collected     |

Bytes that were served prove that an archive exists, so those verdicts come first. An absence is
explained by what is known today, not by the verdict at the time: the ledger keeps `missing` or
`failed` for archives that were later found to be outside the series' life.

If the day's archive and its month's differ, the upper line applies. A series that has only months
is examined by month: all days of a month have the same state, and only whole months are known
holes.
"""  # noqa: E501 - a table

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date
from enum import StrEnum
from itertools import groupby
from operator import itemgetter

from attrs import define, evolve, field, frozen

from crypto_lakehouse.core.archive import Partition, Series
from crypto_lakehouse.core.verdicts import SUCCESSES, Verdict
from crypto_lakehouse.coverage.records import ArchiveRun, SeriesRecord
from crypto_lakehouse.coverage.series_life import SeriesLife, life_of
from crypto_lakehouse.matrix.known_holes import KnownHoles
from crypto_lakehouse.matrix.model import MatrixRow
from crypto_lakehouse.planning.periods import Window

__all__ = ["UNEXPECTED", "Hole", "HoleCause", "SeriesCoverage", "cover_series"]


class HoleCause(StrEnum):
    """Why a day is not covered, most important first."""

    FAILED = "failed"
    """A network or server error after all retries; the next run may succeed."""
    QUARANTINED = "quarantined"
    """The source served a damaged archive, or one that does not match its sidecar."""
    MISSING = "missing"
    """The source has no such archive, although it should."""
    NOT_COLLECTED = "not_collected"
    """No run has settled it."""
    UNPROVEN = "unproven"
    """The archive is stored and readable, but no published checksum confirms it."""
    UPSTREAM_HOLE = "upstream_hole"
    """The publisher is known to lack it (`matrix/holes.json`)."""
    NOT_PUBLISHED_YET = "not_published_yet"
    """The publication lag has not passed."""
    RETIRED = "retired"
    """The publisher has ended or removed the feed."""
    OUTSIDE_LIFE = "outside_life"
    """The series had not begun, or had ended."""


#: Days that cannot be collected; they do not count against coverage or a run's success rate.
UNEXPECTED = frozenset(
    {
        HoleCause.UPSTREAM_HOLE,
        HoleCause.NOT_PUBLISHED_YET,
        HoleCause.RETIRED,
        HoleCause.OUTSIDE_LIFE,
    }
)


@frozen(kw_only=True)
class Hole:
    """Consecutive days that are not covered, for the same cause.

    Attributes:
        first_day, last_day: UTC days, both inclusive.
        days: How many.
        reason: What is known about it, in a sentence.
    """

    first_day: date
    last_day: date
    days: int
    cause: HoleCause
    reason: str


@frozen(kw_only=True)
class SeriesCoverage:
    """How complete one series is.

    Attributes:
        start, end: The first and last day examined, both inclusive; None if there are none.
        first_day, last_day: The first and last verified day.
        verified_days: How many of the days are verified.
        expected_days: How many of the days the source should have by now.
        size_bytes: The size of the stored archives.
        refused_newer: How many verified archives have a newer version at the source that was
            refused because it failed verification.
        holes: The days that are not verified, oldest first.
    """

    series: Series
    start: date | None
    end: date | None
    first_day: date | None
    last_day: date | None
    verified_days: int
    expected_days: int
    size_bytes: int
    refused_newer: int
    holes: tuple[Hole, ...]

    @property
    def ratio(self) -> float:
        """The verified part of what is expected, 0 to 1; 1 if nothing is expected."""
        return self.verified_days / self.expected_days if self.expected_days else 1.0

    def days_by_cause(self) -> Counter[HoleCause]:
        """How many days each cause has."""
        counts: Counter[HoleCause] = Counter()
        for hole in self.holes:
            counts[hole.cause] += hole.days
        return counts


def cover_series(
    record: SeriesRecord,
    row: MatrixRow | None,
    holes: KnownHoles,
    today: date,
    *,
    start: date | None = None,
    end: date | None = None,
) -> SeriesCoverage | None:
    """Determine the state of every day of a series.

    Without a window, the days run from the first day that a run settled to the last day that
    should be published by now, in the partitions that were collected. Days outside the series'
    life are left out, and days within their lag too, unless a later day is verified already.

    Args:
        record: The ledger's record of the series; with a window, of its archives in the window.
        row: The matrix row, None if the matrix has no such feed.
        holes: The known holes of the publisher.
        today: The UTC day.
        start: First day of the window; by default as above.
        end: Last day of the window; by default as above.

    Returns:
        The coverage; None if no run settled any archive and `start` is not given.
    """
    settled = _Settled.of(record)
    life = own = life_of(record, row, today)
    if settled.spans:
        own = _narrowed(life_of(record, row, today, record.used), life)
    elif start is None:
        return None
    days = settled.window(own, start, end)
    settled.paint(days, HoleCause.MISSING, HoleCause.FAILED)
    _paint_calendar(days, life)
    _paint_known_holes(days, record.series, holes, by_days=Partition.DAILY in own.partitions)
    _paint_ends(days, life)
    settled.paint(days, HoleCause.QUARANTINED, HoleCause.UNPROVEN, None)
    return _coverage(record, days)


def _narrowed(own: SeriesLife, life: SeriesLife) -> SeriesLife:
    """The life in the collected partitions, narrowed by what is known of the others."""
    last = min((day for day in (own.last, life.last) if day is not None), default=None)
    return evolve(own, first=life.first, last=last)


#: The state of a day: the cause of its hole, None if it is covered, and the reason.
_Mark = tuple[HoleCause | None, str]

_NOT_COLLECTED: _Mark = (HoleCause.NOT_COLLECTED, "no run has settled it")
_REMOVED = "the publisher has removed this feed"


def _cause_of(run: ArchiveRun) -> HoleCause | None:
    """The cause that a verdict gives its days; None if they are covered."""
    if run.verdict in SUCCESSES:
        return None
    return HoleCause.UNPROVEN if run.is_let_in else _CAUSES[run.verdict]


_CAUSES = {
    Verdict.SIDECAR_MISSING: HoleCause.UNPROVEN,
    Verdict.UPSTREAM_MISMATCH: HoleCause.QUARANTINED,
    Verdict.CORRUPT: HoleCause.QUARANTINED,
    Verdict.FAILED: HoleCause.FAILED,
    Verdict.MISSING: HoleCause.MISSING,
    Verdict.NOT_PUBLISHED: HoleCause.NOT_COLLECTED,
}


@frozen
class _DateSpan:
    """The days of a run, as ordinals, and what its verdict means for them."""

    first: int
    last: int
    mark: _Mark


@frozen
class _Settled:
    """The archives that runs have settled."""

    spans: tuple[_DateSpan, ...]

    @classmethod
    def of(cls, record: SeriesRecord) -> _Settled:
        return cls(tuple(_span(run) for folder in record.folders.values() for run in folder.runs))

    def window(self, life: SeriesLife, start: date | None, end: date | None) -> _Days:
        """The days to examine; a missing end is chosen by what is settled."""
        first = self.begin(life) if start is None else start.toordinal()
        last = self.end(life) if end is None else end.toordinal()
        return _Days(first, last)

    def begin(self, life: SeriesLife) -> int:
        """The first day to examine: settled and in the series' life, or verified."""
        first = min(span.first for span in self.spans)
        verified = min((span.first for span in self._verified()), default=date.max.toordinal())
        if life.first is not None:
            first = max(first, life.first.toordinal())
            # A verified month does not move the beginning of the series to its first day.
            if _is_same_month(verified, life.first):
                verified = max(verified, life.first.toordinal())
        return min(first, verified)

    def end(self, life: SeriesLife) -> int:
        """The last day to examine: surely published by now, or verified."""
        last = life.sure_until.toordinal()
        verified = max((span.last for span in self._verified()), default=0)
        if life.last is not None:
            last = min(last, life.last.toordinal())
            if verified and _is_same_month(verified, life.last):
                verified = min(verified, life.last.toordinal())
        return max(last, verified)

    def _verified(self) -> Iterator[_DateSpan]:
        return (span for span in self.spans if span.mark[0] is None)

    def paint(self, days: _Days, *causes: HoleCause | None) -> None:
        """Mark the days of some causes, one after another; None is for covered days."""
        for cause in causes:
            for span in self.spans:
                if span.mark[0] is cause:
                    days.paint(span.first, span.last, span.mark)


def _span(run: ArchiveRun) -> _DateSpan:
    mark = (_cause_of(run), run.reason)
    return _DateSpan(run.first_day.toordinal(), run.last_day.toordinal(), mark)


def _is_same_month(ordinal: int, day: date) -> bool:
    return date.fromordinal(ordinal).replace(day=1) == day.replace(day=1)


@define
class _Days:
    """The states of the days of a window; a later mark replaces an earlier one."""

    first: int
    last: int
    _marks: list[_Mark] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._marks = [_NOT_COLLECTED] * (self.last - self.first + 1)

    def paint(self, first: int, last: int, mark: _Mark) -> None:
        """Mark the days from `first` to `last` that are in the window."""
        begin, end = max(first, self.first), min(last, self.last)
        if begin <= end:
            begin, end = begin - self.first, end - self.first + 1
            self._marks[begin:end] = [mark] * (end - begin)

    def runs(self) -> Iterator[tuple[int, int, list[_Mark]]]:
        """The first day, last day and marks of each run of days with the same cause."""
        day = self.first
        for _, group in groupby(self._marks, key=itemgetter(0)):
            marks = list(group)
            yield day, day + len(marks) - 1, marks
            day += len(marks)


def _paint_calendar(days: _Days, life: SeriesLife) -> None:
    lag = life.lag_days
    reason = f"not published yet; that is normal for up to {lag} days after the period"
    late = life.sure_until.toordinal() + 1
    days.paint(late, days.last, (HoleCause.NOT_PUBLISHED_YET, reason))


def _paint_known_holes(days: _Days, series: Series, holes: KnownHoles, *, by_days: bool) -> None:
    for hole in holes.missing(series):
        mark = (HoleCause.UPSTREAM_HOLE, hole.reason)
        if by_days:
            days.paint(hole.first.toordinal(), hole.last.toordinal(), mark)
            continue
        for month in Window(hole.first, hole.last, hole.last).months():
            if holes.reason_for_period(series, month):
                days.paint(month.first_day.toordinal(), month.last_day.toordinal(), mark)


def _paint_ends(days: _Days, life: SeriesLife) -> None:
    """Mark the days outside the life of the series, or of the whole feed."""
    if life.last is not None:
        mark = (HoleCause.OUTSIDE_LIFE, life.why_last)
        days.paint(life.last.toordinal() + 1, days.last, mark)
    if life.retired_after is not None:
        removed = life.retired_after == date.min
        reason = _REMOVED if removed else f"the publisher ended this feed on {life.retired_after}"
        first = days.first if removed else life.retired_after.toordinal() + 1
        days.paint(first, days.last, (HoleCause.RETIRED, reason))
    if life.first is not None:
        mark = (HoleCause.OUTSIDE_LIFE, life.why_first)
        days.paint(days.first, life.first.toordinal() - 1, mark)


def _coverage(record: SeriesRecord, days: _Days) -> SeriesCoverage:
    holes: list[Hole] = []
    verified: list[tuple[int, int]] = []
    for first, last, marks in days.runs():
        cause = marks[0][0]
        if cause is None:
            verified.append((first, last))
        else:
            holes.append(_hole(first, last, cause, marks))
    total = max(0, days.last - days.first + 1)
    unexpected = sum(hole.days for hole in holes if hole.cause in UNEXPECTED)
    return SeriesCoverage(
        series=record.series,
        start=date.fromordinal(days.first) if total else None,
        end=date.fromordinal(days.last) if total else None,
        first_day=date.fromordinal(verified[0][0]) if verified else None,
        last_day=date.fromordinal(verified[-1][1]) if verified else None,
        verified_days=sum(last - first + 1 for first, last in verified),
        expected_days=total - unexpected,
        size_bytes=sum(folder.size_bytes for folder in record.folders.values()),
        refused_newer=sum(folder.refused_newer for folder in record.folders.values()),
        holes=tuple(holes),
    )


def _hole(first: int, last: int, cause: HoleCause, marks: list[_Mark]) -> Hole:
    reasons = list(dict.fromkeys(reason for _, reason in marks))
    more = len(reasons) - 1
    return Hole(
        first_day=date.fromordinal(first),
        last_day=date.fromordinal(last),
        days=last - first + 1,
        cause=cause,
        reason=reasons[0] + (f" (and {more} more reason{'s'[: more != 1]})" if more else ""),
    )
