"""`crypto-lakehouse run`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import click

from crypto_lakehouse.cli.file_names import named_file
from crypto_lakehouse.cli.json_output import json_line
from crypto_lakehouse.cli.late_warnings import late_warnings
from crypto_lakehouse.cli.lock_wait import LockWait, wait_option
from crypto_lakehouse.cli.monitoring import naming_what_cannot_be_opened
from crypto_lakehouse.cli.unused_options import refuse_beside
from crypto_lakehouse.core.visible import visible, visible_lines

if TYPE_CHECKING:
    from crypto_lakehouse.core.config.pipelines import Pipeline
    from crypto_lakehouse.workflows.composition import CompositionReport, StepReport

__all__ = ["command", "step_text"]


@click.command("run", short_help="Run a pipeline of a configuration file.")
@click.argument("file", type=click.Path(), callback=named_file)
@click.argument("pipeline", required=False)
@click.option("--tenant", metavar="NAME", help="The tenant of the file, if it has some.")
@click.option("--dry-run", is_flag=True, help="Only check the file, and show the steps in order.")
@wait_option
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
@click.option("--quiet", "-q", is_flag=True, help="Only warnings and the result.")
def command(**given: Any) -> int:
    """Run a pipeline that the key `pipelines` of a configuration file declares.

    Each step runs what the command of its name does with that file: collect, fill, ingest,
    validate, verify, compact, expire. The whole file is checked before the first step begins.
    PIPELINE is needed if the file has several.

    The exit code is that of the first step that has another one than 0.

    \b
    Examples:
      crypto-lakehouse run pipelines.yaml
      crypto-lakehouse run pipelines.yaml nightly --wait=1h
      crypto-lakehouse run pipelines.yaml nightly --dry-run
    """  # noqa: D301 - click reads \b
    return anyio.run(partial(_run, given))


@naming_what_cannot_be_opened
async def _run(given: dict[str, Any]) -> int:
    from crypto_lakehouse.workflows.pipelines.declared import load_pipelines

    if given["dry_run"]:
        refuse_beside("--dry-run", "wait")
    file = await load_pipelines(given["file"], given["tenant"])
    ready = await file.ready(file.named(given["pipeline"]))
    if given["dry_run"]:
        _show(ready.declared, as_json=given["as_json"])
        return 0
    return await _run_ready(ready, given)


async def _run_ready(ready: Any, given: dict[str, Any]) -> int:
    from crypto_lakehouse.cli.signals import run_until_signal
    from crypto_lakehouse.cli.streams import print_report
    from crypto_lakehouse.workflows.pipelines.running import PipelineWorkflow

    def say(name: str, text: str) -> None:
        for line in text.split("\n"):
            click.echo(visible(f"{name}: {line}"), err=True)

    def tell(name: str, report: StepReport | None) -> None:
        if not given["quiet"]:
            say(name, "begins" if report is None else step_text(report))
        for warning in late_warnings(report and report.report):
            say(name, f"warning: {warning}")

    workflow = PipelineWorkflow(ready, tell=tell, say=say, on_held=LockWait(given["wait"]))
    workflow.monitoring.say = partial(say, ready.declared.name)
    words = "stopping; what is done is kept"
    report: CompositionReport = (await run_until_signal(workflow, words)).report
    code = report.exit_code
    text = json_line(report.to_mapping()) if given["as_json"] else _text(ready.declared, report)
    return code if print_report(text) else code or 1


def step_text(report: StepReport) -> str:
    """Return how a step ended, for a line.

    Examples:
        >>> from crypto_lakehouse.workflows.composition import StepReport
        >>> step_text(StepReport(name="collect", state="done", results={"status": "complete"}))
        'complete'
        >>> step_text(StepReport(name="fill", state="failed", error="no route", exit_code=5))
        'failed: no route'
    """
    status = str(report.results.get("status", report.state)) if report.state == "done" else ""
    counts = [(name, count) for name, count in _totals(report).items() if count]
    parts = ", ".join(f"{count:,} {_noun(name, count)}" for name, count in counts)
    text = status or report.state
    return text + (f": {report.error}" if report.error else f": {parts}" if parts else "")


def _totals(report: StepReport) -> dict[str, int]:
    totals = report.results.get("totals", {})
    return {name: count for name, count in totals.items() if isinstance(count, int)}


def _noun(name: str, count: int) -> str:
    """Return the name of a total as it agrees with its count."""
    return (name.removesuffix("s") if count == 1 else name).replace("_", " ")


def _text(pipeline: Pipeline, report: CompositionReport) -> str:
    lines = [f"{each.name}: {step_text(each)}" for each in report.steps]
    return "\n".join(map(visible_lines, [*lines, f"{pipeline.name}: {report.status}"]))


def _show(pipeline: Pipeline, *, as_json: bool) -> None:
    from graphlib import TopologicalSorter

    steps = {step.name: step for step in pipeline.steps}
    graph = TopologicalSorter({name: step.needs for name, step in steps.items()})
    order = [steps[name] for name in graph.static_order()]
    if as_json:
        rows = [
            {"step": each.name, "run": each.kind, "needs": each.needs, "retries": each.retry.times}
            for each in order
        ]
        click.echo(json_line({"pipeline": pipeline.name, "steps": rows}))
        return
    from crypto_lakehouse.cli.render import print_table

    cells = [(each.name, str(each.kind), ", ".join(each.needs), each.retry.times) for each in order]
    print_table(f"pipeline {pipeline.name}", ("step", "runs", "needs", "retries"), cells)
