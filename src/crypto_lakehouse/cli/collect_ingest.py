"""`crypto-lakehouse collect --ingest [--fill]`: workflows as one, with one report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from crypto_lakehouse.cli.json_output import json_line
from crypto_lakehouse.cli.late_warnings import say_late_warnings
from crypto_lakehouse.cli.monitoring import say_where

if TYPE_CHECKING:
    from crypto_lakehouse.cli.lock_wait import LockWait
    from crypto_lakehouse.sinks.progress_rows import ProgressRows
    from crypto_lakehouse.workflows.collect_and_ingest import CollectAndIngest
    from crypto_lakehouse.workflows.composition import CompositionReport, StepReport
    from crypto_lakehouse.workflows.lake_config import LakeConfig

__all__ = ["collect_and_ingest", "exit_code_of", "mapping_of", "text_of"]


async def collect_and_ingest(
    config: Any,
    lake: LakeConfig,
    sinks: Sequence[Any],
    meter: Any,
    rows: ProgressRows | None,
    wait: LockWait,
    given: dict[str, Any],
) -> int:
    """Collect, ingest verified archives while others are fetched, and print both results."""
    from crypto_lakehouse.cli.progress import step_display
    from crypto_lakehouse.cli.signals import run_until_signal
    from crypto_lakehouse.cli.streams import print_report
    from crypto_lakehouse.workflows.collect_and_ingest import CollectAndIngest
    from crypto_lakehouse.workflows.wiring.lake_at import lake_at

    await wait.before(lake_at(lake).lock)
    words = "stopping; what is verified and committed is kept"
    with step_display(quiet=given["quiet"], rows=rows) as display:

        def begin(note: str) -> None:
            if not given["quiet"]:
                display.print(f"note: {note}")

        workflow = CollectAndIngest(
            config, lake, sinks=sinks, meter=meter, on_begin=begin, on_progress=display.show,
            on_end=display.close, on_held=wait, fill=given["with_fill"],
        )  # fmt: skip
        workflow.monitoring.say = say_where(config, quiet=given["quiet"])
        metrics = await run_until_signal(workflow, words)
    code = exit_code_of(workflow, metrics.report, strict=given["strict"])
    say_late_warnings(metrics.report)
    for step in metrics.report.steps:
        if step.error:
            click.echo(f"error: {step.name}: {_reason(step)}", err=True)
    if given["as_json"]:
        mapping = mapping_of(workflow, metrics.report)
        has_failed = "error" in mapping or "error" in mapping["ingest"]
        text = json_line({**({"exit_code": code} if has_failed else {}), **mapping})
    else:
        text = text_of(workflow)
    return code if not text or print_report(text) else code or 1


#: The exit code of a collection that lacks archives.
_HOLES = 3


def exit_code_of(workflow: CollectAndIngest, report: CompositionReport, *, strict: bool) -> int:
    """The exit code of the collection, as `collect` alone has it, or else of the ingestion.

    A fill that ended early, as if the exchange refuses, is said before the holes that it left.
    """
    collected = workflow.collected
    if strict and collected is not None and collected.strict_exit_code:
        return int(collected.strict_exit_code)
    if not workflow.archive_holes_left:
        rest = [step.exit_code for step in report.steps if step.name != "collect"]
        return next((code for code in rest if code), 0)
    filled = next((step.exit_code for step in report.steps if step.name == "fill"), 0)
    return int(filled if report.exit_code == _HOLES and filled else report.exit_code)


def text_of(workflow: CollectAndIngest) -> str:
    """The reports of both, or of the one that has a report."""
    from crypto_lakehouse.cli.fill import fill_text
    from crypto_lakehouse.cli.ingest import ingest_text
    from crypto_lakehouse.cli.render import report_text

    texts = []
    if workflow.collected is not None:
        texts.append(report_text(workflow.collected, workflow.config.output_directory))
    if workflow.filled is not None:
        texts.append(fill_text(workflow.filled))
    if workflow.ingested is not None:
        texts.append(ingest_text(workflow.ingested))
    return "\n".join(texts)


def mapping_of(workflow: CollectAndIngest, report: CompositionReport) -> dict[str, Any]:
    """The object of `collect --json`, the fill's under `fill`, the ingestion's under `ingest`."""
    steps = {step.name: step for step in report.steps}
    collect, ingest = steps["collect"], steps["ingest"]
    collection: Any = workflow.steps["collect"].workflow
    collected = collect.results or collection.report(_reason(collect)).to_mapping()
    parts = dict(ingest.results)
    if workflow.ingested is not None:
        parts = workflow.ingested.to_mapping()
    if ingest.error and "error" not in parts:
        parts = {"error": _reason(ingest), **parts}
    filled = (
        {"fill": {"state": steps["fill"].state, **_filled(steps["fill"])}}
        if "fill" in steps
        else {}
    )
    return {**collected, **filled, "ingest": {"state": ingest.state, **parts}}


def _filled(fill: StepReport) -> dict[str, Any]:
    error = {"error": _reason(fill)} if fill.error else {}
    return {**fill.results, **error}


def _reason(step: StepReport) -> str:
    from crypto_lakehouse.cli.failures import message_of
    from crypto_lakehouse.core.redaction import redact

    return message_of(step.failure) if step.failure else redact(step.error)
