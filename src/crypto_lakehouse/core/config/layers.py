"""Sources of values laid over each other, later ones over earlier ones, and read as fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from crypto_lakehouse.core.config.sources import environment_values
from crypto_lakehouse.core.config.values import structure_value
from crypto_lakehouse.core.config.workflow_keys import config_keys
from crypto_lakehouse.core.errors import ConfigurationError, Problem

__all__ = ["merged_values", "structured_values"]


def merged_values(
    values: Mapping[str, Any] | object | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, Any] | None,
) -> tuple[dict[str, Any], list[Problem]]:
    """Lay a mapping, variables and overrides over each other; also what is wrong with variables.

    Raises:
        ConfigurationError: The first is no mapping.
    """
    base = {} if values is None else values
    if not isinstance(base, Mapping):
        kind = type(values).__name__
        raise ConfigurationError([Problem("$", f"must be a mapping of keys, not {kind}")])
    kinds = {name: item.metadata["kind"] for name, item in config_keys().items()}
    from_environment, problems = environment_values(environ, kinds)
    merged: dict[str, Any] = {}
    for layer in (base, from_environment, overrides or {}):
        _overlay(merged, layer)
    return merged, problems


def _overlay(merged: dict[str, Any], layer: Mapping[str, Any]) -> None:
    """Put a later layer over earlier ones; it may give one edge of a range, or replace it."""
    below = merged.get("date_range")
    if layer.get("default_date") is not None and "date_range" not in layer:
        merged.pop("date_range", None)
    merged.update(layer)
    above = layer.get("date_range")
    if isinstance(below, Mapping) and isinstance(above, Mapping):
        merged["date_range"] = {**below, **above}


def structured_values(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """Turn raw values into fields; a faulty or absent key is left out of the result."""
    fields: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, item in config_keys().items():
        value = given.get(name)
        if value is None:
            if item.default is attrs.NOTHING:
                problems.append(Problem(f"$.{name}", "required, and missing"))
            elif name in given and item.default is not None:
                problems.append(Problem(f"$.{name}", "must not be null"))
            else:
                fields[name] = item.default
            continue
        structured, faults = structure_value(value, item.metadata, f"$.{name}")
        problems += faults
        if not faults:
            fields[name] = structured
    return fields, problems
