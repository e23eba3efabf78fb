"""Warnings that come when a run is done, and are said at its end: nothing shows progress then."""

from __future__ import annotations

from typing import Any

import click

from crypto_lakehouse.core.visible import visible

__all__ = ["late_warnings", "say_late_warnings"]


def say_late_warnings(report: Any) -> None:
    """Write those of a report to standard error, a line for each."""
    for warning in late_warnings(report):
        click.echo(visible(f"warning: {warning}"), err=True)


def late_warnings(report: Any) -> list[str]:
    """Return those of a report and, of a composition, those of its steps.

    A metrics file that cannot be written, as an example, or telemetry that was not received.
    """
    steps = (late_warnings(step.report) for step in getattr(report, "steps", ()))
    return [*getattr(report, "late_warnings", ()), *(each for found in steps for each in found)]
