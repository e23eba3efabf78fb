"""What is ingested or validated, from where, into which tables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from attrs import field, frozen

from crypto_lakehouse.core.archive import Archive, DataType, Market, Series
from crypto_lakehouse.core.errors import ConfigurationError, Problem
from crypto_lakehouse.core.messages import allowed_values

__all__ = ["LakeConfig"]

_FORMATS = ("iceberg", "parquet")
_COMPRESSIONS = ("lz4", "zstd", "snappy", "none")


@frozen(kw_only=True)
class LakeConfig:
    """The configuration of an ingestion or a validation.

    Attributes:
        output_directory: The directory that `collect` wrote to, or any mirror of the archive.
        lake: Where the tables are; `<output_directory>/.lakehouse/lake` by default.
        catalog: A catalog of pyiceberg's configuration in place of the embedded one.
        format: `iceberg` tables, or plain `parquet` files in folders named after partitions.
        markets, data_types, symbols, intervals: Only these archives; symbols may be globs.
        exact: Whether numbers become decimal(38, 18) in place of float64.
        policies: What to do about findings, by check: report, quarantine or drop.
        workers: Threads; None is one for each core.
        compression: Of data files.
        again: Whether to read archives once more that are in the tables in this version.

    Raises:
        ConfigurationError: With every fault found.
    """

    output_directory: str = field(converter=os.fspath)
    lake: str | None = None
    catalog: str | None = None
    format: str = "iceberg"
    markets: tuple[str, ...] = ()
    data_types: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    intervals: tuple[str, ...] = ()
    exact: bool = False
    policies: Mapping[str, str] = field(factory=dict)
    workers: int | None = None
    compression: str = "lz4"
    again: bool = False

    def __attrs_post_init__(self) -> None:
        problems = [
            *_outside("$.format", (self.format,), _FORMATS),
            *_outside("$.compression", (self.compression,), _COMPRESSIONS),
            *_outside("$.markets", self.markets, tuple(Market)),
            *_outside("$.data_types", self.data_types, tuple(DataType)),
        ]
        if self.workers is not None and not 1 <= self.workers <= 64:
            problems.append(Problem("$.workers", f"must be 1 to 64, not {self.workers}"))
        if self.format == "parquet" and self.catalog is not None:
            problems.append(Problem("$.catalog", "plain Parquet files have no catalog"))
        if problems:
            raise ConfigurationError(problems)

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


def _outside(path: str, given: tuple[str, ...], allowed: tuple[str, ...]) -> list[Problem]:
    return [
        Problem(path, f"no `{value}`; {allowed_values(value, allowed)}")
        for value in given
        if value not in allowed
    ]
