"""How a collection ends: what its events add up to, and what ended it early."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from attrs import define, field

from crypto_lakehouse.core.messages import agreeing
from crypto_lakehouse.core.metrics import MetricsCollector
from crypto_lakehouse.core.report import CollectionReport, success_rate
from crypto_lakehouse.core.verdicts import SUCCESSES, Verdict
from crypto_lakehouse.ledger.place import LedgerPlace

__all__ = ["RunOutcome", "unfinished_note"]


@define
class RunOutcome:
    """The outcome of one run, as far as it is known.

    Attributes:
        workflow: The name of the workflow.
        run_id: The run.
        counts: The sums of its events.
        stop_code: The exit code of a run that was ended early; None if it was not.
        stop_reason: Why the run ended itself; empty if it did not.
        has_failed: Whether an error has ended the run.
        late_warnings: Warnings that came when all sinks were closed.
    """

    workflow: str
    run_id: str
    counts: MetricsCollector = field(factory=MetricsCollector)
    stop_code: int | None = None
    stop_reason: str = ""
    has_failed: bool = False
    late_warnings: list[str] = field(factory=list)

    @contextmanager
    def noting_errors(self) -> Iterator[None]:
        """Note an error that ends the run: what was verified before makes it no success."""
        try:
            yield
        except Exception:
            self.has_failed = True
            raise

    def status(self, unlisted: Sequence[str]) -> str:
        """Return how the run ended.

        Args:
            unlisted: What the source did not list, so that the plan may lack archives.
        """
        if self.stop_code is not None:
            return "interrupted"
        if self.has_failed:
            return "failed"
        verdicts = self.counts.verdicts - self.counts.acknowledged
        if not (verdicts[Verdict.MISSING] or verdicts[Verdict.CORRUPT] or verdicts[Verdict.FAILED]):
            return "partial" if unlisted else "complete"
        return "partial" if any(verdicts[verdict] for verdict in SUCCESSES) else "failed"

    def report(self, unlisted: Sequence[str], error: str = "") -> CollectionReport:
        """Return a report of what is known so far.

        Args:
            unlisted: As in `status`.
            error: Why the run failed; empty if it did not.
        """
        totals = self.counts.totals()
        is_short = bool(error or unlisted or self.stop_code is not None)
        return CollectionReport(
            workflow=self.workflow,
            status="failed" if error else self.status(unlisted),
            totals=totals,
            success_rate=success_rate(
                totals, self.counts.acknowledged.total(), has_failed=is_short
            ),
            bytes=self.counts.fetched_bytes,
            duration_seconds=self.counts.duration_s,
            problems=tuple(self.counts.problems),
            warnings=(*self.counts.warnings, *self.late_warnings),
            late_warnings=tuple(self.late_warnings),
            error=error or self.stop_reason,
            run_id=self.run_id,
            stop_code=self.stop_code,
            unlisted=tuple(unlisted),
            acknowledged=dict(self.counts.acknowledged),
        )


def unfinished_note(ledger: LedgerPlace) -> list[str]:
    """Remove the unfinished bodies of earlier runs from the ledger of an object store; blocking.

    Returns:
        A remark if there were any.
    """
    count = ledger.forget_unfinished()
    if not count:
        return []
    text = (
        f"{count} large bod[y|ies] of an earlier run [was|were] not finished; an object store "
        "cannot resume [it|them], and [it|they] begin[s|] again"
    )
    return [agreeing(count, text)]
