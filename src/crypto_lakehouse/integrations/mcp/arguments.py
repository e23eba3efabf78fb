"""The arguments of tools: their JSON schemas, and the check of what a call gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crypto_lakehouse.core.messages import allowed_values, shown
from crypto_lakehouse.integrations.mcp.answers import RefusedError

__all__ = ["DAYS", "SELECTION", "checked", "limit", "schema_of", "selection_of"]

_LIST = {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 200},
         "minItems": 1, "maxItems": 1000}  # fmt: skip
_DAY = {"type": "string", "minLength": 1, "maxLength": 40}

#: Which series a tool is about.
SELECTION: Mapping[str, Mapping[str, Any]] = {
    "markets": {**_LIST, "description": "spot, futures_um, futures_cm, options; all by default."},
    "symbols": {**_LIST, "description": "Symbols and globs, as BTCUSDT and ETH*."},
    "data_types": {**_LIST, "description": "Data types, as klines and aggTrades."},
    "intervals": {**_LIST, "description": "Intervals of klines, as 1m and 1d."},
}

#: Which days it is about.
DAYS: Mapping[str, Mapping[str, Any]] = {
    "start": {**_DAY, "description": "The first UTC day, as 2025-07-01."},
    "end": {**_DAY, "description": "The last UTC day, inclusive."},
}

#: The type of a value, and what it is called in a message.
_KINDS: Mapping[str, tuple[type, str]] = {
    "array": (list, "a list of texts"),
    "string": (str, "a text"),
    "integer": (int, "a whole number"),
}


def limit(most: int, default: int, noun: str) -> dict[str, Mapping[str, Any]]:
    """Make the argument for the number of entries of an answer."""
    about = f"How many {noun} are returned; the others are counted."
    return {"limit": {"type": "integer", "minimum": 1, "maximum": most, "default": default,
                      "description": about}}  # fmt: skip


def schema_of(*groups: Mapping[str, Any], required: tuple[str, ...] = ()) -> dict[str, Any]:
    """Make the JSON schema of a tool's arguments."""
    properties = {name: dict(rule) for group in groups for name, rule in group.items()}
    return {"type": "object", "properties": properties, "required": [*required],
            "additionalProperties": False}  # fmt: skip


def checked(given: Mapping[str, Any] | None, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call with their defaults; None counts as not given.

    Raises:
        RefusedError: One is unknown, missing, or of another type or size.
    """
    rules: Mapping[str, Mapping[str, Any]] = schema["properties"]
    values = {name: value for name, value in (given or {}).items() if value is not None}
    for name, value in values.items():
        if name not in rules:
            reason = f"there is no argument `{shown(name)}`; {allowed_values(name, rules)}"
            raise RefusedError(reason)
        _check(name, value, rules[name])
    for name in schema["required"]:
        if name not in values:
            raise RefusedError(f"the argument `{name}` is missing")
    defaults = {name: rule["default"] for name, rule in rules.items() if "default" in rule}
    return {**defaults, **values}


def _check(name: str, value: Any, rule: Mapping[str, Any]) -> None:
    if isinstance(value, bool) or not isinstance(value, _KINDS[rule["type"]][0]):
        raise RefusedError(f"`{name}` is {_KINDS[rule['type']][1]}, and not `{shown(value)}`")
    if "enum" in rule:
        if value not in rule["enum"]:
            known = allowed_values(value, rule["enum"])
            raise RefusedError(f"`{name}` is `{shown(value)}`; {known}")
    elif isinstance(value, int):
        _check_size(name, value, (rule["minimum"], rule["maximum"]), "")
    elif isinstance(value, str):
        _check_size(name, len(value), (rule["minLength"], rule["maxLength"]), " characters long")
    elif isinstance(value, list):
        _check_size(name, len(value), (rule["minItems"], rule["maxItems"]), " entries long")
        for each in value:
            _check(name, each, rule["items"])


def _check_size(name: str, size: int, allowed: tuple[int, int], unit: str) -> None:
    least, most = allowed
    if not least <= size <= most:
        raise RefusedError(f"`{name}` is {size:,}{unit}; {least:,} to {most:,} are allowed")


def selection_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a configuration that arguments select series with."""
    return {name: tuple(arguments[name]) for name in SELECTION if name in arguments}
