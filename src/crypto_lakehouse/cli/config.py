"""`crypto-lakehouse config`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import click

from crypto_lakehouse.cli.command_group import CommandGroup
from crypto_lakehouse.cli.json_output import failure_of, json_line
from crypto_lakehouse.cli.options import by_option, config_options, option_of, option_overrides
from crypto_lakehouse.core.config.keys import described
from crypto_lakehouse.core.config.origins import OVERRIDE
from crypto_lakehouse.core.config.storage import is_url
from crypto_lakehouse.core.config.workflow_keys import config_keys
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.visible import json_text

if TYPE_CHECKING:
    import attrs

    from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
    from crypto_lakehouse.workflows.lake_config import LakeConfig

__all__ = ["command"]


@click.group(
    "config",
    short_help="Show configuration values, their origins, and the valid keys.",
    cls=CommandGroup,
)
def command() -> None:
    """Show the values of a configuration, their origins, and the valid keys.

    \b
    Examples:
      crypto-lakehouse config show --config collection.yaml --environment production
      crypto-lakehouse config schema > crypto-lakehouse.schema.json
    """  # noqa: D301 - click reads \b


_LAKE = click.option(
    "--lake", "of_lake", is_flag=True, help="The file of `ingest` and `validate` instead."
)


@command.command("schema")
@_LAKE
def schema(*, of_lake: bool) -> None:
    """Print the JSON schema of files, for editors."""
    from crypto_lakehouse.core.config.schema import config_schema
    from crypto_lakehouse.workflows.lake_config import lake_keys

    own, others = (lake_keys(), config_keys()) if of_lake else (None, lake_keys())
    click.echo(json_line(config_schema(own, others), indent=2))


@command.command("show")
@config_options
@_LAKE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(**given: Any) -> int:
    """Print every value and its origin; secrets are masked.

    Exit code 2: the configuration has errors; they are listed, and invalid keys show defaults. The
    JSON object has them as `error` and `problems`, beside the keys.
    """
    return anyio.run(partial(_show, given))


async def _show(given: dict[str, Any]) -> int:
    from crypto_lakehouse.cli.render import print_table
    from crypto_lakehouse.workflows.lake_config import lake_keys

    config = await _config(given)
    for note in getattr(config, "warnings", ()):
        click.echo(f"warning: {note}", err=True)
    rows = _rows(config, given)
    # With `--lake`, this command does not have the option for a value that is missing.
    problems = [
        by_option(each) if each.origin == OVERRIDE or not given["of_lake"] else each
        for each in config.problems
    ]
    if given["as_json"]:
        values = {key: {"value": value, "from": origin} for key, value, origin in rows}
        click.echo(json_line(_failure(problems) | values))
    else:
        keys = lake_keys() if given["of_lake"] else config_keys()
        cells = [(key, _cell(value, keys[key]), origin) for key, value, origin in rows]
        columns = ("key", "value", "from")
        print_table("configuration", columns, cells, foldable=("value", "from"))
    for problem in problems:
        click.echo(f"error: {problem}", err=True)
    return 2 if problems else 0


def _failure(problems: list[Problem]) -> dict[str, Any]:
    """Return what the JSON object of an invalid configuration begins with; nothing if it is valid.

    No key of a configuration has one of these names.
    """
    if not problems:
        return {}
    error = ConfigurationError(problems)
    listed = [{"path": each.path, "message": each.message} for each in problems]
    return failure_of(str(error), error.exit_code) | {"problems": listed}


async def _config(given: dict[str, Any]) -> WorkflowConfig | LakeConfig:
    """Read the configuration of a collection or of a lake.

    Raises:
        ConfigurationError: The file cannot be read.
        UsageError: An option was given that a lake's configuration does not have.
    """
    from crypto_lakehouse.workflows.wiring.load_config import load_config, load_lake_config

    overrides = option_overrides(given)
    if not given["of_lake"]:
        return await load_config(given["config_file"], overrides, validate=False)
    others = [option_of(key) for key in overrides if key not in {"environment", "tenant"}]
    if others:
        read = "--config, --environment and --tenant"
        text = f"with --lake only {read} are read; remove {', '.join(others)}"
        raise click.UsageError(text)
    return await load_lake_config(given["config_file"], overrides, validate=False)


def _rows(config: WorkflowConfig | LakeConfig, given: dict[str, Any]) -> list[tuple[str, Any, str]]:
    values = config.to_mapping() | _derived(config)
    return [
        (key, values.get(key), "; ".join(_origin(each, key, given) for each in origin.split("; ")))
        for key, origin in config.origins.items()
    ]


def _derived(config: WorkflowConfig | LakeConfig) -> dict[str, str]:
    """Return the values that follow from others: where the ledger of a URL is."""
    from crypto_lakehouse.core.config.workflow_config import WorkflowConfig

    if not isinstance(config, WorkflowConfig) or config.problems:
        return {}
    if not is_url(config.output_directory):
        return {}
    from crypto_lakehouse.stores.output import output_of

    return {"state_directory": str(output_of(config).state.path)}


def _origin(origin: str, key: str, given: dict[str, Any]) -> str:
    """Describe an origin in terms of the command line."""
    if origin == OVERRIDE:
        edges = [f"--{edge}" for edge in ("start", "end") if given[edge] is not None]
        names = edges if key == "date_range" else [option_of(key)]
        return f"option {', '.join(names)}"
    return origin


def _cell(value: Any, key: attrs.Attribute[Any]) -> str:
    """Show a value, and of one that is not set what applies instead."""
    if isinstance(value, str):
        return value
    if value is not None:
        return json_text(value)
    meaning = described(key).about.unset.replace("`", "")
    is_fault = not meaning or "required" in meaning
    return "none" if is_fault else f"none: {meaning}"
