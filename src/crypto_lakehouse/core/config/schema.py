"""The JSON schema of a configuration file, for editors (draft 2020-12)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from crypto_lakehouse.core.archive import INTERVALS, DataType, Market, Partition
from crypto_lakehouse.core.config.credential_names import CREDENTIAL_NAMES
from crypto_lakehouse.core.config.fill_settings import NOW
from crypto_lakehouse.core.config.freshness_settings import FRESHNESS_KEYS
from crypto_lakehouse.core.config.keys import UNSET, described, may_be_unset
from crypto_lakehouse.core.config.layers import Keys
from crypto_lakehouse.core.config.nested_settings import LIVE_MARKETS
from crypto_lakehouse.core.config.pipeline_schema import PIPELINES_SCHEMA
from crypto_lakehouse.core.config.pipelines import PIPELINES
from crypto_lakehouse.core.config.profiles import CHOICE, PROFILES, USUAL_PROFILES
from crypto_lakehouse.core.config.proxy_settings import ENVIRONMENT, NONE, PROXY_PORTS
from crypto_lakehouse.core.config.quantities import quantity_pattern
from crypto_lakehouse.core.config.record_settings import RECORD_STREAMS, ROTATIONS, SNAPSHOT_TIMES
from crypto_lakehouse.core.config.rules import OLDER_KEYS
from crypto_lakehouse.core.config.storage import STORAGE_KEYS
from crypto_lakehouse.core.config.tenants import TENANT, TENANT_NAME, TENANTS
from crypto_lakehouse.core.config.values import (
    AUTO,
    MOST,
    Choice,
    Credentials,
    DateRange,
    DayOrPeriod,
    Fill,
    Freshness,
    Interval,
    Intervals,
    Parallelism,
    Partitions,
    Policies,
    Processes,
    Profile,
    ProxySetting,
    Record,
    Serve,
    Storage,
    Symbol,
    Symbols,
)
from crypto_lakehouse.core.config.workflow_keys import config_keys
from crypto_lakehouse.core.data_types import PUBLISHED_TYPES

__all__ = ["config_schema"]

_DRAFT = "https://json-schema.org/draft/2020-12/schema"

_Schema = dict[str, Any]


def config_schema(keys: Keys | None = None, others: Keys | None = None) -> _Schema:
    """Return the schema of a configuration file.

    Args:
        keys: The keys of another configuration than a collection's.
        others: Keys that the file may have for other commands, as far as `keys` lacks them.

    No key is required in a file, because a variable or an option may set it.

    Examples:
        >>> config_schema()["properties"]["max_retries"]["maximum"]
        20
    """
    older = {
        name: {"description": f"Ignored: {reason}.", "deprecated": True}
        for name, reason in OLDER_KEYS.items()
        if keys is None
    }
    keys = {**(others or {}), **(keys or config_keys())}
    return {
        "$schema": _DRAFT,
        "title": "Configuration of crypto-lakehouse",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            **key_schemas(keys),
            PROFILES: _profiles(keys),
            TENANTS: _tenants(keys),
            PIPELINES: PIPELINES_SCHEMA,
            **older,
        },
    }


def key_schemas(keys: Keys) -> dict[str, _Schema]:
    """Return the schema of each key's values."""
    return {name: _key(attribute) for name, attribute in keys.items()}


def _profiles(keys: Keys) -> _Schema:
    return {
        "description": "Keys that apply in one environment only, by the name of the environment.",
        "type": "object",
        "additionalProperties": _references(keys),
    }


def _tenants(keys: Keys) -> _Schema:
    return {
        "description": "Keys that apply to one tenant only, by the name of the tenant.",
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": f"^{TENANT_NAME}$"},
        "additionalProperties": _references(keys),
    }


def _references(keys: Keys) -> _Schema:
    names = [name for name in keys if name not in {CHOICE, TENANT}]
    return {
        "type": "object",
        "properties": {name: {"$ref": f"#/properties/{name}"} for name in names},
        "additionalProperties": False,
    }


def _key(attribute: attrs.Attribute[Any]) -> _Schema:
    values = _values(attribute)
    if attribute.default is None:
        unset = {"enum": [None, UNSET]} if may_be_unset(attribute) else {"type": "null"}
        values = {"anyOf": [values, unset]}
    words: _Schema = {"description": described(attribute).text.replace("`", "")}
    if attribute.default not in (attrs.NOTHING, None):
        words["default"] = list(value) if isinstance(value := attribute.default, tuple) else value
    return {**words, **values}


def _values(attribute: attrs.Attribute[Any]) -> _Schema:
    kind = attribute.metadata["kind"]
    least = 0 if attribute.metadata.get("may_be_empty") else 1
    if isinstance(kind, Choice):
        return _words(kind)
    if kind in (int, float):
        return _number(attribute)
    if getattr(kind, "__origin__", None) is tuple:
        item = kind.__args__[0]
        return _list(_ITEMS[item] if item in _ITEMS else _words(item), least)
    if kind in _BY_NAME:
        return _list_or_mapping(*_BY_NAME[kind], least)
    return _KINDS[kind]


def _number(attribute: attrs.Attribute[Any]) -> _Schema:
    names = {"at_least": "minimum", "at_most": "maximum", "above": "exclusiveMinimum"}
    bounds = {names[key]: each for key, each in attribute.metadata.items() if key in names}
    number = {"type": "integer" if attribute.metadata["kind"] is int else "number", **bounds}
    if "unit" not in attribute.metadata:
        return number
    pattern = quantity_pattern(attribute.metadata["unit"])
    return {"anyOf": [number, {"type": "string", "pattern": pattern}]}


def _words(words: Iterable[str]) -> _Schema:
    return {"enum": [str(word) for word in words]}


def _list(item: _Schema, least: int = 1) -> _Schema:
    """Return the schema of a list, or of a single value, which counts as a list of one."""
    return {"anyOf": [{"type": "array", "items": item, "minItems": least}, item]}


def _list_or_mapping(keys: Iterable[str], item: _Schema, least: int) -> _Schema:
    mapping = {
        "type": "object",
        "propertyNames": _words(keys),
        "additionalProperties": _list(item),
        "minProperties": 1,
    }
    return {"anyOf": [*_list(item, least)["anyOf"], mapping]}


def _number_or_auto(most: int) -> _Schema:
    return {"anyOf": [{"type": "integer", "minimum": 1, "maximum": most}, {"const": AUTO}]}


_TEXT = {"type": "string", "minLength": 1}
_DAY: _Schema = {
    "anyOf": [
        {
            "type": "string",
            "pattern": r"^(\d{4}(-\d{2}(-\d{2})?)?|\d{1,5}[dw]|today|yesterday)$",
        },
        {"type": "integer", "minimum": 1000, "maximum": 9999},
    ]
}
_PROXY_URL = {"type": "string", "pattern": f"^({'|'.join(PROXY_PORTS)})://"}

_INTERVAL = _words((*INTERVALS, "1M"))
_ITEMS: dict[Any, _Schema] = {
    str: _TEXT,
    Symbol: _TEXT,
    Interval: _INTERVAL,
    DataType: _words(PUBLISHED_TYPES),
}

#: What may be a list for all, or one for each name.
_BY_NAME: dict[Any, tuple[Iterable[str], _Schema]] = {
    Symbols: (Market, _TEXT),
    Intervals: (PUBLISHED_TYPES, _INTERVAL),
}

_KINDS: dict[Any, _Schema] = {
    bool: {"type": "boolean"},
    str: _TEXT,
    DayOrPeriod: _DAY,
    DateRange: {
        "type": "object",
        "properties": {
            edge.name: {"description": edge.metadata["help"], **_DAY}
            for edge in attrs.fields(DateRange)
        },
        "additionalProperties": False,
    },
    Partitions: {"anyOf": [{"const": AUTO}, *_list(_words(Partition))["anyOf"]]},
    Parallelism: _number_or_auto(MOST[Parallelism]),
    Processes: _number_or_auto(MOST[Processes]),
    Policies: {"type": "object", "additionalProperties": _TEXT},
    Fill: {
        "type": "object",
        "properties": {
            "until": {"anyOf": [{"const": NOW}, _DAY]},
            "only_holes": {"type": "boolean"},
            "urls": {
                "type": "object",
                "properties": {str(market): _TEXT for market in LIVE_MARKETS},
                "additionalProperties": False,
            },
        },
        "additionalProperties": False,
    },
    Freshness: {
        "type": "object",
        "propertyNames": _words(FRESHNESS_KEYS),
        "additionalProperties": {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": quantity_pattern("seconds")},
            ]
        },
    },
    Record: {
        "type": "object",
        "properties": {
            "streams": _list(_words(RECORD_STREAMS)),
            "rotate": _words(tuple(ROTATIONS)),
            "snapshots": _words(tuple(SNAPSHOT_TIMES)),
            "urls": {
                "type": "object",
                "properties": {str(market): _TEXT for market in LIVE_MARKETS},
                "additionalProperties": False,
            },
        },
        "additionalProperties": False,
    },
    Serve: {
        "anyOf": [
            {"type": "integer", "minimum": 0, "maximum": 65_535},
            _TEXT,
            {
                "type": "object",
                "properties": {
                    "address": _TEXT,
                    "port": {"type": "integer", "minimum": 0, "maximum": 65_535},
                },
                "required": ["port"],
                "additionalProperties": False,
            },
        ]
    },
    Credentials: {
        "type": "object",
        "propertyNames": _words(CREDENTIAL_NAMES),
        "additionalProperties": {"type": "string", "pattern": "^[A-Z_][A-Z0-9_]*$"},
        "minProperties": 1,
    },
    Storage: {
        "type": "object",
        "properties": {
            name: {"type": "boolean"} if kind is bool else _TEXT
            for name, kind in STORAGE_KEYS.items()
        },
        "additionalProperties": False,
    },
    Profile: {**_TEXT, "examples": list(USUAL_PROFILES)},
    ProxySetting: {"anyOf": [_words((ENVIRONMENT, NONE)), _PROXY_URL]},
}
