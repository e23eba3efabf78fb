"""The configuration of what only reads an output, and requests nothing of the source."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from crypto_lakehouse.core.config.sources import ENVIRONMENT_PREFIX
from crypto_lakehouse.core.config.storage import is_url
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError
from crypto_lakehouse.stores.output import Output, output_of

if TYPE_CHECKING:
    from crypto_lakehouse.workflows.lake_config import LakeConfig

__all__ = ["archives_of", "stored_config"]

#: The keys that say how an object store is reached, and where the ledger of its archives is.
_OF_STORES = (
    "storage", "state_directory", "allow_http", "proxy", "ca_bundle", "timeout_seconds",
)  # fmt: skip

#: The keys that say which database has the ledger of an output.
_OF_LEDGER = ("ledger", "ledger_schema")


def stored_config(output: str | None, **values: Any) -> WorkflowConfig:
    """Make the configuration of a command that reads an output and requests nothing of the source.

    Environment variables are those of collections, and are not read; except those that say where
    the ledger is and, for a URL, how its store is reached. Faults are in `problems`; it is one if
    there is no output.
    """
    keys = (*_OF_LEDGER, *(_OF_STORES if is_url(output) else ()))
    variables = [f"{ENVIRONMENT_PREFIX}{key.upper()}" for key in keys]
    variables += (values.get("credentials") or {}).values()
    environ = {name: os.environ[name] for name in variables if name in os.environ}
    given = {name: value for name, value in values.items() if value is not None}
    overrides = {"only": "quarantined", **given, "output_directory": output}
    return WorkflowConfig(environ=environ, overrides=overrides, validate=False)


def archives_of(config: LakeConfig) -> Output:
    """Return where the archives of an ingestion or a validation are; nothing is read.

    Raises:
        ConfigurationError: The URL or a setting of its store is wrong.
    """
    place = config.output_directory
    settings: dict[str, Any] = {"ledger": config.ledger, "ledger_schema": config.ledger_schema}
    if is_url(place):
        settings |= {"storage": config.storage, "state_directory": config.state_directory}
        settings |= {"credentials": config.credentials}
    collected = stored_config(place, **settings)
    if collected.problems:
        raise ConfigurationError(collected.problems)
    return output_of(collected)
