"""Options of the commands that work with tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from crypto_lakehouse.cli.list_option import ListOption
from crypto_lakehouse.cli.output_option import MIRROR, check_directory, output_option
from crypto_lakehouse.core.errors import ConfigurationError, Problem

if TYPE_CHECKING:
    from crypto_lakehouse.tables.lake.lake import Lake
    from crypto_lakehouse.workflows.lake_config import LakeConfig

__all__ = [
    "config_option",
    "lake_config",
    "lake_options",
    "open_lake",
    "place_options",
    "selection_options",
]

_Command = TypeVar("_Command", bound=Callable[..., object])

_CONFIG = click.option(
    "--config",
    "config_file",
    type=click.Path(),
    metavar="FILE",
    help="JSON, TOML or YAML with the options as keys; options take precedence.",
)
_ENVIRONMENT = click.option(
    "--environment", metavar="NAME", help="The profile of the file to use. [default: development]"
)
_OUTPUT = click.option(
    "--output",
    "-o",
    "--output-directory",
    "output",
    metavar="DIR",
    help=f"{MIRROR} [required]",
)

_PLACE = (
    output_option(text=MIRROR),
    click.option("--lake", metavar="DIR", help="The tables. [default: DIR/.lakehouse/lake]"),
    click.option("--catalog", metavar="NAME",
                 help="A catalog of pyiceberg's configuration instead of the embedded one."),
)  # fmt: skip

_SELECTION = (
    click.option(
        "--markets", cls=ListOption, metavar="LIST", help="Only these markets, as spot,futures_um."
    ),
    click.option(
        "--symbols",
        "-s",
        cls=ListOption,
        metavar="LIST",
        help="Only these symbols; globs, as BTC*,ETHUSDT.",
    ),
    click.option(
        "--data-types",
        "-t",
        cls=ListOption,
        metavar="LIST",
        help="Only these data types, as klines,trades.",
    ),
    click.option(
        "--intervals", "-i", cls=ListOption, metavar="LIST", help="Only these intervals, as 1m,1h."
    ),
)

_READING = (
    click.option("--policy", "policies", multiple=True, metavar="CHECK=WHAT",
                 help="What to do about a finding: report, quarantine or drop; repeatable."),
    click.option("--exact", is_flag=True, help="Numbers as decimal(38, 18) instead of float64."),
    click.option("--workers", type=int, metavar="N", help="Threads. [default: one for each core]"),
)  # fmt: skip


def config_option(command: _Command) -> _Command:
    """Add the options for a configuration file and its profile."""
    return _add(command, (_CONFIG, _ENVIRONMENT))


def place_options(command: _Command) -> _Command:
    """Add the options that locate the tables."""
    return _add(command, _PLACE)


def selection_options(command: _Command) -> _Command:
    """Add the options that select archives and say how to read them."""
    return _add(command, (*_SELECTION, *_READING))


def lake_options(command: _Command) -> _Command:
    """Add all of them; the configuration file may say where the tables are."""
    return config_option(_add(selection_options(command), (_OUTPUT, *_PLACE[1:])))


def _add(command: _Command, options: tuple[Callable[[Any], Any], ...]) -> _Command:
    for option in reversed(options):
        command = option(command)
    return command


async def lake_config(given: Mapping[str, Any]) -> LakeConfig:
    """Read the options, and the file that `--config` names.

    Raises:
        ConfigurationError: With every fault found.
    """
    from crypto_lakehouse.core.config.sources import parse_text_value
    from crypto_lakehouse.stores.state import relative_note
    from crypto_lakehouse.workflows.wiring.load_config import load_lake_config

    policies, problems = _policies(given.get("policies") or ())
    values: dict[str, Any] = {}
    for name in ("markets", "symbols", "data_types", "intervals"):
        try:
            if given.get(name) is not None:
                values[name] = parse_text_value(given[name], tuple[str, ...])
                if not values[name]:
                    raise ValueError("must not be empty; leave the option out to select all")
        except ValueError as error:
            problems.append(Problem(f"--{name.replace('_', '-')}", str(error)))
    if problems:
        raise ConfigurationError(problems)
    same = ("lake", "catalog", "workers", "format", "compression", "environment")
    values |= {name: given[name] for name in same if given.get(name) is not None}
    values |= {name: True for name in ("exact", "again") if given.get(name)}
    values |= {"policies": policies} if policies else {}
    values |= {"output_directory": given["output"]} if given["output"] else {}
    config = await load_lake_config(given["config_file"], values)
    for note in config.warnings:
        click.echo(f"warning: {note}", err=True)
    place = relative_note(config.output_directory, config.origins)
    if place and not given.get("quiet"):
        click.echo(f"note: {place}", err=True)
    return config


def _policies(texts: Iterable[str]) -> tuple[dict[str, str], list[Problem]]:
    """Return the policy of each check, and what is wrong with the options."""
    policies: dict[str, str] = {}
    problems: list[Problem] = []
    for text in texts:
        check, equals, what = (part.strip() for part in text.partition("="))
        if not equals:
            problems.append(Problem("--policy", f"`{text}` is not CHECK=WHAT"))
        if policies.get(check, what) != what:
            reason = f"`{check}` is given as `{policies[check]}` and as `{what}`; choose one"
            problems.append(Problem("--policy", reason))
        policies[check] = what
    return policies, problems


def open_lake(given: Mapping[str, Any]) -> Lake:
    """Open the lake that the options name.

    Raises:
        ConfigurationError: There is no such directory.
        ExtraMissing: The extra `tables` is not installed.
        LakeError: There is no lake.
    """
    from crypto_lakehouse.workflows.ingestion import need_tables

    need_tables()
    from crypto_lakehouse.tables.lake.lake import Lake

    if not (given.get("lake") or given.get("catalog")):
        check_directory(given["output"])
    return Lake.open(given.get("lake") or given["output"], catalog=given.get("catalog"))
