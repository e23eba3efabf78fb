"""What is there of a series, what is not, and whose fault each hole is; pure.

A day is covered where its own archive or its month's is verified. Every other day of the window
is a hole, and gets the first cause that fits, from the top:

| the ledger on the day's or its month's archive  | what is known of the day            | cause             |
|-------------------------------------------------|-------------------------------------|-------------------|
| verified                                        | anything                            | none, it is there |
| sidecar missing, or let in against its sidecar  | anything                            | unproven          |
| corrupt, or against its sidecar                 | anything                            | quarantined       |
| failed, missing, or nothing                     | before the series began             | outside_life      |
| failed, missing, or nothing                     | after the feed ended, or it is gone | retired           |
| failed, missing, or nothing                     | after the series ended              | outside_life      |
| failed, missing, or nothing                     | a known hole of the source          | upstream_hole     |
| failed, missing, or nothing                     | its lag has not passed              | not_published_yet |
| failed                                          | none of these                       | failed            |
| missing                                         | none of these                       | missing           |
| nothing                                         | none of these                       | not_collected     |

Bytes that were served prove that there is an archive, so they come first. An absence is judged
by what is known today and not by what a run made of it then: a ledger keeps the word `missing`
or `failed` of archives that turned out to be outside the series' life.

Where the day's archive and its month's differ, the upper line wins. A series that has only
months is judged by months: all days of one share its fate, and only whole months are known holes.
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
    """Why a day is not covered; the order is that of what is most worth a look."""

    FAILED = "failed"
    """A network or server error after all retries; a next run may have it."""
    QUARANTINED = "quarantined"
    """What the source served is damaged, or is not what its sidecar says."""
    MISSING = "missing"
    """The source has no such archive, although it should."""
    NOT_COLLECTED = "not_collected"
    """No run has settled it."""
    UNPROVEN = "unproven"
    """The archive is here and readable, and nothing published proves it."""
    UPSTREAM_HOLE = "upstream_hole"
    """The publisher is known to lack it (`matrix/holes.json`)."""
    NOT_PUBLISHED_YET = "not_published_yet"
    """Its absence is still normal."""
    RETIRED = "retired"
    """The publisher has ended or removed the feed."""
    OUTSIDE_LIFE = "outside_life"
    """The series had not begun, or had ended."""


#: Nobody can have these days; they do not count against coverage, as in a run's success rate.
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
    """Days next to each other that are not covered for the same cause.

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
    """How much of one series is here.

    Attributes:
        start, end: The days that were judged, both inclusive; None where there are none.
        first_day, last_day: The first and the last verified one of them.
        verified_days: How many of them are verified.
        expected_days: How many of them the source should have by now.
        size_bytes: Of the archives that stand here.
        refused_newer: Of how many verified archives the source has a newer version that was not
            good enough to take their place.
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
        """The verified part of what is expected, 0 to 1; 1 where nothing is."""
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
    """Judge every day of a series.

    Without a window the question is how complete that is which was begun: from the first day
    that any run settled to the last one that should be there by now, in the partitions that
    were collected. Days outside the series' life are left out then, and days within their lag
    are in only where a later one is verified already.

    Args:
        record: What the ledger holds of the series; with a window, of what touches that.
        row: What the matrix says of it, None where it has no such feed.
        holes: What the publisher is known to lack.
        today: The UTC day.
        start: First day of the window; by default as above.
        end: Last day of the window; by default as above.

    Returns:
        The coverage; None where no run settled any archive, and no `start` says what is wanted.
    """
    settled = _Settled.of(record)
    life = own = life_of(record, row, today)
    if settled.spans:
        own = _narrowed(life_of(record, row, today, record.used), life)
    elif start is None:
        return None
    first = settled.begin(own) if start is None else start.toordinal()
    last = settled.end(own) if end is None else end.toordinal()
    days = _Days(first, last)
    settled.paint(days, HoleCause.MISSING)
    settled.paint(days, HoleCause.FAILED)
    _paint_calendar(days, life)
    _paint_known_holes(days, record.series, holes, by_days=Partition.DAILY in own.partitions)
    _paint_ends(days, life)
    settled.paint(days, HoleCause.QUARANTINED)
    settled.paint(days, HoleCause.UNPROVEN)
    settled.paint(days, None)
    return _coverage(record, days)


def _narrowed(own: SeriesLife, life: SeriesLife) -> SeriesLife:
    """The life in the partitions that are collected, where the others know better."""
    last = min((day for day in (own.last, life.last) if day is not None), default=None)
    return evolve(own, first=life.first, last=last)


#: What a day is painted with: its cause, None where it is covered, and the reason.
_Mark = tuple[HoleCause | None, str]

_NOT_COLLECTED: _Mark = (HoleCause.NOT_COLLECTED, "no run has settled it")
_REMOVED = "the publisher has removed this feed"


def _cause_of(run: ArchiveRun) -> HoleCause | None:
    """What a verdict means for its days; None where it covers them."""
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
class _Span:
    """The days of a run, as ordinals, and what its verdict means for them."""

    first: int
    last: int
    mark: _Mark


@frozen
class _Settled:
    """What runs of the collector have settled."""

    spans: tuple[_Span, ...]

    @classmethod
    def of(cls, record: SeriesRecord) -> _Settled:
        return cls(tuple(_span(run) for folder in record.folders.values() for run in folder.runs))

    def begin(self, life: SeriesLife) -> int:
        """The first day to judge: settled and in the series' life, or verified."""
        first = min(span.first for span in self.spans)
        verified = min((span.first for span in self._verified()), default=date.max.toordinal())
        if life.first is not None:
            first = max(first, life.first.toordinal())
            # The month in which a series begins does not make it older.
            if _is_same_month(verified, life.first):
                verified = max(verified, life.first.toordinal())
        return min(first, verified)

    def end(self, life: SeriesLife) -> int:
        """The last day to judge: surely published by now, or verified."""
        last = life.sure_until.toordinal()
        verified = max((span.last for span in self._verified()), default=0)
        if life.last is not None:
            last = min(last, life.last.toordinal())
            if verified and _is_same_month(verified, life.last):
                verified = min(verified, life.last.toordinal())
        return max(last, verified)

    def _verified(self) -> Iterator[_Span]:
        return (span for span in self.spans if span.mark[0] is None)

    def paint(self, days: _Days, cause: HoleCause | None) -> None:
        """Paint the days of one cause, None for those that are covered."""
        for span in self.spans:
            if span.mark[0] is cause:
                days.paint(span.first, span.last, span.mark)


def _span(run: ArchiveRun) -> _Span:
    mark = (_cause_of(run), run.reason)
    return _Span(run.first_day.toordinal(), run.last_day.toordinal(), mark)


def _is_same_month(ordinal: int, day: date) -> bool:
    return date.fromordinal(ordinal).replace(day=1) == day.replace(day=1)


@define
class _Days:
    """The days of a window; whatever is painted later covers what was there."""

    first: int
    last: int
    _marks: list[_Mark] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._marks = [_NOT_COLLECTED] * (self.last - self.first + 1)

    def paint(self, first: int, last: int, mark: _Mark) -> None:
        """Paint the days from `first` to `last`, as far as they are in the window."""
        begin, end = max(first, self.first), min(last, self.last)
        if begin <= end:
            begin, end = begin - self.first, end - self.first + 1
            self._marks[begin:end] = [mark] * (end - begin)

    def runs(self) -> Iterator[tuple[int, int, list[_Mark]]]:
        """First day, last day and marks of neighbours with the same cause."""
        day = self.first
        for _, group in groupby(self._marks, key=itemgetter(0)):
            marks = list(group)
            yield day, day + len(marks) - 1, marks
            day += len(marks)


def _paint_calendar(days: _Days, life: SeriesLife) -> None:
    lag = life.lag_days
    reason = f"not there yet; up to {lag} days after the period that is normal"
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
    """What lies outside the life of the series, or of the whole feed."""
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
