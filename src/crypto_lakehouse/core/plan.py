"""A plan as data: what a run will settle, a series at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date, timedelta
from typing import Protocol

from attrs import frozen

from crypto_lakehouse.core.archive import Archive, Period, Series
from crypto_lakehouse.core.listed import ListedArchive

__all__ = ["Plan", "PlanTotals", "PlannedArchive", "PlannedPeriod", "PlannedSeries"]


@frozen
class PlannedPeriod:
    """A period to plan.

    Attributes:
        not_published: Why it cannot exist today, empty where it may exist. Such an archive is
            never requested.
        lag_days: For how many days after its period's end its absence is normal.
        listed: What the source's listing says of it, None where it was not asked.
        unlisted: Whether the source's listing was read, and the archive is not in it. Such an
            archive is never requested either.
    """

    period: Period
    not_published: str = ""
    lag_days: int = 0
    listed: ListedArchive | None = None
    unlisted: bool = False


@frozen
class PlannedArchive:
    """One archive of the plan; the fields are those of its `PlannedPeriod`."""

    archive: Archive
    not_published: str = ""
    lag_days: int = 0
    listed: ListedArchive | None = None
    unlisted: bool = False

    def may_be_late(self, today: date) -> bool:
        """Whether its absence is still normal on `today`."""
        return today <= self.archive.period.last_day + timedelta(days=self.lag_days)


@frozen
class PlannedSeries:
    """One series and the periods planned of it, oldest first.

    Attributes:
        periods: Calendars share one tuple between the series that ask the same question.
    """

    series: Series
    periods: Sequence[PlannedPeriod]

    def archives(self) -> Iterator[PlannedArchive]:
        """The series' part of the plan."""
        for planned in self.periods:
            yield self.archive(planned)

    def archive(self, planned: PlannedPeriod) -> PlannedArchive:
        """One archive of the series."""
        return PlannedArchive(
            Archive(self.series, planned.period),
            planned.not_published,
            planned.lag_days,
            planned.listed,
            planned.unlisted,
        )


@frozen(kw_only=True)
class PlanTotals:
    """How much a plan is.

    Attributes:
        archives: All of the plan, those that are not published included.
        due: Those that may exist.
        size_bytes: Of the due archives' zips, where a listing was read; else None.
    """

    archives: int
    due: int
    size_bytes: int | None = None


class Plan(Protocol):
    """What a run settles; enumerated anew, and in the same order, at each iteration."""

    @property
    def today(self) -> date:
        """The UTC day on which the plan was made."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What the run's owner should know, a sentence each."""
        ...

    @property
    def failures(self) -> Sequence[str]:
        """Why parts of the plan are not known; it is whole where there are none."""
        ...

    def series(self) -> AsyncIterator[PlannedSeries]:
        """Every series with its periods."""
        ...

    def totals(self) -> PlanTotals:
        """How much it is; blocking, seconds for millions of archives."""
        ...

    def why_empty(self) -> str:
        """Explain a plan without archives; empty for a plan with some."""
        ...
