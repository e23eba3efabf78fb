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
| missing or corrupt, and acknowledged            | none of these                       | acknowledged      |
| nothing                                         | none of these, and not asked for    | not_asked         |
| nothing                                         | none of these                       | not_collected     |

Bytes that were served prove that an archive exists, so those verdicts come first. An absence is
explained by what is known today, not by the verdict at the time: the ledger keeps `missing` or
`failed` for archives that were later found to be outside the series' life.

The user may acknowledge archives that the source lacks or serves damaged; then the lines for
`missing` and for bytes that were served do not apply to them.

If the day's archive and its month's differ, the upper line applies. A series that has only months
is examined by month: all days of a month have the same state, and only whole months are known
holes.
"""  # noqa: E501 - a table

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date

from attrs import evolve, field, frozen

from crypto_lakehouse.core.acknowledged import ACKNOWLEDGEABLE
from crypto_lakehouse.core.archive import Partition, Series
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.core.verdicts import SUCCESSES, Verdict
from crypto_lakehouse.coverage.asked_days import AskedDays
from crypto_lakehouse.coverage.day_marks import DayMarks, Mark
from crypto_lakehouse.coverage.hole_causes import UNEXPECTED, HoleCause
from crypto_lakehouse.coverage.records import ArchiveRun, SeriesRecord
from crypto_lakehouse.coverage.series_life import SeriesLife, life_of
from crypto_lakehouse.matrix.known_holes import KnownHoles
from crypto_lakehouse.matrix.model import MatrixRow
from crypto_lakehouse.planning.periods import Window

__all__ = ["UNEXPECTED", "Hole", "HoleCause", "SeriesCoverage", "cover_series"]


@frozen(kw_only=True)
class Hole:
    """Consecutive days that are not covered, for the same cause.

    Attributes:
        first_day, last_day: UTC days, both inclusive.
        days: How many.
        reason: What is known about it, in a sentence.
        filled: How many of the days are filled from the exchange; they are holes of the archive
            nevertheless.
    """

    first_day: date
    last_day: date
    days: int
    cause: HoleCause
    reason: str
    filled: int = 0


@frozen(kw_only=True)
class SeriesCoverage:
    """How complete one series is.

    Attributes:
        start, end: The first and last day examined, both inclusive; None if there are none.
        first_day, last_day: The first and last verified day.
        verified_days: How many of the days are verified.
        expected_days: How many of the days the source should have by now; of those that runs were
            asked for, if the record says which.
        size_bytes: The size of the stored archives.
        refused_newer: How many verified archives have a newer version at the source that was
            refused because it failed verification.
        holes: The days that are not verified, oldest first.
        verdicts: How many archives have each verdict, daily and monthly ones together.
        first_filled, last_filled: The first and the last day that is filled from the exchange, or
            begun to be, whether or not it is one of these days; None if none is.
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
    verdicts: Mapping[Verdict, int] = field(factory=dict)
    first_filled: date | None = None
    last_filled: date | None = None

    @property
    def filled_days(self) -> int:
        """How many days of the holes are filled from the exchange."""
        return sum(hole.filled for hole in self.holes)

    @property
    def ratio(self) -> float:
        """The verified part of what is expected, 0 to 1; 1 if nothing is expected."""
        return self.verified_days / self.expected_days if self.expected_days else 1.0

    @property
    def lag_days(self) -> int:
        """How many days the newest verified day is before the newest that should be verified."""
        due = [hole for hole in self.holes if hole.cause not in UNEXPECTED]
        if not due:
            return 0
        if self.last_day is None:
            return (due[-1].last_day - due[0].first_day).days + 1
        return max(0, (due[-1].last_day - self.last_day).days)

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
    If the record says what runs were asked for, the days run from the first to the last of those
    and of the settled ones, and all others are `not_asked`.

    Args:
        record: The ledger's record of the series; with a window, of its archives in the window.
        row: The matrix row, None if the matrix has no such feed.
        holes: The known holes of the publisher.
        today: The UTC day.
        start: First day of the window; by default as above.
        end: Last day of the window; by default as above.

    Returns:
        The coverage; None if `start` is not given, no run settled any archive, none was asked for
        one that the source should have, and no day is filled. If days are only filled, it is of
        these, and no run was asked for any.
    """
    settled = _Settled.of(record)
    asked = record.asked
    life = own = life_of(record, row, today)
    if settled.spans:
        own = _narrowed(life_of(record, row, today, record.used), life)
    elif asked is not None and asked.spans:
        own = _narrowed(life_of(record, row, today, asked.partitions), life)
        if start is None and _asked_from(asked, own) is None:
            return _only_filled(record)
    elif start is None:
        return _only_filled(record)
    days = settled.window(own, asked, start, end)
    for first, last in asked.gaps() if asked is not None else ():
        days.paint(first, last, _NOT_ASKED)
    settled.paint(days, HoleCause.ACKNOWLEDGED, HoleCause.MISSING, HoleCause.FAILED)
    _paint_calendar(days, life)
    _paint_known_holes(days, record.series, holes, by_days=Partition.DAILY in own.partitions)
    _paint_ends(days, life)
    settled.paint(days, HoleCause.QUARANTINED, HoleCause.UNPROVEN, None)
    coverage = _coverage(record, days)
    is_idle = start is None and not settled.spans and not coverage.expected_days
    return _only_filled(record) if is_idle else coverage


def _only_filled(record: SeriesRecord) -> SeriesCoverage | None:
    """The days from the first to the last filled of a series that no archive is expected of."""
    if record.filled_span is None:
        return None
    days = DayMarks(*record.filled_span)
    days.paint(*record.filled_span, _NOT_ASKED)
    return _coverage(record, days)


def _narrowed(own: SeriesLife, life: SeriesLife) -> SeriesLife:
    """The life in the collected partitions, narrowed by what is known of the others."""
    last = min((day for day in (own.last, life.last) if day is not None), default=None)
    return evolve(own, first=life.first, last=last)


_NOT_ASKED: Mark = (HoleCause.NOT_ASKED, "no run was asked for it")
_REMOVED = "the publisher has removed this feed"


def _cause_of(run: ArchiveRun) -> HoleCause | None:
    """The cause that a verdict gives its days; None if they are covered."""
    if run.verdict in SUCCESSES:
        return None
    if run.is_let_in:
        return HoleCause.UNPROVEN
    is_known = run.is_acknowledged and run.verdict in ACKNOWLEDGEABLE
    return HoleCause.ACKNOWLEDGED if is_known else _CAUSES[run.verdict]


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
    mark: Mark


@frozen
class _Settled:
    """The archives that runs have settled."""

    spans: tuple[_DateSpan, ...]

    @classmethod
    def of(cls, record: SeriesRecord) -> _Settled:
        return cls(tuple(_span(run) for folder in record.folders.values() for run in folder.runs))

    def window(
        self, life: SeriesLife, asked: AskedDays | None, start: date | None, end: date | None
    ) -> DayMarks:
        """The days to examine; a missing end is chosen by what is settled and was asked for."""
        if start is not None:
            first = start.toordinal()
        else:
            begins = [self.begin(life)] if self.spans else []
            asked_from = _asked_from(asked, life)
            first = min(begins if asked_from is None else [*begins, asked_from.toordinal()])
        if end is not None:
            return DayMarks(first, end.toordinal())
        if asked is None:
            return DayMarks(first, self.end(life))
        ends = [last.toordinal() for _, last in asked.spans] + [span.last for span in self.spans]
        return DayMarks(first, self.end(life, max(ends, default=0)))

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

    def end(self, life: SeriesLife, asked_until: int = date.max.toordinal()) -> int:
        """The last day to examine: asked for and surely published by now, or verified."""
        last = min(life.sure_until.toordinal(), asked_until)
        verified = max((span.last for span in self._verified()), default=0)
        if life.last is not None:
            last = min(last, life.last.toordinal())
            if verified and _is_same_month(verified, life.last):
                verified = min(verified, life.last.toordinal())
        return max(last, verified)

    def _verified(self) -> Iterator[_DateSpan]:
        return (span for span in self.spans if span.mark[0] is None)

    def paint(self, days: DayMarks, *causes: HoleCause | None) -> None:
        """Mark the days of some causes, one after another; None is for covered days."""
        for cause in causes:
            for span in self.spans:
                if span.mark[0] is cause:
                    days.paint(span.first, span.last, span.mark)


def _span(run: ArchiveRun) -> _DateSpan:
    mark = (_cause_of(run), run.reason)
    return _DateSpan(run.first_day.toordinal(), run.last_day.toordinal(), mark)


def _asked_from(asked: AskedDays | None, life: SeriesLife) -> date | None:
    """The first day of the series' life that was asked for; None if nothing says which."""
    if asked is None or not asked.spans:
        return None
    first = asked.spans[0][0]
    if life.first is not None:
        return max(first, life.first)
    return None if first == date.min else first


def _is_same_month(ordinal: int, day: date) -> bool:
    return date.fromordinal(ordinal).replace(day=1) == day.replace(day=1)


def _paint_calendar(days: DayMarks, life: SeriesLife) -> None:
    lag = life.lag_days
    reason = f"not published yet; that is normal for up to {plural(lag, 'day')} after the period"
    late = life.sure_until.toordinal() + 1
    days.paint(late, days.last, (HoleCause.NOT_PUBLISHED_YET, reason))


def _paint_known_holes(days: DayMarks, series: Series, holes: KnownHoles, *, by_days: bool) -> None:
    for hole in holes.missing(series):
        mark = (HoleCause.UPSTREAM_HOLE, hole.reason)
        if by_days:
            days.paint(hole.first.toordinal(), hole.last.toordinal(), mark)
            continue
        for month in Window(hole.first, hole.last, hole.last).months():
            if holes.reason_for_period(series, month):
                days.paint(month.first_day.toordinal(), month.last_day.toordinal(), mark)


def _paint_ends(days: DayMarks, life: SeriesLife) -> None:
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


def _coverage(record: SeriesRecord, days: DayMarks) -> SeriesCoverage:
    holes: list[Hole] = []
    verified: list[tuple[int, int]] = []
    for first, last, marks in days.runs():
        cause = marks[0][0]
        if cause is None:
            verified.append((first, last))
        else:
            holes.append(_hole(first, last, cause, marks, record.filled))
    total = max(0, days.last - days.first + 1)
    filled = record.filled_span
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
        verdicts=sum((Counter(folder.verdicts) for folder in record.folders.values()), Counter()),
        first_filled=date.fromordinal(filled[0]) if filled else None,
        last_filled=date.fromordinal(filled[1]) if filled else None,
    )


def _hole(
    first: int, last: int, cause: HoleCause, marks: list[Mark], filled: Sequence[int]
) -> Hole:
    reasons = list(dict.fromkeys(reason for _, reason in marks))
    more = len(reasons) - 1
    return Hole(
        first_day=date.fromordinal(first),
        last_day=date.fromordinal(last),
        days=last - first + 1,
        cause=cause,
        filled=bisect_right(filled, last) - bisect_left(filled, first),
        reason=reasons[0] + (f" (and {plural(more, 'more reason')})" if more else ""),
    )
