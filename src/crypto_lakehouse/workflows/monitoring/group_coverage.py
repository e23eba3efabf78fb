"""What the ledger has of each group of series, for metrics: holes, newest day, and lag."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date

from attrs import define, field

from crypto_lakehouse.core.acknowledged import Acknowledged
from crypto_lakehouse.core.archive import Series
from crypto_lakehouse.coverage.coverage import SeriesCoverage
from crypto_lakehouse.sinks.run_figures import GroupCoverage, Labels
from crypto_lakehouse.stores.output import Output
from crypto_lakehouse.workflows.status import status_of

__all__ = ["group_coverage"]


@define
class _Group:
    hole_days: Counter[str] = field(factory=Counter)
    newest: date | None = None
    lag_days: int = 0

    def add(self, coverage: SeriesCoverage) -> None:
        for cause, days in coverage.days_by_cause().items():
            self.hole_days[str(cause)] += days
        self.lag_days = max(self.lag_days, coverage.lag_days)
        if coverage.last_day is not None:
            self.newest = max(coverage.last_day, self.newest or coverage.last_day)


def group_coverage(
    output: Output,
    acknowledged: Acknowledged,
    matrix_path: str | None,
    labels_of: Callable[[Series], Labels],
    today: date | None = None,
) -> dict[Labels, GroupCoverage]:
    """Return what the ledger has of all series, by group; blocking.

    Args:
        output: Where the ledger is.
        acknowledged: The archives that the user knows to be missing or damaged.
        matrix_path: The matrix; the shipped one by default.
        labels_of: Names the group of a series.
        today: The UTC day; the current one by default.

    Raises:
        LakehouseError: There is no ledger, or it cannot be read.
    """
    groups: dict[Labels, _Group] = {}
    status = status_of(output, matrix_path=matrix_path, acknowledged=acknowledged, today=today)
    for coverage in status:
        groups.setdefault(labels_of(coverage.series), _Group()).add(coverage)
    return {
        labels: GroupCoverage(
            hole_days=group.hole_days, newest=group.newest, lag_days=group.lag_days
        )
        for labels, group in groups.items()
    }
