"""Options of the commands that work with tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from crypto_lakehouse.cli.output_option import MIRROR, output_option

if TYPE_CHECKING:
    from crypto_lakehouse.tables.lake.lake import Lake
    from crypto_lakehouse.workflows.lake_config import LakeConfig

__all__ = ["lake_config", "lake_options", "open_lake", "place_options", "selection_options"]

_Command = TypeVar("_Command", bound=Callable[..., object])

_PLACE = (
    output_option(text=MIRROR),
    click.option("--lake", metavar="DIR", help="The tables. [default: DIR/.lakehouse/lake]"),
    click.option("--catalog", metavar="NAME",
                 help="A catalog of pyiceberg's configuration instead of the embedded one."),
)  # fmt: skip

_SELECTION = (
    click.option("--markets", metavar="LIST", help="Only these, as spot,futures_um."),
    click.option("--symbols", "-s", metavar="LIST", help="Only these; globs, as BTC*,ETHUSDT."),
    click.option("--data-types", "-t", metavar="LIST", help="Only these, as klines,trades."),
    click.option("--intervals", "-i", metavar="LIST", help="Only these, as 1m,1h."),
)

_READING = (
    click.option("--policy", "policies", multiple=True, metavar="CHECK=WHAT",
                 help="What to do about a finding: report, quarantine or drop; repeatable."),
    click.option("--exact", is_flag=True, help="Numbers as decimal(38, 18) instead of float64."),
    click.option("--workers", type=int, metavar="N", help="Threads. [default: one for each core]"),
)  # fmt: skip


def place_options(command: _Command) -> _Command:
    """Add where the tables are."""
    return _add(command, _PLACE)


def selection_options(command: _Command) -> _Command:
    """Add which archives are meant, and how they are read."""
    return _add(command, (*_SELECTION, *_READING))


def lake_options(command: _Command) -> _Command:
    """Add both."""
    return place_options(selection_options(command))


def _add(command: _Command, options: tuple[Callable[[Any], Any], ...]) -> _Command:
    for option in reversed(options):
        command = option(command)
    return command


def lake_config(given: Mapping[str, Any]) -> LakeConfig:
    """Read the options.

    Raises:
        ConfigurationError: With every fault found.
    """
    from crypto_lakehouse.core.errors import ConfigurationError, Problem
    from crypto_lakehouse.workflows.lake_config import LakeConfig

    policies: dict[str, str] = {}
    problems: list[Problem] = []
    for text in given.get("policies") or ():
        check, equals, what = text.partition("=")
        if not equals:
            problems.append(Problem("--policy", f"`{text}` is not CHECK=WHAT"))
        policies[check.strip()] = what.strip()
    if problems:
        raise ConfigurationError(problems)
    values: dict[str, Any] = {
        name: tuple(filter(None, map(str.strip, (given.get(name) or "").split(","))))
        for name in ("markets", "symbols", "data_types", "intervals")
    }
    same = ("lake", "catalog", "exact", "workers", "format", "compression", "again")
    return LakeConfig(
        output_directory=given["output"],
        policies=policies,
        **values,
        **{name: given[name] for name in same if given.get(name) is not None},
    )


def open_lake(given: Mapping[str, Any]) -> Lake:
    """Open the lake that the options name.

    Raises:
        ExtraMissing: The extra `tables` is not installed.
        LakeError: There is none.
    """
    from crypto_lakehouse.workflows.ingestion import need_tables

    need_tables()
    from crypto_lakehouse.tables.lake.lake import Lake

    return Lake.open(given.get("lake") or given["output"], catalog=given.get("catalog"))
