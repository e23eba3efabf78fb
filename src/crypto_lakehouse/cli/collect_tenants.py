"""`crypto-lakehouse collect` for all tenants of a file at once, with a report of each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from crypto_lakehouse.cli.json_output import failure_of, json_line
from crypto_lakehouse.cli.late_warnings import late_warnings
from crypto_lakehouse.cli.lock_wait import LockWait
from crypto_lakehouse.cli.streams import LoggedStream
from crypto_lakehouse.cli.unused_options import refuse_beside, refuse_unused_keys
from crypto_lakehouse.core.config.profiles import PRODUCTION
from crypto_lakehouse.core.metrics import ByteMeter
from crypto_lakehouse.core.visible import visible, visible_lines

if TYPE_CHECKING:
    from crypto_lakehouse.core.errors import LakehouseError
    from crypto_lakehouse.workflows.composition import StepReport
    from crypto_lakehouse.workflows.tenants.tenant_runs import TenantRun, TenantsWorkflow

__all__ = ["collect_tenants"]

#: Options whose file or whose output would be that of all tenants.
_OF_ONE = ("events", "dry_run", "output_directory", "state_directory", "metrics_textfile")


async def collect_tenants(
    values: Mapping[str, Any],
    overrides: Mapping[str, Any],
    given: dict[str, Any],
    log: Callable[..., None],
) -> int:
    """Run the collections of all tenants at once, and print the report of each.

    Args:
        values: The file.
        overrides: What options give.
        given: The options.
        log: Configures the log, with `is_production`.

    Returns:
        The worst exit code of a tenant.
    """
    from crypto_lakehouse.cli.signals import run_until_signal
    from crypto_lakehouse.cli.streams import print_report
    from crypto_lakehouse.workflows.tenants.loading import load_tenants
    from crypto_lakehouse.workflows.tenants.tenant_runs import TenantsWorkflow
    from crypto_lakehouse.workflows.wiring.open_files import make_room_for_connections
    from crypto_lakehouse.workflows.wiring.transport_stack import wanted_parallel

    refuse_beside("several tenants (name one with --tenant)", *_OF_ONE)
    tenants = await load_tenants(values, overrides, ingest=given["ingest"])
    configs = [each.config for each in tenants.values()]
    for each in tenants.values():
        refuse_unused_keys(each.config, each.lake.lake if each.lake else None)
    if not given["log_format"]:
        log(is_production=configs[0].environment == PRODUCTION)
    make_room_for_connections(sum(map(wanted_parallel, configs)))
    workflow = TenantsWorkflow(
        tenants,
        run_of=partial(_run_of, given),
        fill=given["with_fill"],
        say=partial(_say, given, ""),
        tell=partial(_tell, given),
    )
    await run_until_signal(workflow, "stopping; what is verified is kept")
    code, text = _end(workflow, given)
    return code if print_report(text) else code or 1


def _run_of(given: dict[str, Any], name: str) -> TenantRun:
    from crypto_lakehouse.sinks.lines import LinesSink
    from crypto_lakehouse.workflows.tenants.tenant_runs import TenantRun

    meter, quiet = ByteMeter(), given["quiet"]
    is_logged = isinstance(sys.stderr, LoggedStream)
    lines = LinesSink(meter, quiet=quiet, is_logged=is_logged, stream=_Lines(name))
    begin = partial(_say, given, name)
    return TenantRun(sinks=[lines], meter=meter, on_begin=begin, on_held=LockWait(given["wait"]))


class _Lines:
    """Standard error, with the name of a tenant before each line."""

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant

    def write(self, line: str) -> int:
        """Write a line."""
        return sys.stderr.write(f"{self._tenant}: {line}")

    def flush(self) -> None:
        """Hand over what is written."""
        sys.stderr.flush()


def _say(given: dict[str, Any], name: str, sentence: str) -> None:
    if not given["quiet"]:
        click.echo(visible(f"{name}: {sentence}" if name else f"note: {sentence}"), err=True)


def _tell(given: dict[str, Any], name: str, report: StepReport | None) -> None:
    if report is None:
        _say(given, name, "begins")
        return
    for warning in late_warnings(report.report):
        click.echo(visible(f"warning: {name}: {warning}"), err=True)
    if report.error:
        click.echo(visible_lines(f"error: {name}: {_reason(report)}"), err=True)


def _reason(report: StepReport) -> str:
    from crypto_lakehouse.cli.failures import message_of
    from crypto_lakehouse.core.redaction import redact

    failure: LakehouseError | None = report.failure
    return message_of(failure) if failure else redact(report.error)


def _end(workflow: TenantsWorkflow, given: dict[str, Any]) -> tuple[int, str]:
    """Return the exit code, and the reports as they are printed."""
    from crypto_lakehouse.workflows.tenants.tenant_runs import worst_exit_code

    report = workflow.report()
    codes = {step.name: _code(workflow, step, strict=given["strict"]) for step in report.steps}
    code = worst_exit_code([*codes.values()])
    if given["as_json"]:
        tenants = {
            step.name: {"exit_code": codes[step.name], **_mapping(workflow, step)}
            for step in report.steps
        }
        head = {"workflow": report.workflow, "status": report.status, "exit_code": code}
        return code, json_line({**head, "tenants": tenants})
    return code, "\n".join(f"{step.name}: {_text(workflow, step)}" for step in report.steps)


def _code(workflow: TenantsWorkflow, step: StepReport, *, strict: bool) -> int:
    from crypto_lakehouse.cli.collect_ingest import exit_code_of
    from crypto_lakehouse.workflows.collect_and_ingest import CollectAndIngest

    run = workflow.steps[step.name].workflow
    if step.report is None:
        return step.exit_code
    if isinstance(run, CollectAndIngest):
        return exit_code_of(run, step.report, strict=strict)
    return int(step.report.strict_exit_code if strict else step.exit_code)


def _mapping(workflow: TenantsWorkflow, step: StepReport) -> dict[str, Any]:
    from crypto_lakehouse.cli.collect_ingest import mapping_of
    from crypto_lakehouse.workflows.collect_and_ingest import CollectAndIngest

    run: Any = workflow.steps[step.name].workflow
    if step.report is None:
        return failure_of(_reason(step), step.exit_code)
    if isinstance(run, CollectAndIngest):
        return mapping_of(run, step.report)
    return {**({"error": _reason(step)} if step.error else {}), **step.report.to_mapping()}


def _text(workflow: TenantsWorkflow, step: StepReport) -> str:
    from crypto_lakehouse.cli.collect_ingest import text_of
    from crypto_lakehouse.cli.render import report_text
    from crypto_lakehouse.workflows.collect_and_ingest import CollectAndIngest

    run: Any = workflow.steps[step.name].workflow
    if step.report is None:
        return f"{step.state}: {_reason(step)}"
    if isinstance(run, CollectAndIngest):
        return text_of(run)
    return report_text(step.report, run.config.output_directory)
