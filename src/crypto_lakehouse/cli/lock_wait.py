"""`--wait`: let a command wait for the run that holds its lock."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import define, field

from crypto_lakehouse.cli.durations import seconds_of
from crypto_lakehouse.core.messages import shown

if TYPE_CHECKING:
    from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
    from crypto_lakehouse.core.errors import LockHeldError

__all__ = ["LockWait", "output_lock_of", "wait_option", "wait_option_with"]

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
    seconds = seconds_of(text)
    if math.isnan(seconds):
        reason = (
            f"`{shown(text)}` is not a duration; write it as --wait=30s or --wait=10m, or write "
            "--wait alone behind all arguments"
        )
        raise click.BadParameter(reason, param=option)
    return seconds


def wait_option_with(option: str) -> Callable[[Any], Any]:
    """The option of a command that takes a lock only with another option."""
    return _option(f"With {option}: wait for another run")


def _option(beginning: str) -> Callable[[Any], Any]:
    return click.option(
        "--wait",
        cls=_WaitOption,
        is_flag=False,
        flag_value=_FOREVER,
        metavar="[DURATION]",
        callback=_seconds,
        help=f"{beginning} to end instead of exiting with 11, at most for DURATION, as --wait=10m.",
    )


#: The option; without a value it waits for ever.
wait_option = _option("Wait for another run")


@define
class LockWait:
    """Waits for the runs that hold the locks of a command.

    Args:
        within_s: How long to wait for each lock; None to not wait, infinite to wait for ever.
        say: Says once for each lock which run it waits for.
    """

    within_s: float | None
    say: Callable[[str], None] = lambda text: click.echo(text, err=True)
    _left_s: dict[str, float] = field(init=False, factory=dict)

    async def before(self, path: Path) -> None:
        """Wait until no other run holds a lock, and take it for the run of this process.

        If the time is over, the run itself will be refused.
        """
        import anyio

        for pause_s in self._pauses(path):
            await anyio.sleep(pause_s)

    def before_now(self, path: Path) -> None:
        """Wait in the same way; blocking."""
        for pause_s in self._pauses(path):
            time.sleep(pause_s)

    async def __call__(self, held: LockHeldError) -> bool:
        """Pause because a run was refused a lock; return whether it should try again."""
        import anyio

        pause_s = self._pause(held.path, held)
        await anyio.sleep(pause_s)
        return pause_s > 0

    def _pauses(self, path: Path) -> Iterator[float]:
        """Yield how many seconds to pause before the next attempt, until it is over."""
        from crypto_lakehouse.ledger.lock import keep_lock

        if self.within_s is None:
            return
        while not keep_lock(path) and (pause_s := self._pause(str(path))):
            yield pause_s

    def _pause(self, path: str, held: LockHeldError | None = None) -> float:
        """The seconds until the next attempt; 0 if the time is over."""
        from crypto_lakehouse.ledger.lock import holder_of

        if self.within_s is None:
            return 0.0
        if path not in self._left_s:
            self._left_s[path] = self.within_s
            who, what = holder_of(Path(path)) or "another run", f"lock `{path}`"
            if held is not None and held.holder:
                who = held.holder
            if held is not None and held.remark:
                what = f"lease `{path}`; {held.remark}"
            self.say(f"note: waiting for {who}, which holds the {what}")
        pause_s = min(_EVERY_S, self._left_s[path])
        self._left_s[path] -= pause_s
        return pause_s


def output_lock_of(config: WorkflowConfig) -> Path:
    """The lock of a configuration's output."""
    from crypto_lakehouse.stores.output import output_of

    return output_of(config).state.lock
