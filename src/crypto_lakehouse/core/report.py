"""The report of a run: totals, the verdicts that need attention, and the exit code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from crypto_lakehouse.core.errors import LakehouseError
from crypto_lakehouse.core.html_tables import html_table
from crypto_lakehouse.core.verdicts import SUCCESSES, Verdict

__all__ = ["ArchiveProblem", "CollectionFailed", "CollectionReport", "success_rate"]


@frozen(kw_only=True)
class ArchiveProblem:
    """One archive that is not as it should be."""

    key: str
    verdict: Verdict
    reason: str

    def __str__(self) -> str:
        return f"{self.verdict} {self.key}: {self.reason}"


def success_rate(
    totals: Mapping[str, int], acknowledged: int = 0, *, has_failed: bool = False
) -> float:
    """Return the percentage of good archives, 0 to 100 (ARCHITECTURE.md#success-rate).

    Archives that are not published, or whose absence is acknowledged, do not count; without any
    archives it is 100, but 0 for a run that has no plan because it failed or was stopped
    (`has_failed`).
    """
    due = totals["planned"] - totals[Verdict.NOT_PUBLISHED] - acknowledged
    if due <= 0:
        return 0.0 if has_failed and not totals["planned"] else 100.0
    return 100.0 * sum(totals[verdict] for verdict in SUCCESSES) / due


@frozen(kw_only=True)
class CollectionReport:
    """The result of one collection, as `run()`, `execute()` and `run_collection` return it.

    Attributes:
        workflow: The workflow's name.
        status: `complete`, `partial`, `failed` or `interrupted` (some archives have no verdict).
        totals: `planned`, and one count for each verdict.
        success_rate: 0 to 100.
        bytes: Body bytes received from the source.
        duration_seconds: Wall time of the run.
        problems: The first 100 archives that are not as they should be; the counts in `totals`
            are complete, and an events file names every one.
        warnings: Warnings for the user, one sentence each.
        late_warnings: Those of `warnings` that came when all sinks were closed.
        error: Why the run ended before its plan was done; empty if it was done.
        unlisted: What could not be listed, one sentence each; it is not in the plan.
        acknowledged: How many archives of each verdict are acknowledged: the user knows that the
            source lacks them or serves them damaged. They count in `totals`, and nowhere else.
        run_id: The run's id in the ledger and in log records.
        stop_code: The exit code of a run that was stopped, or that ended because the source was
            down or its budget was used; else None.
    """

    workflow: str
    status: str
    totals: Mapping[str, int]
    success_rate: float
    bytes: int
    duration_seconds: float
    problems: tuple[ArchiveProblem, ...] = ()
    warnings: tuple[str, ...] = ()
    late_warnings: tuple[str, ...] = ()
    error: str = ""
    run_id: str = ""
    stop_code: int | None = None
    unlisted: tuple[str, ...] = ()
    acknowledged: Mapping[Verdict, int] = field(factory=dict)

    def __repr__(self) -> str:
        counts = (f"{count:,} {name}" for name, count in self.totals.items() if count)
        return f"<CollectionReport: {', '.join((self.status, *counts))}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the counts, and what is not as it should be."""
        caption = f"{self.workflow}: {self.status}, {self.success_rate:.1f} %"
        shown = html_table(caption, [each for each in self.totals.items() if each[1]])
        if self.problems:
            rows = [(each.key, each.verdict, each.reason) for each in self.problems]
            shown += html_table("problems", rows, ("archive", "verdict", "reason"))
        return shown

    @property
    def results(self) -> Mapping[str, Any]:
        """The report in plain types, as `to_mapping()`."""
        return self.to_mapping()

    @property
    def report(self) -> CollectionReport:
        """The report itself, for callers that handle the results of all workflows alike."""
        return self

    @property
    def exit_code(self) -> int:
        """What to do next (ARCHITECTURE.md#exit-codes); 0 if nothing.

        An incomplete plan (5) counts more than its results: what it lacks is in no total.
        """
        if self.stop_code is not None:
            return self.stop_code
        if self.unlisted:
            return 5
        if self._open(Verdict.CORRUPT):
            return 4
        return 3 if self._open(Verdict.FAILED) or self._open(Verdict.MISSING) else 0

    def _open(self, verdict: Verdict) -> int:
        """How many archives have a verdict that is not acknowledged."""
        return self.totals.get(verdict, 0) - self.acknowledged.get(verdict, 0)

    @property
    def strict_exit_code(self) -> int:
        """As `exit_code`, and 3 if an archive is neither verified, unchanged nor acknowledged."""
        good = sum(self.totals[verdict] for verdict in SUCCESSES)
        good += sum(self.acknowledged.values())
        return self.exit_code or (3 if good < self.totals["planned"] else 0)

    @property
    def ok(self) -> bool:
        """Whether the exit code is 0."""
        return self.exit_code == 0

    def raise_for_failures(self) -> None:
        """Raise an error unless the run is good.

        Raises:
            CollectionFailed: Archives are missing, corrupt or failed, or the run was stopped.
        """
        if not self.ok:
            raise CollectionFailed(self)

    def to_mapping(self) -> dict[str, Any]:
        """Return the object that `collect --json` prints."""
        unusual: dict[str, Any] = {"error": self.error} if self.error else {}
        if self.unlisted:
            unusual |= {"plan": "incomplete", "unlisted": list(self.unlisted)}
        return unusual | {
            "workflow": self.workflow,
            "status": self.status,
            "totals": {str(name): count for name, count in self.totals.items()},
            "acknowledged": sum(self.acknowledged.values()),
            "success_rate": self.success_rate,
            "bytes": self.bytes,
            "duration_seconds": round(self.duration_seconds, 3),
            "problems": [
                {"key": problem.key, "verdict": str(problem.verdict), "reason": problem.reason}
                for problem in self.problems
            ],
        }


class CollectionFailed(LakehouseError):
    """Raised by `CollectionReport.raise_for_failures()`; the whole report is in `report`.

    Its `exit_code` is the report's, with which `crypto-lakehouse collect` would end.
    """

    def __init__(self, report: CollectionReport) -> None:
        self.report = report
        self.exit_code = report.exit_code
        problems = "".join(f"\n  {problem}" for problem in report.problems[:10])
        super().__init__(f"{report.workflow} ended {report.status}:{problems}")
