"""Names the place that a wrong value came from: its variable, option, profile or tenant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from attrs import evolve

from crypto_lakehouse.core.errors import ConfigurationError, Problem

__all__ = [
    "DEFAULT",
    "FILE",
    "KEYWORD",
    "MAPPING",
    "OVERRIDE",
    "FileValues",
    "name_origins",
    "naming_origins",
]

#: Origins of values, apart from profiles, tenants and variables, which are given by name.
DEFAULT, FILE, MAPPING, KEYWORD, OVERRIDE = "default", "file", "mapping", "keyword", "override"

_KEY = re.compile(r"\$\.(?P<key>\w+)(?P<rest>.*)", re.DOTALL)
_NAMED = re.compile(r"(?P<kind>profile|tenant) `(?P<name>.*)`", re.DOTALL)

#: The key of a file that has what an origin names.
_KEYS = {"profile": "environments", "tenant": "tenants"}


class FileValues(dict[str, Any]):
    """The values of a configuration file; those of any other mapping have the origin `mapping`."""


def name_origins(problems: Iterable[Problem], origins: Mapping[str, str]) -> list[Problem]:
    """Give each problem the place that its value came from.

    Args:
        problems: Problems with paths such as `$.max_retries`.
        origins: The origin of each key, as in `WorkflowConfig.origins`; it may have one for an edge
            of a range, as `date_range.start`.

    Returns:
        The problems. The path of a value from a variable begins with the name of the variable, and
        that of a value from a profile with `$.environments`, from a tenant with `$.tenants`.
        `origin` of an override is `override`, so that a command can name its option; and that of a
        default is `default` if neither a file nor a mapping, in which the value could be, gives
        any.

    Examples:
        >>> problem = Problem("$.max_retries", "must be at most 20, not 99")
        >>> origins = {"max_retries": "variable CRYPTO_LAKEHOUSE_MAX_RETRIES"}
        >>> name_origins([problem], origins)[0].path
        'CRYPTO_LAKEHOUSE_MAX_RETRIES'
    """
    has_file = any(_is_of_file(origin) for origin in origins.values())
    return [_named(problem, origins, has_file=has_file) for problem in problems]


def _is_of_file(origins: str) -> bool:
    """Whether a value comes from a file or a mapping; each edge of a range may have its origin."""
    each = [origin.rpartition(": ")[2] for origin in origins.split("; ")]
    return any(origin in {FILE, MAPPING} or _NAMED.fullmatch(origin) for origin in each)


def _named(problem: Problem, origins: Mapping[str, str], *, has_file: bool) -> Problem:
    found = _KEY.fullmatch(problem.path)
    if found is None or problem.origin:
        return problem
    key, rest = found["key"], found["rest"]
    origin = origins.get(f"{key}{rest}") or origins.get(key, DEFAULT)
    if "; " in origin:  # each edge of a range has its own
        return problem
    if origin == OVERRIDE or (origin == DEFAULT and not has_file):
        return evolve(problem, origin=origin)
    if origin.startswith("variable "):
        return evolve(problem, path=_variable(origin.removeprefix("variable "), rest))
    if named := _NAMED.fullmatch(origin):
        place = f"$.{_KEYS[named['kind']]}.{named['name']}"
        return evolve(problem, path=f"{place}.{key}{rest}")
    return problem


def _variable(names: str, rest: str) -> str:
    """Return the variable that a position comes from; an edge of a range may have its own."""
    for name in names.split(", "):
        if rest and name.endswith(rest.replace(".", "_").upper()):
            return name
    return names + rest


@contextmanager
def naming_origins(config: object) -> Iterator[None]:
    """Raise configuration errors with the origins of the values of a configuration.

    Args:
        config: A configuration; without `origins` the errors stay as they are.
    """
    try:
        yield
    except ConfigurationError as error:
        named = name_origins(error.problems, getattr(config, "origins", {}))
        raise type(error)(named) from error.__cause__
