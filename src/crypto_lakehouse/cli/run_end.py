"""How `fill` and `record` end: the error, the report, and the exit code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import click

from crypto_lakehouse.cli.failures import message_of
from crypto_lakehouse.cli.json_output import failure_of, json_line
from crypto_lakehouse.cli.late_warnings import say_late_warnings

__all__ = ["run_to_end"]


async def run_to_end(
    workflow: Any,
    words: str,
    text_of: Callable[[Any], str],
    *,
    as_json: bool,
    has_warnings: bool = False,
    on_hangup: Callable[[], Awaitable[None]] | None = None,
) -> int:
    """Run a workflow until its end or a signal, print its report, and return the exit code.

    An error that ends the run is said on standard error; with `as_json`, the report has it as well.

    Args:
        workflow: It has `run()`, `stop(exit_code)`, and `report(error)`, a `RunReport`.
        words: The message when it is stopped.
        text_of: Returns the report as text.
        as_json: Whether the report is printed as one JSON object.
        has_warnings: Whether the report has warnings that have not been shown.
        on_hangup: As in `run_until_signal`.
    """
    from crypto_lakehouse.cli.signals import run_until_signal
    from crypto_lakehouse.cli.streams import print_report
    from crypto_lakehouse.core.errors import LakehouseError

    try:
        report = (await run_until_signal(workflow, words, on_hangup)).report
        code, text = int(report.exit_code), text_of(report)
    except LakehouseError as error:
        report, code, text = workflow.report(message_of(error)), error.exit_code, ""
    for warning in report.warnings if has_warnings else ():
        click.echo(f"warning: {warning}", err=True)
    say_late_warnings(report)
    if report.error:
        click.echo(f"error: {report.error}", err=True)
    if as_json:
        failure = failure_of(report.error, code) if report.error else {}
        text = json_line({**failure, **report.to_mapping()})
    return code if not text or print_report(text) else code or 1
