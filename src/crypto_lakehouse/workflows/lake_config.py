"""What is ingested or validated, from where, into which tables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from fnmatch import fnmatchcase
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict, Unpack

import attrs
from attrs import frozen

from crypto_lakehouse.core.archive import Archive, DataType, Market, Series
from crypto_lakehouse.core.config.keys import About, key
from crypto_lakehouse.core.config.layers import mapping_of, structured_values
from crypto_lakehouse.core.config.sources import LAKE_PREFIX, environment_values
from crypto_lakehouse.core.config.values import Choice, Interval, Policies
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.messages import allowed_values, shown

__all__ = ["LakeConfig", "LakeKeywords", "lake_keys"]


class LakeKeywords(TypedDict, total=False):
    """Keys as a program writes them; None, or an empty list, is the default."""

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


@frozen(init=False, kw_only=True)
class LakeConfig:
    """The configuration of an ingestion or a validation.

    Args:
        values: A mapping of keys, as a dict or a parsed file.
        environ: Environment variables `CRYPTO_LAKEHOUSE_LAKE_<KEY>`; the process's own by default.
        overrides: Values that win over all others.
        keywords: Keys by their names; they win over the mapping and the variables.

    Every attribute is a key, described beside it.

    Raises:
        ConfigurationError: With every fault found.

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
        str, None, about=About("A catalog of pyiceberg's in place of the embedded one.")
    )
    format: str = key(
        Choice("iceberg", "parquet"), "iceberg", about=About("Tables, or plain files in folders.")
    )
    markets: tuple[str, ...] = key(tuple[Market, ...], (), about=About("Only these."))
    data_types: tuple[str, ...] = key(tuple[DataType, ...], (), about=About("Only these."))
    symbols: tuple[str, ...] = key(tuple[str, ...], (), about=About("Only these; may be globs."))
    intervals: tuple[str, ...] = key(tuple[Interval, ...], (), about=About("Only these."))
    exact: bool = key(bool, False, about=About("Numbers as decimal(38, 18) in place of float64."))
    policies: Mapping[str, str] = key(
        Policies, {}, about=About("By check: report, quarantine or drop its findings.")
    )
    workers: int | None = key(
        int, None, at_least=1, at_most=64, about=About("Threads.", unset="one for each core")
    )
    compression: str = key(
        Choice("lz4", "zstd", "snappy", "none"), "lz4", about=About("Of data files.")
    )
    again: bool = key(bool, False, about=About("Read archives once more that are in the tables."))

    def __init__(
        self,
        values: Mapping[str, Any] | None = None,
        /,
        *,
        environ: Mapping[str, str] | None = None,
        overrides: Mapping[str, Any] | None = None,
        **keywords: Unpack[LakeKeywords],
    ) -> None:
        variables, problems = environment_values(
            os.environ if environ is None else environ,
            {name: item.metadata["kind"] for name, item in lake_keys().items()},
            LAKE_PREFIX,
        )
        given = {**mapping_of(values), **variables, **keywords, **(overrides or {})}
        problems += _unknown(given)
        fields, invalid = structured_values(
            {name: value for name, value in given.items() if value not in ((), [])}, lake_keys()
        )
        problems += invalid
        if fields.get("format") == "parquet" and fields.get("catalog") is not None:
            problems.append(Problem("$.catalog", "plain Parquet files have no catalog"))
        if problems:
            raise ConfigurationError(problems)
        self.__attrs_init__(**fields)

    @property
    def lake_folder(self) -> Path:
        """The lake's directory."""
        if self.lake is not None:
            return Path(self.lake)
        return Path(self.output_directory) / ".lakehouse" / "lake"

    @property
    def worker_count(self) -> int:
        """Threads."""
        return self.workers or os.cpu_count() or 1

    def selects(self, archive: Archive) -> bool:
        """Whether an archive is among those wanted."""
        return self.selects_series(archive.series)

    def selects_series(self, series: Series) -> bool:
        """Whether archives of a series are."""
        return (
            (not self.markets or series.market in self.markets)
            and (not self.data_types or series.data_type in self.data_types)
            and (not self.symbols or any(fnmatchcase(series.symbol, s) for s in self.symbols))
            and (series.interval is None or not self.intervals or series.interval in self.intervals)
        )


def lake_keys() -> dict[str, attrs.Attribute[Any]]:
    """Every key of a lake's configuration with its attrs field."""
    return {item.name: item for item in attrs.fields(LakeConfig)}


def _unknown(given: Mapping[str, Any]) -> list[Problem]:
    return [
        Problem(f"$.{shown(name)}", f"unknown key; {allowed_values(name, lake_keys())}")
        for name in given
        if name not in lake_keys()
    ]
