"""A JSON schema applied to a value: as much of draft 2020-12 as the configuration's schema uses."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

_TYPES: dict[str, Any] = {
    "object": dict, "array": list, "string": str, "boolean": bool, "null": type(None),
    "integer": int, "number": (int, float),
}  # fmt: skip

#: What says nothing about whether a value is valid.
_WORDS = {"description", "default", "deprecated", "title", "examples", "$schema", "format"}


def is_valid(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value is one of a schema; a keyword that is not known here is an error."""
    return _is_valid(value, _resolved(schema, schema.get("properties", {})))


def _resolved(node: Any, properties: dict[str, Any]) -> Any:
    """A schema with what its references to properties lead to in their place."""
    if isinstance(node, list):
        return [_resolved(each, properties) for each in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return properties[node["$ref"].removeprefix("#/properties/")]
    return {name: _resolved(each, properties) for name, each in node.items()}


def _is_valid(value: Any, schema: dict[str, Any]) -> bool:
    rules = {name: rule for name, rule in schema.items() if name not in _WORDS}
    return all(_CHECKS[name](value, rule, schema) for name, rule in rules.items())


def _has_type(value: Any, name: str, _: Any) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, _TYPES[name])


def _is_open(value: Any, rule: Any, schema: dict[str, Any]) -> bool:
    if not isinstance(value, dict):
        return True
    others = [item for name, item in value.items() if name not in schema.get("properties", {})]
    return not others if rule is False else all(_is_valid(item, rule) for item in others)


_CHECKS: dict[str, Callable[[Any, Any, dict[str, Any]], bool]] = {
    "type": _has_type,
    "enum": lambda value, rule, _: value in rule,
    "const": lambda value, rule, _: value == rule,
    "anyOf": lambda value, rule, _: any(_is_valid(value, each) for each in rule),
    "minimum": lambda value, rule, _: not isinstance(value, int | float) or value >= rule,
    "maximum": lambda value, rule, _: not isinstance(value, int | float) or value <= rule,
    "exclusiveMinimum": lambda value, rule, _: not isinstance(value, int | float) or value > rule,
    "minLength": lambda value, rule, _: not isinstance(value, str) or len(value) >= rule,
    "minItems": lambda value, rule, _: not isinstance(value, list) or len(value) >= rule,
    "minProperties": lambda value, rule, _: not isinstance(value, dict) or len(value) >= rule,
    "pattern": lambda value, rule, _: not isinstance(value, str) or bool(re.search(rule, value)),
    "items": lambda value, rule, _: not isinstance(value, list)
    or all(_is_valid(each, rule) for each in value),
    "properties": lambda value, rule, _: not isinstance(value, dict)
    or all(_is_valid(item, rule[name]) for name, item in value.items() if name in rule),
    "propertyNames": lambda value, rule, _: not isinstance(value, dict)
    or all(_is_valid(name, rule) for name in value),
    "additionalProperties": _is_open,
}  # fmt: skip
