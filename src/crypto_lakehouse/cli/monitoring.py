"""`crypto-lakehouse monitoring`, and the options for metrics of commands that lack other keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar

import click

from crypto_lakehouse.cli.file_names import file_only
from crypto_lakehouse.core.errors import ConfigurationError

__all__ = [
    "MONITORING_KEYS",
    "command",
    "monitoring_options",
    "naming_what_cannot_be_opened",
    "say_where",
]

_Command = TypeVar("_Command", bound=Callable[..., object])

#: The keys of what watches a run.
MONITORING_KEYS = (
    "serve", "metrics_textfile", "freshness", "metrics_by_symbol", "otlp_endpoint",
)  # fmt: skip

#: Those that name what a run opens.
_OPENED = ("serve", "metrics_textfile", "otlp_endpoint")

_Run = Callable[[dict[str, Any]], Awaitable[int]]

_SERVE = click.option(
    "--serve",
    metavar="[ADDRESS:]PORT",
    help="Serve metrics and a page while it runs, as of `collect`. [default: nowhere]",
)
_TEXTFILE = click.option(
    "--metrics-textfile",
    callback=file_only,
    metavar="FILE",
    help="Write metrics to NAME.prom, as of `collect`.",
)
_OTLP = click.option(
    "--otlp-endpoint",
    metavar="URL",
    help="Send metrics and traces to a receiver of OpenTelemetry, as of `collect`.",
)


@click.command(
    "monitoring", short_help="Print alerting rules for Prometheus, or a dashboard for Grafana."
)
@click.argument("what", type=click.Choice(["alerts", "dashboard"]))
def command(what: str) -> int:
    """Print a file that is shipped for the metrics of --serve and --metrics-textfile.

    \b
      alerts     alerting rules for Prometheus: days older than `freshness` says, runs that fail,
                 quarantined and damaged archives, more holes than a day ago, gaps of recordings,
                 and a daemon that is down
      dashboard  a dashboard for Grafana 10.1 and later, to be imported

    \b
    Examples:
      crypto-lakehouse monitoring alerts > crypto-lakehouse.rules.yaml
      crypto-lakehouse monitoring dashboard > crypto-lakehouse.json
    """  # noqa: D301 - click reads \b
    from crypto_lakehouse.workflows.monitoring.shipped import shipped

    click.echo(shipped(what), nl=False)
    return 0


def monitoring_options(command: _Command) -> _Command:
    """Add `--serve`, `--metrics-textfile` and `--otlp-endpoint` to a command."""
    return _SERVE(_TEXTFILE(_OTLP(command)))


def naming_what_cannot_be_opened(run: _Run) -> _Run:
    """Let a command that finds faults of its configuration also name a port that is in use.

    So do files that cannot be written: all faults are named at once, before anything begins.

    Args:
        run: Takes the options of the command by name, and returns its exit code.
    """

    @wraps(run)
    async def named(given: dict[str, Any]) -> int:
        try:
            return await run(given)
        except ConfigurationError as error:
            if given.get("dry_run"):
                raise
            from crypto_lakehouse.workflows.monitoring.unavailable import unavailable

            keys = (*_OPENED, "environment", "tenant")
            overrides = {key: given[key] for key in keys if given.get(key) is not None}
            file = given.get("config_file") or given.get("file")
            more = await unavailable(file, overrides)
            raise ConfigurationError(dict.fromkeys([*error.problems, *more])) from error

    return named


def say_where(config: Any, *, quiet: bool) -> Callable[[str], None]:
    """Return what prints where metrics are; a port that was not named is said in any case."""

    def say(sentence: str) -> None:
        if not quiet or (config.serve is not None and config.serve["port"] == 0):
            click.echo(f"note: {sentence}", err=True)

    return say
