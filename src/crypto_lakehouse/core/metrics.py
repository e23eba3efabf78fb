"""Count the events of a run; the counters can be read at any time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field, fields, frozen

from crypto_lakehouse.core.events import (
    ArchiveFinished,
    ArchiveRetried,
    ArchivesUnchanged,
    BodyStarted,
    FillFinished,
    FolderListed,
    HoleRecorded,
    ListingRetried,
    RecordingIngested,
    RecordingSeen,
    RunFinished,
    RunNoted,
    RunStarted,
    RunWarned,
    to_record,
)
from crypto_lakehouse.core.fills import FillVerdict
from crypto_lakehouse.core.report import ArchiveProblem, success_rate
from crypto_lakehouse.core.verdicts import Verdict

__all__ = ["ByteMeter", "MetricsCollector", "WorkflowMetrics"]

#: How many problems a report lists; the totals count all of them.
LISTED_PROBLEMS = 100


@define
class ByteMeter:
    """A live count of received body bytes, which displays poll.

    There are no events for the bytes of an unfinished body: there would be one for every chunk.

    Attributes:
        received_bytes: Body bytes since the run began.
        parallel: How many requests may run at the same time now.
    """

    received_bytes: int = 0
    parallel: int = 0


@frozen
class WorkflowMetrics:
    """What a finished workflow returns; a collection returns a `CollectionReport`.

    Attributes:
        workflow: The workflow's name.
        results: Totals, `success_rate` and the rest of the report in plain types.
        report: The report as an object.
    """

    workflow: str
    results: Mapping[str, Any]
    report: Any


@define
class MetricsCollector:
    """Counts the events of a workflow; an application may pass its own.

    The order of archives does not matter: any interleaving of the same events gives the same
    counts. Memory does not grow with the number of archives.

    Args:
        clock: Returns seconds, monotonic; a parameter for tests.
    """

    _clock: Callable[[], float] = time.monotonic
    workflow: str = field(init=False, default="")
    planned: int = field(init=False, default=0)
    verdicts: Counter[Verdict] = field(init=False, factory=Counter)
    acknowledged: Counter[Verdict] = field(init=False, factory=Counter)
    fills: Counter[FillVerdict] = field(init=False, factory=Counter)
    fetched_bytes: int = field(init=False, default=0)
    requests: int = field(init=False, default=0)
    retries: int = field(init=False, default=0)
    problems: list[ArchiveProblem] = field(init=False, factory=list)
    warnings: list[str] = field(init=False, factory=list)
    recorded: RecordingSeen | None = field(init=False, default=None)
    other_events: Counter[str] = field(init=False, factory=Counter)
    _started: float | None = field(init=False, default=None)
    _finished: float | None = field(init=False, default=None)

    def start_workflow(self, name: str) -> None:
        """Reset all counters, and begin to count for the workflow `name`."""
        fresh = MetricsCollector(self._clock)
        for item in fields(MetricsCollector):
            setattr(self, item.name, getattr(fresh, item.name))
        self.workflow = name
        self._started = self._clock()

    def record_event(self, event: object) -> None:
        """Count one event of a run.

        An application may record its own events: a string is counted as it is, a mapping under its
        value for `event`, and any other object under the name of its class.
        """
        match event:
            case ArchiveFinished() | FillFinished():
                self._record_finished(event)
            case ArchivesUnchanged(count=count):
                self.verdicts[Verdict.UNCHANGED] += count
            case ArchiveRetried() | ListingRetried():
                self.retries += 1
            case RunStarted():
                self.planned = event.planned
            case RunWarned():
                self.warnings.append(event.message)
            case RunFinished():
                self._finished = self._clock()
            case RecordingSeen():
                self.recorded = event
            case BodyStarted() | FolderListed() | RunNoted() | HoleRecorded() | RecordingIngested():
                pass  # bodies are counted once they are finished; notes are for displays
            case _:
                self.other_events[_name_of(event)] += 1

    def _record_finished(self, event: ArchiveFinished | FillFinished) -> None:
        self.requests += event.requests
        if isinstance(event, FillFinished):
            self.fills[event.verdict] += 1
            return
        self.verdicts[event.verdict] += 1
        self.fetched_bytes += event.fetched_bytes
        if event.acknowledged:
            self.acknowledged[event.verdict] += 1
        if event.is_problem and len(self.problems) < LISTED_PROBLEMS:
            self.problems.append(
                ArchiveProblem(key=event.archive.key, verdict=event.verdict, reason=event.reason)
            )

    @property
    def finished_archives(self) -> int:
        """How many archives, or days of a fill, have a verdict."""
        return self.verdicts.total() + self.fills.total()

    @property
    def counts(self) -> dict[str, int]:
        """How many archives, or days of a fill, have each verdict that any has."""
        return {str(verdict): count for verdict, count in (self.verdicts | self.fills).items()}

    @property
    def duration_s(self) -> float:
        """Seconds since the start, or of the whole run once it has finished."""
        if self._started is None:
            return 0.0
        return (self._clock() if self._finished is None else self._finished) - self._started

    def totals(self) -> dict[str, int]:
        """Return `planned` and one count for each verdict, zeros included."""
        return {"planned": self.planned, **{verdict: self.verdicts[verdict] for verdict in Verdict}}

    def get_metrics(self) -> dict[str, Any]:
        """Return all counters, in plain types."""
        totals = self.totals()
        return {
            "workflow": self.workflow,
            "totals": {str(name): count for name, count in totals.items()},
            "acknowledged": self.acknowledged.total(),
            "success_rate": success_rate(totals, self.acknowledged.total()),
            "bytes": self.fetched_bytes,
            "requests": self.requests,
            "retries": self.retries,
            "duration_seconds": self.duration_s,
            "problems": [str(problem) for problem in self.problems],
            "warnings": list(self.warnings),
            "other_events": dict(self.other_events),
            **({} if self.recorded is None else {"recorded": to_record(self.recorded)}),
        }


def _name_of(event: object) -> str:
    """The name under which an application's own event is counted."""
    if isinstance(event, str):
        return event
    if isinstance(event, Mapping):
        return str(event.get("event", "event"))
    return type(event).__name__
