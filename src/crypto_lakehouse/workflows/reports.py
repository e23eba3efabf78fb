"""What the questions to a source or a tree are answered with."""

from __future__ import annotations

from datetime import date
from typing import Any

from attrs import asdict, frozen

from crypto_lakehouse.coverage.coverage import SeriesCoverage
from crypto_lakehouse.ledger.history import Change, Version
from crypto_lakehouse.workflows.bench.bench_report import SettingResult
from crypto_lakehouse.workflows.status import StatusTotals, coverage_mapping
from crypto_lakehouse.workflows.wiring.plan_sizes import SeriesSize

__all__ = ["BenchReport", "HistoryReport", "PlanReport", "StatusReport"]


@frozen(kw_only=True)
class PlanReport:
    """What a collection would do.

    Attributes:
        today: The UTC day of the plan.
        series: How much of each series is planned.
        notes: What its reader should know, a sentence each.
        unlisted: What of the source could not be listed, a sentence each; the plan lacks it.
    """

    today: date
    series: tuple[SeriesSize, ...]
    notes: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()

    @property
    def totals(self) -> SeriesSize:
        """The sum over series."""
        return sum(self.series, SeriesSize())

    def to_mapping(self) -> dict[str, Any]:
        """The object that `plan --json` prints."""
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
        today: The UTC day that tells late archives from missing ones.
        notes: What its reader should know, a sentence each.
        totals: The sum over series.
        series: The coverage of each series, with its holes.
    """

    today: date
    notes: tuple[str, ...]
    totals: StatusTotals
    series: tuple[SeriesCoverage, ...]

    def to_mapping(self) -> dict[str, Any]:
        """The object that `status --json` prints."""
        series = [coverage_mapping(coverage) for coverage in self.series]
        return {"today": str(self.today), "totals": self.totals.to_mapping(), "series": series}


@frozen(kw_only=True)
class HistoryReport:
    """What the publisher replaced.

    Attributes:
        changes: In the order of time.
        versions: Of the one archive that was asked for, oldest first.
    """

    changes: tuple[Change, ...]
    versions: tuple[Version, ...] = ()

    def to_mapping(self) -> dict[str, Any]:
        """Return both as JSON types."""
        return {
            "changes": [asdict(change) for change in self.changes],
            "versions": [asdict(version) for version in self.versions],
        }


@frozen(kw_only=True)
class BenchReport:
    """What more requests at once bring.

    Attributes:
        results: A measurement for each setting.
        stopped: Why no larger setting was tried, empty where all were.
        recommendation: The `max_parallel_downloads` to use, None where none can be told.
    """

    results: tuple[SettingResult, ...]
    stopped: str
    recommendation: int | None

    def to_mapping(self) -> dict[str, Any]:
        """Return the report as JSON types."""
        best = self.recommendation
        return {
            "settings": [result.to_mapping() for result in self.results],
            "stopped": self.stopped or None,
            "recommendation": None if best is None else {"max_parallel_downloads": best},
        }
