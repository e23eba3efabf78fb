"""Read a configuration from wherever the caller has it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from os import PathLike
from typing import Any, TypeVar, cast

from crypto_lakehouse.core.config.origins import FileValues
from crypto_lakehouse.core.config.profiles import PROFILES
from crypto_lakehouse.core.config.rules import LAKE_KEYS
from crypto_lakehouse.core.config.sources import parse_config
from crypto_lakehouse.core.config.tenants import TENANTS
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.input_files import read_in_thread, read_input
from crypto_lakehouse.core.workflow import refuse_faulty
from crypto_lakehouse.workflows.lake_config import LakeConfig

__all__ = [
    "AnyConfig",
    "load_config",
    "load_config_of_all",
    "load_config_of_output",
    "load_lake_config",
    "load_lake_of",
    "read_config",
    "read_config_file",
]

AnyConfig = WorkflowConfig | Mapping[str, Any] | str | PathLike[str]
"""A configuration, a mapping of its keys, or the path of a JSON, TOML or YAML file."""

#: What an ingestion takes over from the collection before it; a variable of the lake's own comes
#: first, as its tables may be in another store.
_SHARED = ("storage", "credentials", "state_directory", "ledger", "ledger_schema")

#: The keys that select series and days.
_SELECTING = ("markets", "symbols", "data_types", "intervals", "date_range", "default_date")

_Config = TypeVar("_Config", WorkflowConfig, LakeConfig)


async def load_config(
    source: AnyConfig | None,
    overrides: Mapping[str, Any] | None = None,
    *,
    validate: bool = True,
) -> WorkflowConfig:
    """Make a configuration from a mapping, or from a JSON, TOML or YAML file.

    Args:
        source: A ready configuration is returned as it is.
        overrides: Values that take precedence over the source's and the environment's.
        validate: Whether errors are raised; otherwise the configuration holds them.

    Raises:
        ConfigurationError: The file cannot be read, or the configuration has faults.
    """
    return await _load(WorkflowConfig, source, overrides, validate=validate)


async def load_config_of_output(source: AnyConfig) -> WorkflowConfig:
    """Make a configuration that need not select anything, as the archives already exist.

    Raises:
        ConfigurationError: The file cannot be read, or the configuration has faults.
    """
    return await load_config(source, {"only": "quarantined"})


async def load_config_of_all(source: AnyConfig, overrides: Mapping[str, Any]) -> WorkflowConfig:
    """Make a configuration that says where an output is, and selects nothing in it.

    Args:
        source: Its selection of series and days does not count: other configurations may have
            collected into the same output.
        overrides: Values that take precedence; these do select.

    Raises:
        ConfigurationError: The file cannot be read, or the configuration has faults.
    """
    made = await load_config(source, {"only": "quarantined", **overrides})
    unset: Any = {name: None for name in _SELECTING if name not in overrides}
    return made.replace(**unset)


async def load_lake_config(
    source: LakeConfig | Mapping[str, Any] | str | PathLike[str] | None,
    overrides: Mapping[str, Any] | None = None,
    *,
    validate: bool = True,
) -> LakeConfig:
    """Make a lake's configuration in the same way.

    Raises:
        ConfigurationError: The file cannot be read, or the configuration has faults.
    """
    return await _load(LakeConfig, source, overrides, validate=validate)


async def load_lake_of(values: Mapping[str, Any] | None, config: WorkflowConfig) -> LakeConfig:
    """Make the configuration of the ingestion that follows a collection.

    Args:
        values: The mapping of which the collection's configuration was made. The keys that both
            have are the collection's; only what a lake alone has is read from here.
        config: The collection's.

    Raises:
        ConfigurationError: The configuration has faults.
    """
    given = dict(values or {})
    shared = {name: value for name in _SHARED if (value := getattr(config, name)) is not None}
    named = {
        key: {name: _of_lake(keys) for name, keys in given[key].items()}
        for key in (PROFILES, TENANTS)
        if key in given
    }
    overrides = {
        "output_directory": config.output_directory,
        "environment": config.environment,
        "tenant": config.tenant,
    }
    of_lake = FileValues(_of_lake(given) | shared | named)
    return await load_lake_config(of_lake, overrides)


def _of_lake(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in LAKE_KEYS if name in values}


async def _load(
    kind: type[_Config],
    source: _Config | Mapping[str, Any] | str | PathLike[str] | None,
    overrides: Mapping[str, Any] | None,
    *,
    validate: bool,
) -> _Config:
    if isinstance(source, kind):
        if validate:
            refuse_faulty(source)
        return source
    if source is not None and not isinstance(source, Mapping):
        source = await read_config(cast("str | PathLike[str]", source))
    return kind(source, overrides=overrides, validate=validate)


async def read_config(source: str | PathLike[str]) -> FileValues:
    """Read a configuration file; its values are not checked yet.

    Raises:
        ConfigurationError: The file cannot be read, or has no mapping.
    """
    return await read_in_thread(partial(read_config_file, source))


def read_config_file(source: str | PathLike[str]) -> FileValues:
    """Read a configuration file as `read_config` does; blocking.

    Raises:
        ConfigurationError: The file cannot be read, or has no mapping.
    """
    path = os.fspath(source)
    if not path:
        raise ConfigurationError([Problem("config", "the name of the file is empty; name a file")])
    try:
        text = read_input(path).decode()
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError([Problem(path, f"cannot be read: {reason}")]) from error
    return parse_config(text, path)
