"""The configuration of a run: `WorkflowConfig`, validated as a whole before the run starts.

Values come from a mapping (a dict, or a parsed JSON, TOML or YAML file), the profile in it that
`environment` selects, the tenant in it that `tenant` selects, environment variables
`CRYPTO_LAKEHOUSE_*`, keywords, and overrides (command-line options). Later sources win. All errors
are reported together, each with its path.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any, Unpack

from attrs import field, frozen

from crypto_lakehouse.core.config.keywords import ConfigKeywords
from crypto_lakehouse.core.config.layers import (
    lay_sources,
    structured_values,
    unread_values,
)
from crypto_lakehouse.core.config.origins import DEFAULT, KEYWORD, name_origins
from crypto_lakehouse.core.config.profiles import PROFILES, USUAL_PROFILES
from crypto_lakehouse.core.config.rules import LAKE_KEYS, check_combinations
from crypto_lakehouse.core.config.tenants import TENANTS
from crypto_lakehouse.core.config.values import DateRange, is_glob
from crypto_lakehouse.core.config.workflow_keys import (
    DEFAULT_LISTING_URL,
    DEFAULT_SOURCE_URL,
    WorkflowKeys,
    config_keys,
)
from crypto_lakehouse.core.errors import ConfigurationError, ConfigurationWarning, Problem
from crypto_lakehouse.core.redaction import redact
from crypto_lakehouse.core.symbols import SymbolFilter

__all__ = [
    "DEFAULT_LISTING_URL",
    "DEFAULT_SOURCE_URL",
    "DateRange",
    "WorkflowConfig",
    "config_keys",
    "plain_value",
]


@frozen(init=False, kw_only=True)
class WorkflowConfig(WorkflowKeys):
    """The configuration of one run; immutable, and free of faults unless `problems` names some.

    Args:
        values: The mapping to read. Relative paths are relative to the working directory. Keys that
            only `ingest` and `validate` have are ignored, so that one file serves all commands.
        environ: Environment variables; the process's own by default, `{}` for none.
        overrides: Values that take precedence over all others.
        validate: Whether errors are raised. If False, `problems` holds them, invalid keys get their
            defaults (None if they have none), and every workflow refuses the configuration.
        keywords: Keys by name; they take precedence over the mapping and the variables.

    Attributes:
        problems: All errors, if `validate` is False.
        warnings: Values that were accepted with a warning; one sentence each.
        origins: The origin of each value, by key: `default`, `mapping`, `file`,
            ``profile `NAME` ``, ``tenant `NAME` ``, `variable NAME`, `keyword` or `override`; two,
            separated by a semicolon, if each sets one edge of a range.

    Every other attribute is a configuration key, described in `workflow_keys`.

    Raises:
        ConfigurationError: The configuration is invalid (all errors are listed, each with its
            path), or `values` is not a mapping.

    Examples:
        >>> config = WorkflowConfig(
        ...     {"symbols": ["BTCUSDT"], "default_date": "2025-07-15"},
        ...     output_directory="o",
        ...     environ={},
        ... )
        >>> config.partitions, config.max_parallel_downloads
        ('auto', 16)
    """

    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = field(default=(), eq=False, repr=False)
    origins: Mapping[str, str] = field(factory=dict, eq=False, repr=False)

    def __init__(
        self,
        values: Mapping[str, Any] | None = None,
        /,
        *,
        environ: Mapping[str, str] | None = None,
        overrides: Mapping[str, Any] | None = None,
        validate: bool = True,
        **keywords: Unpack[ConfigKeywords],
    ) -> None:
        variables = os.environ if environ is None else environ
        layers = lay_sources(
            values, variables, overrides, keywords, keys=config_keys(), others=LAKE_KEYS
        )
        fields, invalid = structured_values(layers.values, config_keys())
        if isinstance(period := fields.get("default_date"), DateRange):
            fields["default_date"] = None
            if fields.get("date_range") is None:
                fields["date_range"] = period
                layers.origins["date_range"] = layers.origins.pop("default_date")
        found = [*layers.problems, *invalid, *check_combinations(fields)]
        problems = name_origins(found, layers.origins | layers.edges)
        if problems and validate:
            raise ConfigurationError(problems)
        # a key whose value cannot be read has its default
        origins = dict.fromkeys(config_keys(), DEFAULT)
        origins |= {name: layers.origins.get(name, DEFAULT) for name in fields}
        fields = {**unread_values(config_keys()), **fields}
        if fields["source_url"] == DEFAULT_SOURCE_URL:  # no other source has its endpoints
            for name in ("listing_url", "second_source_url"):
                fields[name] = fields[name] or DEFAULT_LISTING_URL
        self.__attrs_init__(
            **fields, problems=tuple(problems), warnings=tuple(layers.notes), origins=origins
        )
        for note in layers.notes:
            warnings.warn(note, ConfigurationWarning, stacklevel=2)

    @property
    def symbol_filter(self) -> SymbolFilter:
        """The criteria for symbols other than their names."""
        return SymbolFilter(
            quote_assets=self.quote_assets,
            contracts=self.contracts,
            leveraged_tokens=self.leveraged_tokens,
            stable_pairs=self.stable_pairs,
        )

    @property
    def wants_listing(self) -> bool:
        """Whether the plan should come from a listing, if the source has one.

        Symbols that are selected by a filter or a glob need one, whether or not it is configured.
        """
        if self.only is not None or self.discovery == "calendar":
            return False
        return self.discovery == "listing" or bool(self.listing_url) or not self.names_symbols

    @property
    def names_symbols(self) -> bool:
        """Whether every symbol is named exactly, so that no listing is needed to find it."""
        return bool(self.all_symbols) and not any(map(is_glob, self.all_symbols))

    @property
    def all_symbols(self) -> tuple[str, ...]:
        """The configured symbols and globs of all markets; empty if there are none."""
        if isinstance(self.symbols, Mapping):
            return tuple(symbol for group in self.symbols.values() for symbol in group)
        return self.symbols or ()

    def replace(self, **keywords: Unpack[ConfigKeywords]) -> WorkflowConfig:
        """Return a copy with other values, checked as a whole; secrets stay as they are.

        The origins of all other values stay as they are, too.

        Raises:
            ConfigurationError: With every fault of the copy.

        Examples:
            >>> config = WorkflowConfig(
            ...     output_directory="o", symbols=["BTCUSDT"], default_date="2025-07-15", environ={}
            ... )
            >>> config.replace(max_retries=0).max_retries
            0
        """
        values = self.to_mapping()
        texts = {name: getattr(self, name) for name in config_keys()}
        values |= {name: text for name, text in texts.items() if isinstance(text, str)}
        made = WorkflowConfig(values, environ={}, **keywords)
        origins = {**self.origins, **dict.fromkeys(keywords, KEYWORD)}
        object.__setattr__(made, "origins", origins)  # it is frozen, and not in use yet
        return made

    def to_mapping(self) -> dict[str, Any]:
        """Return all keys and values in plain JSON types, with secrets masked.

        The name of a profile or a tenant comes with an empty one, so that the mapping can be read
        again.
        """
        plain = {name: plain_value(getattr(self, name)) for name in config_keys()}
        if self.environment not in USUAL_PROFILES:
            plain[PROFILES] = {self.environment: {}}
        if self.tenant is not None:
            plain[TENANTS] = {self.tenant: {}}
        return {name: value for name, value in plain.items() if value is not None}


def plain_value(value: Any) -> Any:
    """Return a key's value in plain JSON types, with secrets masked."""
    match value:
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {str(key): plain_value(item) for key, item in value.items()}
        case tuple() | list():
            return [plain_value(item) for item in value]
        case DateRange():
            end = {"end": value.end.isoformat()} if value.end else {}
            return {"start": value.start.isoformat(), **end}
        case _:
            return redact(str(value))
