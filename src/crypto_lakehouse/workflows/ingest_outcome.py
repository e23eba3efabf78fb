"""How an ingestion ends: what its results add up to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import define, evolve, field

from crypto_lakehouse.core.table_events import ArchiveIngested, TableCommitted
from crypto_lakehouse.workflows.lake_config import LakeConfig
from crypto_lakehouse.workflows.lake_report import RECORDED, IngestReport, TableTotals

if TYPE_CHECKING:
    from crypto_lakehouse.tables.ingest.day_scores import DayScore
    from crypto_lakehouse.tables.ingest.ingested import Ingested
    from crypto_lakehouse.tables.ingest.recorded_seams import Reviewed

__all__ = ["IngestOutcome", "committed_event", "ingested_event"]

#: How many problems and reviewed archives a report names.
_FIRST = 100


@define
class IngestOutcome:
    """The outcome of one ingestion, as far as it is known.

    Attributes:
        notes: Remarks for the reader.
        arriving: How many archives a collection that has not ended has not settled yet.
        mended_files: How many data files that were gone or damaged were replaced.
    """

    notes: tuple[str, ...] = ()
    arriving: int = 0
    mended_files: int = 0
    _tables: dict[str, TableTotals] = field(init=False, factory=dict)
    _verdicts: Counter[str] = field(init=False, factory=Counter)
    _problems: list[dict[str, str]] = field(init=False, factory=list)
    _problem_count: int = field(init=False, default=0)
    _reviewed: list[dict[str, str]] = field(init=False, factory=list)
    _reviewed_count: int = field(init=False, default=0)
    _refusals: defaultdict[str, set[str]] = field(init=False, factory=lambda: defaultdict(set))

    def add_plan(self, table: str, unchanged: int, covered: int) -> None:
        """Add what needs no work.

        Args:
            table: The table.
            unchanged: Archives that are there already, in this version.
            covered: Archives whose month has the same rows.
        """
        totals = self._tables.get(table, TableTotals(table=table))
        self._tables[table] = evolve(totals, unchanged=unchanged, covered=totals.covered + covered)

    def add_recorded(self, table: str, unchanged: int, covered: int) -> None:
        """Add planned archives that another machine has ingested meanwhile, as in `add_plan`."""
        before = self._tables.get(table, TableTotals(table=table)).unchanged
        self.add_plan(table, before + unchanged, covered)

    def add_review(self, reviewed: Reviewed) -> None:
        """Add an archive of an earlier run whose verdict or findings have changed."""
        self._verdicts[reviewed.verdict] += 1
        self._reviewed_count += 1
        if len(self._reviewed) < _FIRST:
            key, verdict = reviewed.archive.key, reviewed.verdict
            self._reviewed.append({"key": key, "verdict": verdict, "reason": reviewed.reason})

    def add(self, ingested: Ingested) -> None:
        """Add the result of an archive."""
        if ingested.state == "arriving":
            self.arriving += 1
            return
        if ingested.state in {"ingested", "superseded"}:
            totals = self._tables.get(ingested.table, TableTotals(table=ingested.table))
            covered = ingested.state == "superseded"
            changes = ingested.changes
            self._tables[ingested.table] = evolve(
                totals,
                archives=totals.archives + (not covered),
                covered=totals.covered + covered,
                rows=totals.rows + ingested.rows,
                replaced=totals.replaced + ingested.replaced,
                rows_added=totals.rows_added + changes.added,
                rows_changed=totals.rows_changed + changes.changed,
                rows_removed=totals.rows_removed + changes.removed,
                rows_differing=totals.rows_differing + ingested.differing,
            )
            self._verdicts[ingested.quality.verdict] += 1
        else:
            reason = ingested.quality.fault or "; ".join(
                each.sentence for each in ingested.quality.findings
            )
            self.add_refusal(ingested.table, ingested.archive.key, ingested.state, reason)

    def add_refusal(self, table: str, key: str, state: str, reason: str) -> None:
        """Add an archive that is refused, quarantined or held back."""
        totals = self._tables.get(table, TableTotals(table=table))
        self._tables[table] = evolve(totals, refused=totals.refused + 1)
        if state in RECORDED:
            self._refusals[table].add(key)
        self.add_problem(key, state, reason)

    def add_unrecorded(self, table: str, key: str, reason: str) -> None:
        """Add an archive whose record, or whose differences, are lost."""
        self._refusals[table].add(key)
        self.add_problem(key, "unrecorded", reason)

    def add_problem(self, key: str, state: str, reason: str) -> None:
        """Add something that is not in its table, and why."""
        self._problem_count += 1
        if len(self._problems) < _FIRST:
            self._problems.append({"key": key, "state": state, "reason": reason})

    def report(
        self,
        workflow: str,
        config: LakeConfig,
        *,
        notes: Sequence[str],
        duration_s: float,
        stop_code: int | None,
        error: str,
    ) -> IngestReport:
        """Return a report of what is known so far.

        Args:
            workflow: The name of the workflow.
            config: The configuration of the run.
            notes: Further remarks.
            duration_s: How long the run has taken.
            stop_code: The exit code of a run that was stopped; None if it was not.
            error: Why the run failed; empty if it did not.
        """
        status = "partial" if self._problem_count else "complete"
        if error:
            status = "failed"
        elif stop_code is not None:
            status = "interrupted"
        return IngestReport(
            workflow=workflow,
            status=status,
            lake=str(config.lake_url or config.lake_folder),
            tables=tuple(self._tables[name] for name in sorted(self._tables)),
            verdicts=self._verdicts,
            problems=tuple(self._problems),
            problem_count=self._problem_count,
            refusals=self._refusals,
            reviewed=tuple(self._reviewed),
            reviewed_count=self._reviewed_count,
            arriving=self.arriving,
            mended_files=self.mended_files,
            notes=(*self.notes, *notes),
            format=config.format,
            duration_seconds=duration_s,
            stop_code=stop_code,
            error=error,
        )


def ingested_event(ingested: Ingested) -> ArchiveIngested:
    """Return the result of an archive as metrics count it."""
    return ArchiveIngested(
        archive=ingested.archive, table=ingested.table, state=ingested.state, rows=ingested.rows
    )


def committed_event(table: str, scores: Sequence[DayScore]) -> TableCommitted:
    """Return a commit as metrics count it.

    Args:
        table: The table.
        scores: The days of which archives were compared with recordings.
    """
    return TableCommitted(
        table=table,
        scored_rows=sum(score.archive_rows for score in scores),
        recorded_rows=sum(score.recorded - score.differing for score in scores),
    )
