"""The reports of the functions in `questions`."""

from __future__ import annotations

from datetime import date
from typing import Any

from attrs import asdict, frozen

from crypto_lakehouse.core.html_tables import html_table
from crypto_lakehouse.core.messages import plural
from crypto_lakehouse.coverage.coverage import HoleCause, SeriesCoverage
from crypto_lakehouse.ledger.history import Change, Version
from crypto_lakehouse.workflows.freshness import StaleGroup
from crypto_lakehouse.workflows.series_origins import Recording, SeriesOrigins
from crypto_lakehouse.workflows.status import StatusTotals, coverage_mapping
from crypto_lakehouse.workflows.wiring.plan_sizes import SeriesSize

#: Series that a notebook shows.
_MOST_SHOWN = 100

__all__ = ["HistoryReport", "PlanReport", "StatusReport"]


@frozen(kw_only=True)
class PlanReport:
    """What a collection would do.

    Attributes:
        today: The UTC day of the plan.
        series: How much of each series is planned, and how much of it would be fetched.
        notes: Remarks for the reader, one sentence each.
        unlisted: What could not be listed, one sentence each; the plan lacks it.
    """

    today: date
    series: tuple[SeriesSize, ...]
    notes: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()

    @property
    def totals(self) -> SeriesSize:
        """The sum over series."""
        return sum(self.series, SeriesSize())

    @property
    def exit_code(self) -> int:
        """5 if the plan lacks what could not be listed, 3 if folders cannot be read; else 0.

        A collection would end with the same.
        """
        if self.unlisted:
            return 5
        return 3 if self.totals.refused else 0

    def to_mapping(self) -> dict[str, Any]:
        """Return the object that `plan --json` prints."""
        return {
            "today": str(self.today),
            "complete": not self.unlisted,
            "totals": self.totals.to_mapping(),
            "series": [size.to_mapping() for size in self.series],
            **({"unlisted": list(self.unlisted)} if self.unlisted else {}),
        }


@frozen(kw_only=True)
class StatusReport:
    """How complete a collected tree is.

    Attributes:
        today: The UTC day from which late archives are distinguished from missing ones.
        of: What counts as complete: `asked` or `published` (see `status_of`).
        notes: Remarks for the reader, one sentence each.
        totals: The sum over series.
        series: The coverage of each series, with its holes; empty if `on_series` received them.
        origins: Where the rows of each series come from, if that is asked for; also of series that
            are only recorded.
        recordings: The segments of recordings by market and kind of stream, if that is asked for.
        stale: Each market and data type whose newest verified day is too old, if that is asked for.
    """

    today: date
    of: str
    notes: tuple[str, ...]
    totals: StatusTotals
    series: tuple[SeriesCoverage, ...]
    origins: tuple[SeriesOrigins, ...] | None = None
    recordings: tuple[Recording, ...] | None = None
    stale: tuple[StaleGroup, ...] | None = None

    def __repr__(self) -> str:
        return f"<StatusReport: {self._summary}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: a line for each series, up to 100 of them."""
        rows = [
            (str(each.series), each.verified_days, each.expected_days,
             ", ".join(f"{days:,} {cause}" for cause, days in each.days_by_cause().items()))
            for each in self.series[:_MOST_SHOWN]
        ]  # fmt: skip
        return html_table(self._summary, rows, ("series", "verified days", "of", "holes"))

    @property
    def _summary(self) -> str:
        totals = self.totals
        days = f"{totals.verified_days:,} of {plural(totals.expected_days, 'day', form=',')}"
        return f"{totals.series:,} series, {days} verified, as of {self.today}"

    @property
    def strict_exit_code(self) -> int:
        """The exit code with `--strict`: 4 quarantined, 3 missing or failed, 7 stale, else 0.

        The first of these that holds. Days that are filled, or acknowledged, do not count.
        """
        holes = self.totals.open_holes
        if holes[HoleCause.QUARANTINED]:
            return 4
        if holes[HoleCause.MISSING] or holes[HoleCause.FAILED]:
            return 3
        return 7 if self.stale else 0

    def stale_mapping(self) -> dict[str, Any]:
        """Return what `status --json` adds to the object with --max-lag or an objective."""
        return {} if self.stale is None else {"stale": [each.to_mapping() for each in self.stale]}

    def origins_mapping(self) -> dict[str, Any]:
        """Return what `status --origins --json` adds to the object."""
        return {
            name: [each.to_mapping() for each in some]
            for name, some in (("origins", self.origins), ("recordings", self.recordings))
            if some is not None
        }

    def to_mapping(self) -> dict[str, Any]:
        """Return the object that `status --json` prints."""
        series = [coverage_mapping(coverage) for coverage in self.series]
        return {
            "today": str(self.today),
            "of": self.of,
            "totals": self.totals.to_mapping(),
            "series": series,
            **self.origins_mapping(),
            **self.stale_mapping(),
        }


@frozen(kw_only=True)
class HistoryReport:
    """What the publisher replaced.

    Attributes:
        changes: In the order of time.
        versions: All versions of the given archive, oldest first.
        notes: Remarks for the reader, one sentence each.
    """

    changes: tuple[Change, ...]
    versions: tuple[Version, ...] = ()
    notes: tuple[str, ...] = ()

    def to_mapping(self) -> dict[str, Any]:
        """Return both as JSON types."""
        return {
            "changes": [asdict(change) for change in self.changes],
            "versions": [asdict(version) for version in self.versions],
        }
