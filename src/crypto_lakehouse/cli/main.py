"""Entry point: the commands, and how every error ends."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem, FishComplete, add_completion_class

from crypto_lakehouse.cli.command_group import CommandGroup
from crypto_lakehouse.cli.signals import ended_by_sigterm
from crypto_lakehouse.cli.streams import (
    LoggedStream,
    escape_unencodable,
    give_up_stdout,
    give_up_unwritable,
    open_standard_streams,
)
from crypto_lakehouse.cli.terminal import escaped_on_terminals
from crypto_lakehouse.core.gc_tuning import rare_collections
from crypto_lakehouse.version import __version__

__all__ = ["cli", "main"]

#: The commands and their short help, which is theirs (`tests/cli/test_startup.py`): so `--help` and
#: the completion of a shell import none of them.
_COMMANDS = {
    "collect": "Fetch archives and verify them.",
    "fill": "Fill what the archive lacks from the exchange.",
    "record": "Record the exchange's streams.",
    "run": "Run a pipeline of a configuration file.",
    "daemon": "Run pipelines by their schedules, until it is stopped.",
    "plan": "Show what `collect` would do.",
    "config": "Show configuration values, their origins, and the valid keys.",
    "status": "Show how complete each series is, and the cause of each hole.",
    "report": "Write the state of an output into one HTML page.",
    "history": "Show what the publisher replaced; write out earlier versions.",
    "verify": "Hash stored archives and compare them with their sidecars.",
    "matrix": "Show what the publisher offers; refresh and compare matrices.",
    "ingest": "Ingest verified archives into typed, versioned tables.",
    "validate": "Check the rows of verified archives; nothing is changed.",
    "query": "Query the tables in SQL.",
    "draw": "Draw candles, or coverage, as .svg or .png.",
    "export": "Write files for backtesters, or CSV and Parquet.",
    "lake": "Show, check and maintain the tables.",
    "monitoring": "Print alerting rules for Prometheus, or a dashboard for Grafana.",
    "mcp": "Serve an output to agents, read-only (Model Context Protocol).",
    "skill": "Print the page from which an agent learns this program.",
    "bench": "Measure the best max_parallel_downloads.",
    "demo": "Collect one day of made-up klines; no network is used.",
}

_EPILOG = """\b
A first run:
  crypto-lakehouse demo
  crypto-lakehouse collect --output data --markets spot --symbols BTCUSDT \\
      --data-types klines --intervals 1m,1h --start 2025-07-01 --end 2025-07-15

\b
Exit codes:
  0 all done    1 unexpected    2 usage or configuration
  3 some archives failed or are missing    4 some are corrupt
  5 source, store or server unavailable, plan incomplete    6 stopped by --max-bytes
  7 what is stored is too old, by `status --strict`
  11 another run holds the lock, or has taken it over
  130 / 143 interrupted
  141 the reader of standard output closed it, as `head` does

Every configuration key is an option of `collect`, a key of a file (--config FILE in JSON, TOML
or YAML) and an environment variable CRYPTO_LAKEHOUSE_<KEY>; options override variables, and
variables override files. `config show` prints each value and its origin.
"""


class _FishComplete(FishComplete):
    """What fish reads: click's own cuts a value, and the help of a command, at its first comma."""

    source_template = FishComplete.source_template.replace("string split", "string split --max 1")


add_completion_class(_FishComplete)


class _PipeClosedError(Exception):
    """The reader of standard output has closed it, as `head` does."""


@contextmanager
def _own_closed_pipes() -> Iterator[None]:
    """Raise an error of this module's if a pipe is closed: click itself would end with 1."""
    try:
        yield
    except BrokenPipeError as error:
        raise _PipeClosedError from error


class _LazyGroup(CommandGroup):
    """Commands live in modules of their names and are imported when they are needed."""

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        """Read the arguments; `--help` and `--version` print here."""
        with _own_closed_pipes():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command.

        What is buffered is written here, so that a failure to write it is not overlooked.
        """
        # What reports a failure is in files, too: it is read before a command can run out of them.
        import_module("crypto_lakehouse.cli.failures")
        from crypto_lakehouse.core.errors import ConfigurationWarning

        warnings.simplefilter("ignore", ConfigurationWarning)  # shown by the commands themselves
        with _own_closed_pipes():
            code = super().invoke(ctx)
            sys.stdout.flush()
        return code

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands that `--help` shows."""
        with formatter.section("Commands"):
            formatter.write_dl([*_COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a command, or an option of the program."""
        return [
            *(CompletionItem(name, help=text)
              for name, text in _COMMANDS.items() if name.startswith(incomplete)),
            *click.Command.shell_complete(self, ctx, incomplete),
        ]  # fmt: skip

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"crypto_lakehouse.cli.{name}").command
        return command


@click.group(
    cls=_LazyGroup,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="crypto-lakehouse")
def cli() -> None:
    """Collect the public Binance market-data archive: complete, verified, current, resumable.

    The publisher's layout is kept, so that a collected tree is itself a mirror. A second run
    fetches only what is new, missing or faulty.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and leave the process with its exit code (ARCHITECTURE.md#exit-codes)."""
    rare_collections()
    open_standard_streams()
    escape_unencodable()
    with _own_log_handlers(), escaped_on_terminals(), ended_by_sigterm():
        code = _run(arguments)
    give_up_unwritable()
    sys.exit(code)


@contextmanager
def _own_log_handlers() -> Iterator[None]:
    """Remove what a command adds to log to its streams, which close after it."""
    logger = logging.getLogger("crypto_lakehouse")
    before = logger.handlers
    # Without a handler, logging would write warnings to standard error a second time.
    logger.handlers = [*before, logging.NullHandler()]
    try:
        yield
    finally:
        if isinstance(sys.stderr, LoggedStream):
            sys.stderr = sys.stderr.end()
        logger.handlers = before


def _run(arguments: Sequence[str] | None) -> int:
    try:
        code: Any = cli.main(arguments, prog_name="crypto-lakehouse", standalone_mode=False)
    except _PipeClosedError:
        give_up_stdout()
        return 141
    except (Exception, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001 - the last place to report it without secrets
        if isinstance(error, SystemExit) and error.code == 0:
            return 0  # click has answered a shell that completes a line
        from crypto_lakehouse.cli.failures import print_failure, say_failure

        code, message = say_failure(error)
        print_failure(sys.argv[1:] if arguments is None else arguments, message, code)
    return code if isinstance(code, int) else 0
