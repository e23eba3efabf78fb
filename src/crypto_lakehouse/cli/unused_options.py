"""Refuse options that have no effect without another, or beside another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from crypto_lakehouse.core.config.storage import is_url
from crypto_lakehouse.core.messages import agreeing

if TYPE_CHECKING:
    from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
    from crypto_lakehouse.workflows.lake_config import LakeConfig

__all__ = ["refuse_beside", "refuse_unused_keys", "refuse_without"]


def refuse_without(needed: str, *names: str) -> None:
    """Refuse options of the current command that have no effect without another one.

    Args:
        needed: The option that is not given, with its value, such as `--prune DAYS`.
        names: The parameters of the options.

    Raises:
        UsageError: One of them is given.
    """
    _refuse(f"without {needed}; add that, or", names)


def refuse_beside(other: str, *names: str) -> None:
    """Refuse options of the current command that have no effect beside another one.

    Raises:
        UsageError: One of them is given.
    """
    _refuse(f"with {other};", names)


def refuse_unused_keys(config: WorkflowConfig | LakeConfig, lake: str | None = None) -> None:
    """Refuse options of keys that have no effect with the other keys of a configuration.

    A file or the environment may have such keys, as it serves several commands and outputs.

    Args:
        config: The configuration of the current command.
        lake: Where the tables are, if the command uses some.

    Raises:
        UsageError: One of them is given.
    """
    if not (is_url(config.output_directory) or is_url(lake)):
        refuse_without("the URL of an object store as --output", "storage", "state_directory")
    if config.ledger is None:
        refuse_without("--ledger URL", "ledger_schema")
    if not (config.serve or config.metrics_textfile or config.otlp_endpoint):
        needed = "--serve, --metrics-textfile or --otlp-endpoint"
        refuse_without(needed, "freshness", "metrics_by_symbol")
    if getattr(config, "executor", "") != "dask":
        refuse_without("--executor dask", "dask_scheduler", "shared_directory")


def _refuse(reason: str, names: tuple[str, ...]) -> None:
    context = click.get_current_context()
    given = [
        max(option.opts, key=len)
        for option in context.command.params
        if option.name in names
        and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    ]
    if given:
        text = f"{', '.join(given)} [has|have] no effect {reason} leave [it|them] out"
        raise click.UsageError(agreeing(len(given), text))
