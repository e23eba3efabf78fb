"""The report of a fill: totals, the days that need attention, and the exit code."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

from crypto_lakehouse.core.events import Event, FillFinished, RunFinished, RunStarted, RunWarned
from crypto_lakehouse.core.fills import FillVerdict
from crypto_lakehouse.core.metrics import LISTED_PROBLEMS
from crypto_lakehouse.workflows.run_report import RunReport

__all__ = ["FillCounts", "FillProblem", "FillReport"]


@frozen(kw_only=True)
class FillProblem:
    """One day that is not filled.

    Attributes:
        key: Its segment, which is not there.
    """

    key: str
    verdict: FillVerdict
    reason: str

    def __str__(self) -> str:
        return f"{self.verdict} {self.key}: {self.reason}"


@frozen(kw_only=True)
class FillReport(RunReport):
    """The result of one fill, as `run_fill` and `RestCollectionWorkflow.run` return it.

    Attributes:
        status: `complete`, `partial`, `failed` or `interrupted` (some days have no verdict).
        totals: `planned`, `filled`, `unchanged` (they were filled before), `unavailable` and
            `failed`: days of series.
        rows: Rows of the days that were filled now.
        weight: What the requests used of the exchange's budgets.
        requests: Requests made, over all tries, without those that ask for the server's time.
        acknowledged: How many of those that are not filled are acknowledged.
        problems: The first 100 days that are not filled and not acknowledged.
        late_warnings: Those of `warnings` that came when all sinks were closed.
        error: Why the run ended before its plan was done; empty if it was done.
        run_id: The run's id in the ledger and in log records.
    """

    totals: Mapping[str, int]
    rows: int = 0
    weight: int = 0
    requests: int = 0
    acknowledged: int = 0
    problems: tuple[FillProblem, ...] = ()
    late_warnings: tuple[str, ...] = ()

    @property
    def is_partial(self) -> bool:
        """Whether a day is neither filled nor acknowledged."""
        lacking = self.totals[FillVerdict.UNAVAILABLE] + self.totals[FillVerdict.FAILED]
        return lacking > self.acknowledged

    def to_mapping(self) -> dict[str, Any]:
        """Return the object that `fill --json` prints."""
        return {
            **({"error": self.error} if self.error else {}),
            "workflow": self.workflow,
            "status": self.status,
            "totals": {str(name): count for name, count in self.totals.items()},
            "acknowledged": self.acknowledged,
            "rows": self.rows,
            "weight": self.weight,
            "requests": self.requests,
            "duration_seconds": round(self.duration_seconds, 3),
            "warnings": list(self.warnings),
            "problems": [
                {"key": each.key, "verdict": str(each.verdict), "reason": each.reason}
                for each in self.problems
            ],
        }


@define
class FillCounts:
    """Counts the events of a fill; a required sink.

    Args:
        clock: Returns seconds, monotonic; a parameter for tests.
    """

    clock: Callable[[], float] = time.monotonic
    name: str = "counts"
    required: bool = True
    takes_unchanged = True
    warnings: list[str] = field(init=False, factory=list)
    late_warnings: list[str] = field(init=False, factory=list)
    verdicts: Counter[str] = field(init=False, factory=Counter)
    acknowledged: int = field(init=False, default=0)
    _planned: int = field(init=False, default=0)
    _rows: int = field(init=False, default=0)
    _weight: int = field(init=False, default=0)
    _requests: int = field(init=False, default=0)
    _problems: list[FillProblem] = field(init=False, factory=list)
    _has_changed: bool = field(init=False, default=False)
    _started: float = field(init=False)
    _finished: float | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self._started = self.clock()

    async def handle(self, events: Sequence[Event]) -> None:
        """Count a batch of events."""
        for event in events:
            match event:
                case RunStarted():
                    self._planned = event.planned
                case RunWarned():
                    self.warnings.append(event.message)
                case RunFinished():
                    self._finished = self.clock()
                case FillFinished():
                    self._count(event)
                case _:
                    pass

    def _count(self, event: FillFinished) -> None:
        is_unchanged = event.known and event.verdict is FillVerdict.FILLED
        self.verdicts["unchanged" if is_unchanged else event.verdict] += 1
        self._has_changed |= event.is_new
        self._rows += 0 if event.known else event.rows
        self._weight += event.weight
        self._requests += event.requests
        if event.verdict is not FillVerdict.FILLED:
            self.acknowledged += event.acknowledged
        if event.is_problem and len(self._problems) < LISTED_PROBLEMS:
            problem = FillProblem(key=event.archive.key, verdict=event.verdict, reason=event.reason)
            self._problems.append(problem)

    async def flush(self) -> None:
        """Do nothing: everything is counted at once."""

    async def close(self) -> None:
        """Do nothing."""

    @property
    def has_changed(self) -> bool:
        """Whether the run has learned anything that the ledger did not have."""
        return self._has_changed

    def status(self, stop_code: int | None) -> str:
        """Return how the run ended."""
        if stop_code is not None:
            return "interrupted"
        lacking = self.verdicts[FillVerdict.UNAVAILABLE] + self.verdicts[FillVerdict.FAILED]
        if lacking <= self.acknowledged:
            return "complete"
        return "partial" if self.verdicts.total() > lacking else "failed"

    def report(
        self, workflow: str, run_id: str, stop_code: int | None, error: str, *, has_failed: bool
    ) -> FillReport:
        """Return the report of what is counted so far.

        Args:
            workflow: The workflow's name.
            run_id: The run.
            stop_code: The exit code of a run that was ended early.
            error: Why it ended early.
            has_failed: Whether an error ended it.
        """
        names = (FillVerdict.FILLED, "unchanged", FillVerdict.UNAVAILABLE, FillVerdict.FAILED)
        ended = self.clock() if self._finished is None else self._finished
        return FillReport(
            workflow=workflow,
            status="failed" if has_failed else self.status(stop_code),
            totals={"planned": self._planned, **{name: self.verdicts[name] for name in names}},
            rows=self._rows,
            weight=self._weight,
            requests=self._requests,
            duration_seconds=ended - self._started,
            acknowledged=self.acknowledged,
            problems=tuple(self._problems),
            warnings=(*self.warnings, *self.late_warnings),
            late_warnings=tuple(self.late_warnings),
            error=error,
            run_id=run_id,
            stop_code=stop_code,
        )
