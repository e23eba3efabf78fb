"""`crypto-lakehouse collect --ingest`: two workflows as one, with one report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from crypto_lakehouse.cli.json_output import json_line

if TYPE_CHECKING:
    from crypto_lakehouse.sinks.progress_rows import ProgressRows
    from crypto_lakehouse.workflows.collect_and_ingest import CollectAndIngest
    from crypto_lakehouse.workflows.composition import CompositionReport, StepReport

__all__ = ["collect_and_ingest"]


async def collect_and_ingest(
    config: Any,
    sinks: Sequence[Any],
    meter: Any,
    rows: ProgressRows | None,
    given: dict[str, Any],
) -> int:
    """Collect, ingest verified archives while others are fetched, and print both results."""
    from crypto_lakehouse.cli.ingest import ingest_text
    from crypto_lakehouse.cli.lock_wait import wait_for_lock
    from crypto_lakehouse.cli.progress import step_display
    from crypto_lakehouse.cli.render import report_text
    from crypto_lakehouse.cli.signals import run_until_signal
    from crypto_lakehouse.workflows.collect_and_ingest import CollectAndIngest
    from crypto_lakehouse.workflows.lake_config import LakeConfig

    lake = LakeConfig(output_directory=config.output_directory)
    await wait_for_lock(lake.lake_folder / "lock", given["wait"])
    words = "stopping; what is verified and committed is kept"
    with step_display(quiet=given["quiet"], rows=rows) as display:

        def begin(note: str) -> None:
            if not given["quiet"]:
                display.print(f"note: {note}")

        workflow = CollectAndIngest(
            config, lake, sinks=sinks, meter=meter, on_begin=begin, on_progress=display.show,
            on_end=display.close,
        )  # fmt: skip
        metrics = await run_until_signal(workflow, words)
    report = metrics.report
    if given["as_json"]:
        click.echo(json_line(_mapping(workflow, report)))
    else:
        for step in report.steps:
            if step.error:
                click.echo(f"error: {step.name}: {_reason(step)}", err=True)
        if workflow.collected is not None:
            click.echo(report_text(workflow.collected, config.output_directory))
        if workflow.ingested is not None:
            click.echo(ingest_text(workflow.ingested))
    return int(report.exit_code)


def _mapping(workflow: CollectAndIngest, report: CompositionReport) -> dict[str, Any]:
    """The object of `collect --json`, and the ingestion's under `ingest`."""
    collect, ingest = report.steps
    collection: Any = workflow.steps["collect"].workflow
    collected = collect.results or collection.report(_reason(collect)).to_mapping()
    parts = dict(ingest.results)
    if workflow.ingested is not None:
        parts = workflow.ingested.to_mapping()
    if ingest.error and "error" not in parts:
        parts = {"error": _reason(ingest), **parts}
    return {**collected, "ingest": {"state": ingest.state, **parts}}


def _reason(step: StepReport) -> str:
    from crypto_lakehouse.cli.options import named_by_options
    from crypto_lakehouse.core.redaction import redact

    return redact(str(named_by_options(step.failure) if step.failure else step.error))
