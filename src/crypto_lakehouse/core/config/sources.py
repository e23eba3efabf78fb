"""Where configuration values come from: text in JSON, TOML or YAML, and the environment."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

from crypto_lakehouse.core.config.values import (
    DateRange,
    Intervals,
    Parallelism,
    Processes,
    Profile,
    ProxySetting,
    Symbols,
)
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.messages import allowed_values, shown

__all__ = [
    "ENVIRONMENT_PREFIX",
    "LAKE_PREFIX",
    "environment_values",
    "parse_config",
    "parse_text_value",
]

ENVIRONMENT_PREFIX = "CRYPTO_LAKEHOUSE_"

#: Variables that are keys of a lake's configuration, and none of a collection's.
LAKE_PREFIX = f"{ENVIRONMENT_PREFIX}LAKE_"

_WORDS = {"true": True, "yes": True, "on": True, "1": True}
_WORDS |= {"false": False, "no": False, "off": False, "0": False}


def parse_config(text: str, name: str) -> dict[str, Any]:
    """Read a configuration file's text; the format follows from the file name's ending.

    Args:
        text: The whole file.
        name: Its name or path, ending in `.json`, `.toml`, `.yaml` or `.yml`.

    Raises:
        ConfigurationError: An unknown ending, a syntax error (with its place), or no mapping.
    """
    parsers: dict[str, Callable[[str], Any]] = {
        "json": _json,
        "toml": tomllib.loads,
        "yaml": _yaml,
        "yml": _yaml,
    }
    ending = name.rpartition(".")[2].lower()
    parser = parsers.get(ending)
    if parser is None:
        hint = allowed_values(f".{ending}", [f".{known}" for known in parsers])
        raise ConfigurationError([Problem(name, f"unknown kind of configuration file; {hint}")])
    try:
        values = parser(text)
    except RecursionError:
        raise ConfigurationError([Problem(name, f"not valid {ending}: nested too deep")]) from None
    except ValueError as error:  # it may hold the text, and secrets in it
        raise ConfigurationError([Problem(name, f"not valid {ending}: {error}")]) from None
    if not isinstance(values, dict):
        kind = type(values).__name__
        raise ConfigurationError([Problem(name, f"must hold a mapping of keys, not {kind}")])
    return values


def _json(text: str) -> Any:
    """JSON in which a key that stands twice is an error, as it is in TOML."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"key `{twice}` stands twice")
        return values

    return json.loads(text, object_pairs_hook=unique)


def _yaml(text: str) -> Any:
    from crypto_lakehouse.core.config.yaml_text import parse_yaml

    return parse_yaml(text)


def environment_values(
    environ: Mapping[str, str], kinds: Mapping[str, Any], prefix: str = ENVIRONMENT_PREFIX
) -> tuple[dict[str, Any], list[Problem]]:
    """Read `CRYPTO_LAKEHOUSE_<KEY>` variables.

    Lists are separated by commas or written as JSON, mappings as JSON; a range of dates is
    `CRYPTO_LAKEHOUSE_DATE_RANGE_START` and `..._END`. An empty variable counts as unset.

    Args:
        environ: The variables.
        kinds: Each configuration key and its kind.
        prefix: What the names of the variables begin with.

    Returns:
        The values found, and a problem for each variable that names no key or cannot be read.
    """
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    edges: dict[str, str] = {}
    names = {f"{prefix}{key.upper()}": key for key in kinds}
    for variable, text in environ.items():
        is_other = prefix != LAKE_PREFIX and variable.startswith(LAKE_PREFIX)
        if not variable.startswith(prefix) or is_other or not text:
            continue
        key, _, edge = variable.removeprefix(prefix).lower().rpartition("_")
        try:
            if key == "date_range" and edge in {"start", "end"}:
                edges[edge] = text
            elif variable in names:
                values[names[variable]] = parse_text_value(text, kinds[names[variable]])
            else:
                hint = allowed_values(variable, names)
                problems.append(Problem(shown(variable), f"names no configuration key; {hint}"))
        except ValueError as error:
            problems.append(Problem(variable, str(error)))
    if edges and isinstance(whole := values.get("date_range", {}), Mapping):
        values["date_range"] = {**whole, **edges}
    return values, problems


def parse_text_value(text: str, kind: Any) -> Any:
    """Read a value that arrives as text, from the environment or the command line.

    Raises:
        ValueError: The text is not of the key's kind.
    """
    text = text.strip()
    if kind in (ProxySetting, Profile):  # a password may hold commas and brackets
        return text
    if text[:1] in {"[", "{"} and not isinstance(kind, type):
        return _json_text(text)
    if kind in (Symbols, Intervals) or getattr(kind, "__origin__", None) is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    if kind is DateRange:
        return _json_text(text)
    if kind is bool:
        return _boolean(text)
    if kind in (int, float, Parallelism, Processes):
        return _number(text)
    return text.split(",") if "," in text and not isinstance(kind, type) else text


def _json_text(text: str) -> Any:
    try:
        return _json(text)
    except RecursionError:
        raise ValueError("not valid JSON: nested too deep") from None
    except ValueError as error:
        raise ValueError(f"not valid JSON: {error}") from None


def _boolean(text: str) -> bool:
    if text.lower() not in _WORDS:
        raise ValueError(f"`{shown(text)}` must be true or false")
    return _WORDS[text.lower()]


def _number(text: str) -> int | float | str:
    """A number where the text is one; other text is left for the key's own check to name."""
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text
