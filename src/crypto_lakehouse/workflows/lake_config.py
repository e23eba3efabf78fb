"""What is ingested or validated, from where, into which tables."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from fnmatch import fnmatchcase
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict, Unpack

import attrs
from attrs import field, frozen

from crypto_lakehouse.core.archive import Archive, DataType, Market, Series
from crypto_lakehouse.core.config.keys import About, key
from crypto_lakehouse.core.config.layers import (
    lay_sources,
    structured_values,
    unread_values,
)
from crypto_lakehouse.core.config.origins import DEFAULT, name_origins
from crypto_lakehouse.core.config.sources import LAKE_PREFIX
from crypto_lakehouse.core.config.values import Choice, Interval, Policies, Profile, Symbol
from crypto_lakehouse.core.config.workflow_config import plain_value
from crypto_lakehouse.core.errors import ConfigurationError, ConfigurationWarning, Problem

__all__ = ["LakeConfig", "LakeKeywords", "lake_keys"]


class LakeKeywords(TypedDict, total=False):
    """Keys as a program writes them; None is the default, and an empty list selects nothing."""

    output_directory: str | PathLike[str]
    lake: str | PathLike[str] | None
    catalog: str | None
    format: str
    markets: tuple[str, ...] | list[str] | None
    data_types: tuple[str, ...] | list[str] | None
    symbols: tuple[str, ...] | list[str] | None
    intervals: tuple[str, ...] | list[str] | None
    exact: bool
    policies: Mapping[str, str]
    workers: int | None
    compression: str
    again: bool
    environment: str


_CHOSEN = About("Restrict the archives to these; an empty list selects none.", unset="all")


@frozen(init=False, kw_only=True)
class LakeConfig:
    """The configuration of an ingestion or a validation.

    Args:
        values: A mapping of keys, as a dict or a parsed file.
        environ: Environment variables `CRYPTO_LAKEHOUSE_LAKE_<KEY>`; the process's own by default.
        overrides: Values that take precedence over all others.
        validate: Whether errors are raised. If False, `problems` holds them, invalid keys get their
            defaults (None if they have none), and every workflow refuses the configuration.
        keywords: Keys by name; they take precedence over the mapping and the variables.

    Attributes:
        problems: All errors, if `validate` is False.
        warnings: Variables that name no key, one sentence each.
        origins: The origin of each value, by key, as in `WorkflowConfig`.

    Every other attribute is a key, described beside it.

    Raises:
        ConfigurationError: The configuration is invalid; all errors are listed.

    Example:
        >>> LakeConfig({"output_directory": "data"}, exact=True, environ={}).exact
        True
    """

    output_directory: str = key(
        str, about=About("What `collect` wrote to, or any mirror of the archive.")
    )
    lake: str | None = key(
        str, None, about=About("The tables.", unset="`<output_directory>/.lakehouse/lake`")
    )
    catalog: str | None = key(
        str, None, about=About("A pyiceberg catalog to use instead of the embedded one.")
    )
    format: str = key(
        Choice("iceberg", "parquet"), "iceberg", about=About("Tables, or plain files in folders.")
    )
    markets: tuple[str, ...] | None = key(
        tuple[Market, ...], None, about=_CHOSEN, may_be_empty=True
    )
    data_types: tuple[str, ...] | None = key(
        tuple[DataType, ...], None, about=_CHOSEN, may_be_empty=True
    )
    symbols: tuple[str, ...] | None = key(
        tuple[Symbol, ...],
        None,
        about=About(
            "Restrict the archives to these symbols or globs; an empty list selects none.",
            unset="all",
        ),
        may_be_empty=True,
    )
    intervals: tuple[str, ...] | None = key(
        tuple[Interval, ...],
        None,
        about=About(
            "Restrict the archives of bars to these; an empty list selects no bars.", unset="all"
        ),
        may_be_empty=True,
    )
    exact: bool = key(
        bool, False, about=About("Read numbers as decimal(38, 18) instead of float64.")
    )
    policies: Mapping[str, str] = key(
        Policies,
        {},
        about=About("What to do about the findings of a check: report, quarantine or drop."),
    )
    workers: int | None = key(
        int, None, at_least=1, at_most=64, about=About("Threads.", unset="one for each core")
    )
    compression: str = key(
        Choice("lz4", "zstd", "snappy", "none"),
        "lz4",
        about=About("The compression of data files."),
    )
    again: bool = key(
        bool, False, about=About("Ingest again the archives that are already in the tables.")
    )
    environment: str = key(
        Profile, "development", about=About("The profile of the file to use.", since="0.2.0")
    )
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
        **keywords: Unpack[LakeKeywords],
    ) -> None:
        layers = lay_sources(
            values, os.environ if environ is None else environ, overrides, keywords,
            keys=lake_keys(), prefix=LAKE_PREFIX, older={},
        )  # fmt: skip
        chosen = {name: value for name, value in layers.values.items() if value is not None}
        fields, invalid = structured_values(chosen, lake_keys())
        problems = [*layers.problems, *invalid]
        if fields.get("format") == "parquet" and fields.get("catalog") is not None:
            problems.append(Problem("$.catalog", "plain Parquet files have no catalog"))
        problems = name_origins(problems, layers.origins | layers.edges)
        if problems and validate:
            raise ConfigurationError(problems)
        origins = {name: layers.origins.get(name, DEFAULT) for name in lake_keys()}
        fields = {**unread_values(lake_keys()), **fields}
        self.__attrs_init__(
            **fields, problems=tuple(problems), warnings=tuple(layers.notes), origins=origins
        )
        for note in layers.notes:
            warnings.warn(note, ConfigurationWarning, stacklevel=2)

    def to_mapping(self) -> dict[str, Any]:
        """Return all keys and values in plain JSON types, with secrets masked."""
        plain = {name: plain_value(getattr(self, name)) for name in lake_keys()}
        return {name: value for name, value in plain.items() if value is not None}

    @property
    def lake_folder(self) -> Path:
        """The lake's directory."""
        if self.lake is not None:
            return Path(self.lake).expanduser()
        return Path(self.output_directory).expanduser() / ".lakehouse" / "lake"

    @property
    def lock(self) -> Path:
        """The lock that a run which writes to the lake holds."""
        return self.lake_folder / "lock"

    @property
    def worker_count(self) -> int:
        """Threads."""
        return self.workers or os.cpu_count() or 1

    def selects(self, archive: Archive) -> bool:
        """Whether an archive is selected."""
        return self.selects_series(archive.series)

    def selects_series(self, series: Series) -> bool:
        """Whether the archives of a series are selected."""
        return (
            (self.markets is None or series.market in self.markets)
            and (self.data_types is None or series.data_type in self.data_types)
            and self._selects_symbol(series.symbol)
            and self._selects_interval(series.interval)
        )

    def _selects_symbol(self, symbol: str) -> bool:
        return self.symbols is None or any(fnmatchcase(symbol, each) for each in self.symbols)

    def _selects_interval(self, interval: str | None) -> bool:
        return interval is None or self.intervals is None or interval in self.intervals


def lake_keys() -> dict[str, attrs.Attribute[Any]]:
    """Every key of a lake's configuration with its attrs field."""
    return {item.name: item for item in attrs.fields(LakeConfig) if "about" in item.metadata}
