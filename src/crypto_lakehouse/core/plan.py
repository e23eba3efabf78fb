"""A plan as data: the archives that a run will settle, one series at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date, timedelta
from typing import Protocol

from attrs import frozen

from crypto_lakehouse.core.archive import Archive, Period, Series
from crypto_lakehouse.core.listed import ListedArchive

__all__ = [
    "Plan",
    "PlanTotals",
    "PlannedArchive",
    "PlannedPeriod",
    "PlannedSeries",
    "plan_remarks",
]

#: How many prefixes that could not be listed are named in warnings.
_NAMED = 20


@frozen
class PlannedPeriod:
    """One planned period of a series.

    Attributes:
        not_published: Why the archive cannot exist today; empty if it may exist. If this is set,
            the archive is never requested.
        lag_days: For how many days after the end of the period its absence is normal.
        listed: What the source's listing says about the archive; None if no listing was read.
        unlisted: Whether a listing was read and does not have the archive, which is then never
            requested either.
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
    """One series and its planned periods, oldest first.

    Attributes:
        periods: Series with the same calendar share one tuple.
    """

    series: Series
    periods: Sequence[PlannedPeriod]

    def archives(self) -> Iterator[PlannedArchive]:
        """Yield the planned archives of the series."""
        for planned in self.periods:
            yield self.archive(planned)

    def archive(self, planned: PlannedPeriod) -> PlannedArchive:
        """Return one planned archive of the series."""
        return PlannedArchive(
            Archive(self.series, planned.period),
            planned.not_published,
            planned.lag_days,
            planned.listed,
            planned.unlisted,
        )


@frozen(kw_only=True)
class PlanTotals:
    """The size of a plan.

    Attributes:
        archives: All archives of the plan, including those that are not published.
        due: The archives that may exist.
        size_bytes: The total size of the due archives' zips if a listing was read; else None.
        notes: What these numbers show and the user should know, one sentence each.
    """

    archives: int
    due: int
    size_bytes: int | None = None
    notes: tuple[str, ...] = ()


class Plan(Protocol):
    """The archives that a run settles; each iteration yields the same ones in the same order."""

    @property
    def today(self) -> date:
        """The UTC day on which the plan was made."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """Notes for the user, one sentence each."""
        ...

    @property
    def failures(self) -> Sequence[str]:
        """Why parts of the plan are unknown; if there are none, the plan is complete."""
        ...

    def series(self) -> AsyncIterator[PlannedSeries]:
        """Yield every series with its periods."""
        ...

    def totals(self) -> PlanTotals:
        """Return the size of the plan; blocking, takes seconds for millions of archives."""
        ...

    def why_empty(self) -> str:
        """Explain why a plan has no archives; empty if it has some."""
        ...


def plan_remarks(plan: Plan, totals: PlanTotals) -> list[str]:
    """Return what the user of a run should know about its plan, one sentence each."""
    remarks = [*plan.notes, *totals.notes]
    remarks += [f"not planned: {why}" for why in plan.failures[:_NAMED]]
    if len(plan.failures) > _NAMED:
        remarks.append(f"not planned: {len(plan.failures)} prefixes in all")
    if totals.archives == 0:
        remarks.append(f"the plan is empty: {plan.why_empty()}")
    return remarks
