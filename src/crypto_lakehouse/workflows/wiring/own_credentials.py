"""A configuration that travels to another machine: without credentials, which that machine has.

User name and password of a URL (`https://me:secret@mirror.example`) stay in the run's process. A
worker takes them from its own variable of the key, such as `CRYPTO_LAKEHOUSE_SOURCE_URL`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from urllib.parse import urlsplit

from crypto_lakehouse.core.config.run_selection import without_credentials
from crypto_lakehouse.core.config.sources import ENVIRONMENT_PREFIX
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError, Problem

__all__ = ["strip_credentials", "with_own_credentials"]

#: The keys whose URLs may have a user name and a password.
_KEYS = ("source_url", "second_source_url", "listing_url", "proxy")


def strip_credentials(config: WorkflowConfig) -> tuple[WorkflowConfig, tuple[str, ...]]:
    """Return a copy of a configuration without credentials, and the keys that had some.

    Raises:
        ConfigurationError: The endpoint of the object store has credentials, which a worker could
            not take from its environment.
    """
    endpoint = (config.storage or {}).get("endpoint", "")
    if "@" in urlsplit(str(endpoint)).netloc:
        reason = "must not have a user name or a password with `executor: dask`"
        raise ConfigurationError([Problem("$.storage.endpoint", reason)])
    keys = tuple(key for key in _KEYS if "@" in urlsplit(getattr(config, key) or "").netloc)
    return _with(config, {key: without_credentials(getattr(config, key)) for key in keys}), keys


def with_own_credentials(
    config: WorkflowConfig, keys: tuple[str, ...], variables: Mapping[str, str]
) -> WorkflowConfig:
    """Return a configuration with this machine's own credentials.

    Args:
        config: As `strip_credentials` returned it.
        keys: The keys that had credentials.
        variables: The environment.

    Raises:
        ConfigurationError: A variable is missing, or names another host.
    """
    problems, own = [], {}
    for key in keys:
        name = f"{ENVIRONMENT_PREFIX}{key.upper()}"
        name = (config.credentials or {}).get(name, name)
        own[key] = variables.get(name, "")
        if without_credentials(own[key]) != getattr(config, key):
            reason = (
                f"`{getattr(config, key)}` needs credentials, which are not sent to workers; set "
                f"`{name}` to the URL with its user name and password where the worker is started"
            )
            problems.append(Problem(f"$.{key}", reason))
    if problems:
        raise ConfigurationError(problems)
    return _with(config, own)


def _with(config: WorkflowConfig, values: Mapping[str, str]) -> WorkflowConfig:
    """Return a copy with other URLs, which are not checked again."""
    made = copy.copy(config)
    for key, value in values.items():
        object.__setattr__(made, key, value)  # it is frozen, and not in use yet
    return made
