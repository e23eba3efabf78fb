"""Read a configuration from wherever the caller has it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from os import PathLike
from typing import Any, TypeVar, cast

import aiofiles

from crypto_lakehouse.core.config.origins import FileValues
from crypto_lakehouse.core.config.sources import parse_config
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.workflow import refuse_faulty
from crypto_lakehouse.workflows.lake_config import LakeConfig

__all__ = ["load_config", "load_lake_config"]

_Config = TypeVar("_Config", WorkflowConfig, LakeConfig)


async def load_config(
    source: WorkflowConfig | Mapping[str, Any] | str | PathLike[str] | None,
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
        source = await _read(cast("str | PathLike[str]", source))
    return kind(source, overrides=overrides, validate=validate)


async def _read(source: str | PathLike[str]) -> FileValues:
    """Read a configuration file; its values are not checked yet."""
    path = os.fspath(source)
    try:
        async with aiofiles.open(path, encoding="utf-8") as file:
            text = await file.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError([Problem(path, f"cannot be read: {reason}")]) from error
    return parse_config(text, path)
