"""`crypto-lakehouse daemon`."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import click

from crypto_lakehouse.cli.file_names import named_file
from crypto_lakehouse.cli.late_warnings import late_warnings
from crypto_lakehouse.cli.lock_wait import LockWait, wait_option
from crypto_lakehouse.cli.monitoring import naming_what_cannot_be_opened
from crypto_lakehouse.core.visible import visible

if TYPE_CHECKING:
    from crypto_lakehouse.workflows.composition import CompositionReport, StepReport
    from crypto_lakehouse.workflows.daemon.daemon import ScheduledPipelines

__all__ = ["command"]

#: How many times of each pipeline `--dry-run` shows.
_SHOWN_TIMES = 3


@click.command("daemon", short_help="Run pipelines by their schedules, until it is stopped.")
@click.argument("file", type=click.Path(), callback=named_file)
@click.option("--tenant", metavar="NAME", help="The tenant of the file, if it has some.")
@click.option("--dry-run", is_flag=True, help="Only check the file, and show the next times.")
@wait_option
@click.option("--quiet", "-q", is_flag=True, help="Only what fails, and how each pipeline ends.")
def command(**given: Any) -> int:
    """Run the pipelines of a configuration file by their schedules, until it is stopped.

    A pipeline has a schedule if it has the key `schedule`, a cron expression, or `every`. Its steps
    are those of `run`. Each line on standard error begins with the time. One daemon works with an
    output; the other commands may run beside it, and hold their locks in turn (--wait).

    SIGTERM and Ctrl-C stop the steps that run, in order. SIGHUP reads the file again.

    \b
    Examples:
      crypto-lakehouse daemon schedules.yaml --dry-run
      crypto-lakehouse daemon schedules.yaml --wait=1h
    """  # noqa: D301 - click reads \b
    return anyio.run(partial(_daemon, given))


@naming_what_cannot_be_opened
async def _daemon(given: dict[str, Any]) -> int:
    from crypto_lakehouse.cli.signals import run_until_signal
    from crypto_lakehouse.workflows.daemon.daemon import Daemon, load_schedules

    pipelines = await load_schedules(given["file"], given["tenant"])
    if given["dry_run"]:
        _show(pipelines)
        return 0

    def tell(name: str, step: str, report: StepReport | None) -> None:
        if not given["quiet"]:
            from crypto_lakehouse.cli.run import step_text

            _say(f"{name}.{step}", "begins" if report is None else step_text(report))
        for warning in late_warnings(report and report.report):
            _say(f"{name}.{step}", f"warning: {warning}")

    daemon = Daemon(
        pipelines,
        say=_say,
        due=(lambda *_: None) if given["quiet"] else _say,
        tell=tell,
        done=_ended,
        on_held=lambda name: LockWait(given["wait"], say=partial(_say, name)),
    )

    async def reload() -> None:
        if await daemon.reload(given["file"]):
            _say("", "the configuration was read again")

    code: int = await run_until_signal(
        daemon, "stopping; what is done is kept", reload, say=partial(_say, "")
    )
    return code


def _say(name: str, text: str) -> None:
    now = datetime.now(UTC)
    subject = f"{name}: " if name else ""
    for line in text.split("\n"):
        click.echo(visible(f"{now:%Y-%m-%dT%H:%M:%SZ} {subject}{line}"), err=True)


def _ended(name: str, report: CompositionReport) -> None:
    bad = [f"{step.name} {step.state}" for step in report.steps if step.state != "done"]
    more = f" ({', '.join(bad)})" if bad else ""
    _say(name, f"{report.status}, exit code {report.exit_code}{more}")


def _show(pipelines: ScheduledPipelines) -> None:
    from crypto_lakehouse.cli.render import print_table
    from crypto_lakehouse.workflows.daemon.times import due_after

    rows = []
    for name in pipelines.ready:
        schedule, moment, times = pipelines.schedule(name), datetime.now(UTC), list[str]()
        while schedule is not None and len(times) < _SHOWN_TIMES:
            moment = due_after(schedule, moment)
            times.append(f"{moment:%Y-%m-%dT%H:%M:%SZ}")
        rows.append((name, *times))
    print_table("due, in UTC", ("pipeline", "next", "then", "then"), rows)
