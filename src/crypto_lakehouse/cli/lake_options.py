"""Options of the commands that work with tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from crypto_lakehouse.cli.file_names import named_file
from crypto_lakehouse.cli.list_option import ListOption
from crypto_lakehouse.cli.output_option import (
    MIRROR,
    check_directory,
    checked_config,
    output_options,
    stored_options,
)
from crypto_lakehouse.cli.unused_options import refuse_unused_keys
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.visible import visible

if TYPE_CHECKING:
    from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
    from crypto_lakehouse.tables.iceberg.lake_place import LakePlace
    from crypto_lakehouse.tables.lake.lake import Lake
    from crypto_lakehouse.workflows.lake_config import LakeConfig

__all__ = [
    "archives_options",
    "by_lake_option",
    "config_option",
    "lake_config",
    "lake_options",
    "named_place",
    "open_lake",
    "place_options",
    "recorded_output",
    "selection_options",
    "source_place",
]

_Command = TypeVar("_Command", bound=Callable[..., object])

_CONFIG = click.option(
    "--config",
    "config_file",
    type=click.Path(),
    callback=named_file,
    metavar="FILE",
    help="JSON, TOML or YAML with the options as keys; options take precedence.",
)
_ENVIRONMENT = click.option(
    "--environment", metavar="NAME", help="The profile of the file to use. [default: development]"
)
_TENANT = click.option("--tenant", metavar="NAME", help="The tenant of the file, if it has some.")
_ARCHIVES = output_options(text=f"{MIRROR} [required]", required=False)

_PLACE = (
    stored_options(text=MIRROR),
    click.option("--lake", metavar="DIR|URL", help="The tables. [default: DIR/.lakehouse/lake]"),
    click.option("--catalog", metavar="NAME|URL",
                 help="A catalog of pyiceberg's configuration instead of the embedded one, or a "
                      "PostgreSQL database, as postgresql://host/database."),
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
    """Add the options for a configuration file, its profile and its tenant."""
    return _add(command, (_CONFIG, _ENVIRONMENT, _TENANT))


def place_options(command: _Command) -> _Command:
    """Add the options that locate the tables."""
    return _add(command, _PLACE)


def selection_options(command: _Command) -> _Command:
    """Add the options that select archives and say how to read them."""
    return _add(command, (*_SELECTION, *_READING))


def lake_options(command: _Command) -> _Command:
    """Add all of them; the configuration file may say where the tables are."""
    return config_option(_add(selection_options(command), (_ARCHIVES, *_PLACE[1:])))


def archives_options(command: _Command) -> _Command:
    """Add the options that locate the archives; the configuration file may say it, too."""
    return _add(command, (_ARCHIVES,))


def _add(command: _Command, options: tuple[Callable[[Any], Any], ...]) -> _Command:
    for option in reversed(options):
        command = option(command)
    return command


async def lake_config(given: Mapping[str, Any]) -> LakeConfig:
    """Read the options, and the file that `--config` names.

    Raises:
        ConfigurationError: With every fault found.
    """
    from crypto_lakehouse.stores.state import relative_note
    from crypto_lakehouse.workflows.wiring.load_config import load_lake_config

    policies, problems = _policies(given.get("policies") or ())
    values, faults = _selection(given)
    if problems := problems + faults:
        raise ConfigurationError(problems)
    same = (
        "state_directory", "ledger", "ledger_schema", "lake", "catalog", "workers", "format",
        "compression", "environment", "processes", "executor", "dask_scheduler", "serve",
        "metrics_textfile", "otlp_endpoint", "tenant",
    )  # fmt: skip
    values |= {name: given[name] for name in same if given.get(name) is not None}
    if str(values.get("processes")).isdecimal():
        values["processes"] = int(values["processes"])
    values |= {name: True for name in ("exact", "again", "shared_directory") if given.get(name)}
    values |= {"policies": policies} if policies else {}
    values |= {"output_directory": given["output"]} if given["output"] else {}
    config = await load_lake_config(given["config_file"], values)
    refuse_unused_keys(config, config.lake)
    for note in config.warnings:
        click.echo(f"warning: {note}", err=True)
    place = relative_note(config.output_directory, config.origins)
    if place and not given.get("quiet"):
        click.echo(f"note: {place}", err=True)
    return config


def _selection(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """Return what the options select, and from which store; and what is wrong with them."""
    from crypto_lakehouse.core.config.sources import parse_text_value

    values: dict[str, Any] = {}
    problems: list[Problem] = []
    if given.get("storage") is not None:
        try:
            values["storage"] = _storage(given)
        except ConfigurationError as error:
            problems += error.problems
    for name in ("markets", "symbols", "data_types", "intervals"):
        if given.get(name) is None:
            continue
        try:
            values[name] = parse_text_value(given[name], tuple[str, ...])
            if not values[name]:
                raise ValueError("must not be empty; leave the option out to select all")
        except ValueError as error:
            problems.append(Problem(f"--{name.replace('_', '-')}", str(error)))
    return values, problems


def _storage(given: Mapping[str, Any]) -> Any:
    """Return the settings that `--storage` gives as JSON; None if it is not given.

    Raises:
        ConfigurationError: They are no JSON.
    """
    from crypto_lakehouse.core.config.sources import parse_text_value
    from crypto_lakehouse.core.config.values import Storage

    if given.get("storage") is None:
        return None
    try:
        return parse_text_value(given["storage"], Storage)
    except ValueError as error:
        raise ConfigurationError([Problem("--storage", str(error))]) from error


def _of_store(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that say how the store of a lake at a URL is reached."""
    return {"storage": _storage(given), "state_directory": given.get("state_directory")}


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


def open_lake(given: Mapping[str, Any], output: WorkflowConfig | None = None) -> Lake:
    """Open the lake that the options name.

    Args:
        given: The options.
        output: The output with the recordings of its rows; None if they are not asked for.

    Raises:
        ConfigurationError: There is no such directory, or no lake in it.
        ExtraMissing: The extra `tables` is not installed.
        LakeError: The catalog cannot be reached.
    """
    named, settings = _named_lake(given)
    from crypto_lakehouse.tables.lake.lake import Lake

    with by_lake_option(given):
        lake = Lake.open(named, **settings, output=output, live=output is not None)
    for note in lake.notes:
        click.echo(f"note: {visible(note)}", err=True)
    return lake


def recorded_output(given: Mapping[str, Any]) -> WorkflowConfig:
    """Return the output that the options name, as it is opened to read its recordings.

    Raises:
        ConfigurationError: The URL or a setting of its store is wrong.
    """
    return checked_config(given["output"], **_of_store(given))


def named_place(given: Mapping[str, Any]) -> LakePlace:
    """Return the place of the lake that the options name; there need not be a lake.

    With `--from` there is none yet: the default one of `--output` is its lake folder.

    Raises:
        ConfigurationError: There is no such directory; or, with `--from`, no lake can be there.
        ExtraMissing: The extra `tables` is not installed.
    """
    named, settings = _named_lake(given)
    from crypto_lakehouse.core.config.own_folder import own_folder_fault
    from crypto_lakehouse.core.config.storage import StoreUrl, is_url
    from crypto_lakehouse.stores.outer_output import outer_fault
    from crypto_lakehouse.stores.state import LAKE_FOLDER
    from crypto_lakehouse.tables.iceberg.lake_place import LakePlace
    from crypto_lakehouse.tables.lake.places import lake_place
    from crypto_lakehouse.workflows.wiring.stored_output import stored_config

    if not given.get("source"):
        return lake_place(named, **settings)
    option = "--lake" if given.get("lake") else "--output"
    if is_url(named) and (fault := own_folder_fault(named, is_lake=bool(given.get("lake")))):
        raise ConfigurationError([Problem(option, fault)])
    place = named if given.get("lake") else f"{named.rstrip('/')}/{LAKE_FOLDER}"
    del settings["catalog"]
    found = LakePlace.named(place, **settings)
    at = StoreUrl.parse(place) if is_url(place) else found.folder
    stored = stored_config(place, **_of_store(given)) if is_url(place) else None
    if given.get("lake") and (fault := outer_fault(at, stored)):
        raise ConfigurationError([Problem(option, fault)])
    return found


def source_place(given: Mapping[str, Any]) -> LakePlace:
    """Return the place of the lake that `--from` names, or of that in the output it names.

    Raises:
        ConfigurationError: The URL or a setting of its store is wrong.
    """
    from crypto_lakehouse.core.config.storage import is_url
    from crypto_lakehouse.tables.lake.places import lake_place
    from crypto_lakehouse.workflows.wiring.lake_at import url_settings

    named = given["source"]
    return lake_place(named, **(url_settings(named, _of_store(given)) if is_url(named) else {}))


def _named_lake(given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return where the options say that the lake is, and the arguments of `Lake.open`."""
    from crypto_lakehouse.workflows.ingestion import need_tables

    need_tables()
    from crypto_lakehouse.core.config.storage import is_url
    from crypto_lakehouse.stores.state import LAKE_FOLDER
    from crypto_lakehouse.workflows.wiring.lake_at import url_settings

    _check_catalog(given.get("catalog"))
    named = given.get("lake") or given["output"]
    settings: dict[str, Any] = {"catalog": given.get("catalog")}
    if is_url(named):
        if given.get("catalog") and not given.get("lake"):
            named = f"{named.rstrip('/')}/{LAKE_FOLDER}"
        settings |= url_settings(named, _of_store(given))
    elif not (given.get("lake") or given.get("catalog")):
        check_directory(given["output"])
    return named, settings


def _check_catalog(catalog: str | None) -> None:
    from crypto_lakehouse.core.config.database_url import database_url_fault, is_database_url

    if is_database_url(catalog) and (fault := database_url_fault(str(catalog))):
        raise ConfigurationError([Problem("--catalog", fault)])


@contextmanager
def by_lake_option(given: Mapping[str, Any]) -> Iterator[None]:
    """Name the option that says where the lake is, if there is none.

    Raises:
        ConfigurationError: There is no lake.
    """
    from crypto_lakehouse.core.errors import NoLakeError

    try:
        yield
    except NoLakeError as error:
        option = "--lake" if given.get("lake") else "--output"
        raise ConfigurationError([Problem(option, str(error))]) from error
