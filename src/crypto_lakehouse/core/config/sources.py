"""Reads configuration values from text in JSON, TOML or YAML, and from the environment."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from crypto_lakehouse.core.config.origins import FileValues
from crypto_lakehouse.core.config.rules import SEE_KEYS
from crypto_lakehouse.core.config.values import (
    DateRange,
    DayOrPeriod,
    Intervals,
    Parallelism,
    Processes,
    Profile,
    ProxySetting,
    Serve,
    Symbols,
)
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.messages import allowed_values, nearest, shown

__all__ = [
    "ENVIRONMENT_PREFIX",
    "LAKE_PREFIX",
    "environment_values",
    "parse_config",
    "parse_text_value",
]

ENVIRONMENT_PREFIX = "CRYPTO_LAKEHOUSE_"

#: The prefix of variables for the configuration of a lake, not of a collection.
LAKE_PREFIX = f"{ENVIRONMENT_PREFIX}LAKE_"

#: Variables that Kubernetes and Docker set for a service or a link of the product's name.
_SERVICE_LINK = re.compile(
    r"(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?"
    r"|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
_LINKED_PORT = re.compile(r"(?:\w+_)?PORT")
_LINK_ADDRESS = re.compile(r"(?:tcp|udp|sctp)://")

_WORDS = {"true": True, "yes": True, "on": True, "1": True}
_WORDS |= {"false": False, "no": False, "off": False, "0": False}


def parse_config(text: str, name: str) -> FileValues:
    """Parse the text of a configuration file; the suffix of its name decides the format.

    Args:
        text: The whole file.
        name: Its name or path, with the suffix `.json`, `.toml`, `.yaml` or `.yml`.

    Raises:
        ConfigurationError: The suffix is unknown, the syntax is wrong (with the position), or the
            text is not a mapping.
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
        raise ConfigurationError(
            [Problem(name, f"not valid {ending}: nested too deeply")]
        ) from None
    except ValueError as error:  # the cause may quote the text, with secrets
        raise ConfigurationError([Problem(name, f"not valid {ending}: {error}")]) from None
    if not isinstance(values, dict):
        kind = type(values).__name__
        raise ConfigurationError([Problem(name, f"must contain a mapping of keys, not {kind}")])
    return FileValues(values)


def _json(text: str) -> Any:
    """Parse JSON; a repeated key is an error, as in TOML."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"key `{twice}` is repeated")
        return values

    return json.loads(text, object_pairs_hook=unique)


def _yaml(text: str) -> Any:
    from crypto_lakehouse.core.config.yaml_text import parse_yaml

    return parse_yaml(text)


def environment_values(
    environ: Mapping[str, str],
    kinds: Mapping[str, Any],
    prefix: str = ENVIRONMENT_PREFIX,
    others: Collection[str] = (),
) -> tuple[dict[str, Any], list[str], list[Problem]]:
    """Read `CRYPTO_LAKEHOUSE_<KEY>` variables.

    Lists are separated by commas or written as JSON, mappings as JSON; a range of dates is
    `CRYPTO_LAKEHOUSE_DATE_RANGE_START` and `..._END`. An empty variable counts as unset, and
    those of a Kubernetes service or a Docker link of the same name are ignored.

    Args:
        environ: The variables.
        kinds: Each configuration key and its kind.
        prefix: The prefix of the variables' names.
        others: The keys that only variables with the other prefix have.

    Returns:
        The values, a warning for each variable that names no key, and an error for each that
        cannot be read.
    """
    values: dict[str, Any] = {}
    notes: list[str] = []
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
            elif not _is_service_link(variable.removeprefix(ENVIRONMENT_PREFIX), text):
                notes.append(_unknown_name(variable, prefix, kinds, others))
        except ValueError as error:
            problems.append(Problem(variable, str(error)))
    if edges and isinstance(whole := values.get("date_range", {}), Mapping):
        values["date_range"] = {**whole, **edges}
    return values, notes, problems


def _is_service_link(name: str, text: str) -> bool:
    """Whether a variable is one that Kubernetes or Docker sets for a service of this name."""
    is_port = _LINKED_PORT.fullmatch(name) and _LINK_ADDRESS.match(text)
    return bool(_SERVICE_LINK.fullmatch(name) or is_port)


def _unknown_name(variable: str, prefix: str, keys: Iterable[str], others: Collection[str]) -> str:
    name = variable.removeprefix(prefix)
    near = nearest(name, keys)
    if name.lower() in others:
        prefix, near = ENVIRONMENT_PREFIX if prefix == LAKE_PREFIX else LAKE_PREFIX, name
    hint = f"did you mean `{prefix}{near.upper()}`?" if near else SEE_KEYS
    return f"the variable `{shown(variable)}` names no configuration key and is ignored; {hint}"


def parse_text_value(text: str, kind: Any) -> Any:
    """Parse a value that is given as text, by the environment or the command line.

    Raises:
        ValueError: The text does not fit the kind of the key.
    """
    text = text.strip()
    if kind in (ProxySetting, Profile, DayOrPeriod):  # a password may hold commas and brackets
        return text
    if kind is Serve and not text.startswith("{"):
        return text  # it may be [::1]:9108
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
        raise ValueError("not valid JSON: nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"not valid JSON: {error}") from None


def _boolean(text: str) -> bool:
    if text.lower() not in _WORDS:
        raise ValueError(f"`{shown(text)}` must be true or false")
    return _WORDS[text.lower()]


def _number(text: str) -> int | float | str:
    """Parse a number; return other text as it is, for the key's own check to report."""
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text
