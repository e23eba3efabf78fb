"""Merges the sources of values, the later over the earlier, and converts the result to fields."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from typing import Any

import attrs
from attrs import define, field

from crypto_lakehouse.core.config.credential_names import (
    CREDENTIALS,
    OF_KEYS,
    missing_variables,
)
from crypto_lakehouse.core.config.keys import UNSET, may_be_unset
from crypto_lakehouse.core.config.origins import FILE, KEYWORD, MAPPING, OVERRIDE, FileValues
from crypto_lakehouse.core.config.pipelines import PIPELINES
from crypto_lakehouse.core.config.profiles import CHOICE, PROFILES, Profiles
from crypto_lakehouse.core.config.rules import OLDER_KEYS, check_unknown_keys
from crypto_lakehouse.core.config.sources import ENVIRONMENT_PREFIX, environment_values
from crypto_lakehouse.core.config.storage import is_url
from crypto_lakehouse.core.config.tenant_places import place_faults
from crypto_lakehouse.core.config.tenants import TENANT, TENANTS, Tenants
from crypto_lakehouse.core.config.values import structure_value
from crypto_lakehouse.core.errors import ConfigurationError, Problem

__all__ = [
    "Keys",
    "Layers",
    "lay_sources",
    "mapping_of",
    "structured_values",
    "unread_values",
]

#: The keys of a configuration by name, each with its attrs field (see `keys.key`).
Keys = Mapping[str, "attrs.Attribute[Any]"]


#: The key of the settings of an object store.
_OF_STORES = "storage"


@define
class Layers:
    """Merged values as given, with the origin of each, and the warnings and errors found.

    Attributes:
        edges: The origin of each edge of a range, as of `date_range.start`.
    """

    values: dict[str, Any] = field(factory=dict)
    origins: dict[str, str] = field(factory=dict)
    edges: dict[str, str] = field(factory=dict)
    notes: list[str] = field(factory=list)
    problems: list[Problem] = field(factory=list)

    def put(self, layer: Mapping[str, Any], origin: Callable[[str], str]) -> None:
        """Add a layer above the others; it may set one edge of a date range, or replace it."""
        below = self.values.get("date_range")
        if layer.get("default_date") is not None and "date_range" not in layer:
            self.values.pop("date_range", None)
            self.origins.pop("date_range", None)
        origins = {name: origin(name) for name in layer}
        above = layer.get("date_range")
        if isinstance(above, Mapping):
            edges = [edge for edge in ("start", "end") if edge in above]
            self.edges.update({f"date_range.{edge}": origin("date_range") for edge in edges})
        self.values.update(layer)
        if isinstance(below, Mapping) and isinstance(above, Mapping):
            self.values["date_range"] = {**below, **above}
            if not set(below) <= set(above):
                origins["date_range"] = f"{self.origins['date_range']}; {origins['date_range']}"
        self.origins.update(origins)


def lay_sources(
    values: object,
    environ: Mapping[str, str],
    overrides: Mapping[str, Any] | None,
    keywords: Mapping[str, Any],
    *,
    keys: Keys,
    prefix: str = ENVIRONMENT_PREFIX,
    older: Mapping[str, str] = OLDER_KEYS,
    others: Collection[str] = (),
) -> Layers:
    """Merge a mapping, its profile, its tenant, variables, keywords and overrides, in this order.

    Args:
        values: The mapping.
        environ: Environment variables.
        overrides: Values that take precedence over all others.
        keywords: Values that take precedence over the mapping and the variables.
        keys: The keys of the configuration; `environment` and `tenant` are two of them.
        prefix: What the names of its variables begin with.
        older: Keys that are ignored with a warning, and why.
        others: Keys that are ignored in the mapping, its profiles and its tenants, because other
            commands read them.

    Raises:
        ConfigurationError: `values` is not a mapping.
    """
    base = {name: value for name, value in mapping_of(values).items() if name not in others}
    above = overrides or {}
    kinds = {name: item.metadata["kind"] for name, item in keys.items()}
    variables, unknown_names, problems = environment_values(environ, kinds, prefix, others)
    base.pop(PIPELINES, None)  # only `run` reads them
    profiles = Profiles.read(base.pop(PROFILES, {}), keys, older, others)
    tenants = Tenants.read(base.pop(TENANTS, None), keys, older, others)
    name = _first_given(keys, CHOICE, above, keywords, variables, base)
    profile = profiles.by_name.get(name, {}) if isinstance(name, str) else {}
    tenant = _first_given(keys, TENANT, above, keywords, variables, base)
    own = tenants.by_name.get(tenant, {}) if isinstance(tenant, str) else {}
    given = (above, keywords, variables, own, profile, base)
    named = _first_given(keys, CREDENTIALS, *given)
    problems += missing_variables(named, environ)
    replaced: dict[str, str] = {}
    if prefix == ENVIRONMENT_PREFIX:
        replaced = _named_variables(named, environ)
        variables |= {key: environ[variable] for key, variable in replaced.items()}
        output = _first_given(keys, "output_directory", *given)
        variables, problems = _of_output(output, variables, problems)
    layers = Layers(
        notes=[*unknown_names, *profiles.notes, *tenants.notes],
        problems=[*problems, *profiles.problems, *tenants.problems],
    )
    layers.problems += [*profiles.fault_of(name), *tenants.fault_of(tenant)]
    if tenants.by_name:
        layers.problems += place_faults(
            {
                each: _of_tenant(each, values, name)
                | variables
                | ({**keywords, **above} if each == tenant else {})
                for each in tenants.by_name
            }
        )
    layers.put(base, lambda _: FILE if isinstance(values, FileValues) else MAPPING)
    layers.put(profile, lambda _: f"profile `{name}`")
    layers.put(own, lambda _: f"tenant `{tenant}`")
    layers.put(
        variables,
        lambda key: f"variable {replaced[key]}" if key in replaced
        else _variables(prefix, key, environ),
    )  # fmt: skip
    layers.put(keywords, lambda _: KEYWORD)
    layers.put(above, lambda _: OVERRIDE)
    layers.values, notes, unknown = check_unknown_keys(
        layers.values, keys, older=older, others=others
    )
    layers.notes += notes
    layers.problems += unknown
    return layers


def _named_variables(names: object, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variable of each key whose URL has credentials, as far as it is named and set."""
    given = names if isinstance(names, Mapping) else {}
    found = {key: given.get(name) for name, key in OF_KEYS.items()}
    return {key: each for key, each in found.items() if isinstance(each, str) and environ.get(each)}


def _of_tenant(name: str, values: object, profile: object) -> dict[str, Any]:
    """Return what a mapping has for a tenant, keys of all commands, as they are given."""
    base = mapping_of(values)
    layers: list[Mapping[str, Any]] = [base]
    for key, chosen in ((PROFILES, profile), (TENANTS, name)):
        named = base.get(key)
        given = named.get(chosen) if isinstance(named, Mapping) and isinstance(chosen, str) else {}
        layers.append(given if isinstance(given, Mapping) else {})
    return {key: value for layer in layers for key, value in layer.items()}


def mapping_of(values: object) -> dict[str, Any]:
    """Return a copy of a mapping; an empty one for None.

    Raises:
        ConfigurationError: `values` is not a mapping.
    """
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        kind = type(values).__name__
        raise ConfigurationError([Problem("$", f"must be a mapping of keys, not {kind}")])
    return dict(values)


def _first_given(keys: Keys, name: str, *layers: Mapping[str, Any]) -> object:
    default = keys[name].default
    return next((layer[name] for layer in layers if layer.get(name) is not None), default)


def _of_output(
    output: object, variables: dict[str, Any], problems: list[Problem]
) -> tuple[dict[str, Any], list[Problem]]:
    """Leave the variable out that is for object stores if the output is a directory.

    The environment serves buckets and directories alike; a file or an option is of one output.
    """
    if not isinstance(output, str | os.PathLike) or is_url(os.fspath(output)):
        return variables, problems
    variable = f"{ENVIRONMENT_PREFIX}{_OF_STORES.upper()}"
    kept = {key: value for key, value in variables.items() if key != _OF_STORES}
    return kept, [problem for problem in problems if problem.path != variable]


def _variables(prefix: str, key: str, environ: Mapping[str, str]) -> str:
    """Return the names of the variables that set a key; a range may have one for each edge."""
    name = f"{prefix}{key.upper()}"
    edges = (f"{name}_START", f"{name}_END") if key == "date_range" else ()
    return f"variable {', '.join(each for each in (name, *edges) if environ.get(each))}"


def _is_unset(value: object, item: attrs.Attribute[Any]) -> bool:
    """Whether a value is `none` for a key that may be unset, and whose values are not free text.

    It overrides a value from an earlier source; an empty variable would not.
    """
    return value == UNSET and may_be_unset(item)


def unread_values(keys: Keys) -> dict[str, Any]:
    """Return the values used for keys that could not be read: defaults, None if there is none."""
    return {name: None if each.default is attrs.NOTHING else each.default
            for name, each in keys.items()}  # fmt: skip


def structured_values(given: Mapping[str, Any], keys: Keys) -> tuple[dict[str, Any], list[Problem]]:
    """Convert raw values to fields; the result omits keys with an error."""
    fields: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, item in keys.items():
        value = given.get(name)
        if value is None or _is_unset(value, item):
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
