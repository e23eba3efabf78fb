"""`crypto-lakehouse config`."""

from __future__ import annotations

import json

import click

__all__ = ["command"]


@click.group("config")
def command() -> None:
    """Show what a configuration may hold.

    \b
    Examples:
      crypto-lakehouse config schema > crypto-lakehouse.schema.json
    """  # noqa: D301 - click reads \b


@command.command("schema")
def schema() -> None:
    """Print the JSON schema of files, for editors."""
    from crypto_lakehouse.core.config.schema import config_schema

    click.echo(json.dumps(config_schema(), indent=2))
