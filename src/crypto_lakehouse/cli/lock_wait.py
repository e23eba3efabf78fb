"""`--wait`: let a command wait for the run that holds its lock."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from crypto_lakehouse.core.config.quantities import parse_quantity
from crypto_lakehouse.core.messages import shown

__all__ = ["output_lock_of", "wait_for_lock", "wait_for_lock_now", "wait_option"]

#: How often it is tried to take the lock, in seconds. Some file systems offer no way to be woken.
_EVERY_S = 0.5

_FOREVER = "for ever"


#: The full name of a table, which no duration looks like.
_TABLE = re.compile(r"[A-Za-z_]\w*\.[A-Za-z_]\w*")


class _WaitOption(click.Option):
    """An option that leaves a table's name behind it to the command: `--wait spot.klines`."""

    def handle_parse_result(
        self, ctx: click.Context, opts: Any, args: list[str]
    ) -> tuple[Any, list[str]]:
        """Process the option; click does so before the command's arguments."""
        text = opts.get(self.name)
        names = [each.name for each in ctx.command.params if each.nargs == -1]
        if names and isinstance(text, str) and _TABLE.fullmatch(text):
            others = opts.get(names[0])  # click's own mark for "not given", if there are none
            opts[names[0]] = (text, *(others if isinstance(others, tuple) else ()))
            opts[self.name] = _FOREVER
        return super().handle_parse_result(ctx, opts, args)


def _seconds(_: click.Context, option: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    if text == _FOREVER:
        return math.inf
    try:
        quantity = parse_quantity(text, "seconds")
        seconds = float(text) if quantity is None else float(quantity)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        reason = (
            f"`{shown(text)}` is not a duration; write it as --wait=30s or --wait=10m, or write "
            "--wait alone behind all arguments"
        )
        raise click.BadParameter(reason, param=option)
    return seconds


#: The option; without a value it waits for ever.
wait_option = click.option(
    "--wait",
    cls=_WaitOption,
    is_flag=False,
    flag_value=_FOREVER,
    metavar="[DURATION]",
    callback=_seconds,
    help="Wait for another run to end instead of exiting with 11, at most for DURATION, as "
    "--wait=10m.",
)


async def wait_for_lock(path: Path, within_s: float | None) -> None:
    """Wait until no other run holds a lock, and take it for the run of this process.

    If the time is over, the run itself will be refused.

    Args:
        path: The lock.
        within_s: How long to wait; None to not wait, infinite to wait for ever.
    """
    import anyio

    for pause_s in _pauses(path, within_s):
        await anyio.sleep(pause_s)


def wait_for_lock_now(path: Path, within_s: float | None) -> None:
    """Wait in the same way; blocking."""
    for pause_s in _pauses(path, within_s):
        time.sleep(pause_s)


def _pauses(path: Path, within_s: float | None) -> Iterator[float]:
    """Yield how many seconds to pause before the next attempt, until it is over."""
    from crypto_lakehouse.ledger.lock import holder_of, keep_lock

    if within_s is None or keep_lock(path):
        return
    who = holder_of(path) or "another run"
    click.echo(f"note: waiting for {who}, which holds the lock `{path}`", err=True)
    deadline = time.monotonic() + within_s
    while (left_s := deadline - time.monotonic()) > 0:
        yield min(_EVERY_S, left_s)
        if keep_lock(path):
            return


def output_lock_of(config: Any) -> Path:
    """The lock of a configuration's output directory."""
    from crypto_lakehouse.stores.state import StateFolder

    lock: Path = StateFolder(Path(config.output_directory)).lock
    return lock
