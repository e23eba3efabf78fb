"""How a command that fails as a whole ends: a message, one JSON object with `--json`, exit code."""

from __future__ import annotations

import io
import sys
import traceback
from collections.abc import Sequence
from itertools import pairwise, takewhile

import click

from crypto_lakehouse.cli.json_output import failure_of, json_line
from crypto_lakehouse.cli.streams import give_up_stdout
from crypto_lakehouse.core.errors import LakehouseError
from crypto_lakehouse.core.messages import did_you_mean, shown
from crypto_lakehouse.core.os_error_hints import exit_code_of
from crypto_lakehouse.core.redaction import redact, redact_environment
from crypto_lakehouse.core.task_groups import first_leaf
from crypto_lakehouse.core.visible import visible_lines
from crypto_lakehouse.stores.os_errors import REFUSALS, what_to_do

__all__ = ["message_of", "print_failure", "say_failure"]

_INTERRUPTED = "interrupted"
_FAULT = "this is a fault in crypto-lakehouse; please report it"


def message_of(error: LakehouseError) -> str:
    """Return the message, with the options that wrong values were given by, without secrets."""
    from crypto_lakehouse.cli.options import named_by_options

    return redact(str(named_by_options(error)))


def say_failure(error: Exception | KeyboardInterrupt | SystemExit) -> tuple[int, str]:
    """Print to standard error why a command failed.

    Returns:
        The exit code, and the message.
    """
    if isinstance(error, click.NoSuchOption):
        error = _with_nearest(error)
    if isinstance(error, click.ClickException):
        text = io.StringIO()
        error.show(text)
        click.echo(redact(text.getvalue()), err=True, nl=False)
        return error.exit_code, redact(error.format_message())
    if isinstance(error, LakehouseError):
        message, code = message_of(error), error.exit_code
    elif isinstance(error, (KeyboardInterrupt, click.exceptions.Abort)):
        return 130, _INTERRUPTED
    elif isinstance(error, SystemExit):  # as SIGTERM raises it
        return error.code if isinstance(error.code, int) else 1, _INTERRUPTED
    else:
        message, code = _of_the_system(error)
    click.echo(f"error: {visible_lines(message)}", err=True)
    return code, message


def _with_nearest(error: click.NoSuchOption) -> click.UsageError:
    """The error with the nearest option of the command alone; click names up to three."""
    parameters = [] if error.ctx is None else error.ctx.command.get_params(error.ctx)
    options = {name for each in parameters for name in each.opts if name.startswith("--")}
    hint = did_you_mean(error.option_name, sorted(options))
    return click.UsageError(f"no such option: `{shown(error.option_name)}`{hint}", error.ctx)


def _of_the_system(error: Exception) -> tuple[str, int]:
    """The message and exit code of an error that this program does not raise itself."""
    cause = first_leaf(error)
    if isinstance(cause, OSError) and cause.errno in REFUSALS:
        try:
            sys.stdout.flush()
        except OSError:  # it is what cannot be written
            give_up_stdout()
        return redact(what_to_do(cause, "")), exit_code_of(cause)
    click.echo(redact_environment("".join(traceback.format_exception(error))), err=True)
    return _FAULT, 1


def print_failure(arguments: Sequence[str], message: str, code: int) -> None:
    """Print to standard output the object of a failure, if a command was to print JSON."""
    if _wants_json(arguments):
        try:
            click.echo(json_line(failure_of(message, code)))
        except OSError:  # closed, or on a full disk; standard error has the message
            give_up_stdout()


def _wants_json(arguments: Sequence[str]) -> bool:
    """Whether one JSON object was asked for, also if other options are wrong."""
    words = [*takewhile("--".__ne__, arguments)]
    pairs = map("=".join, pairwise(words))
    by_form = words[:1] in (["plan"], ["status"]) and "--format=json" in {*words, *pairs}
    return "--json" in words or by_form
