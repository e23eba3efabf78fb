"""A daemon that looks at its clock five times a second, as tests move it.

`python -m tests.monitoring.hasty_daemon FILE HOURS` works until SIGTERM; the file HOURS says by how
many hours its clock is ahead.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import click
from attrs import frozen

from crypto_lakehouse.cli.signals import run_until_signal
from crypto_lakehouse.workflows import Daemon, load_schedules


@frozen
class HastyClock:
    """A clock that never pauses for long.

    Attributes:
        hours: By how many hours it is ahead of that of the system.
    """

    hours: Path

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(hours=float(self.hours.read_text()))

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(min(seconds, 0.2))


async def main(*arguments: str) -> None:
    """Run the pipelines of a file."""
    file, hours = arguments
    pipelines = await load_schedules(file)
    daemon = Daemon(
        pipelines,
        clock=HastyClock(Path(hours)),
        say=lambda name, text: click.echo(f"{name}: {text}"),
        done=lambda name, report: click.echo(f"{name}: {report}"),
    )
    await run_until_signal(daemon, "stopping")


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
