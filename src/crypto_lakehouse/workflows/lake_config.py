"""What is ingested or validated, from where, into which tables."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict, Unpack

import attrs
from attrs import field, frozen

from crypto_lakehouse.core.archive import Archive, DataType, Market, Series
from crypto_lakehouse.core.config.keys import About, key
from crypto_lakehouse.core.config.layers import lay_sources, structured_values, unread_values
from crypto_lakehouse.core.config.monitoring_keys import IN_TEXTFILE, SENT, SERVED
from crypto_lakehouse.core.config.origins import DEFAULT, name_origins
from crypto_lakehouse.core.config.rules import OLDER_KEYS
from crypto_lakehouse.core.config.sources import LAKE_PREFIX
from crypto_lakehouse.core.config.storage import StoreUrl, is_url
from crypto_lakehouse.core.config.values import (
    AUTO,
    Choice,
    Credentials,
    Intervals,
    Policies,
    Processes,
    Profile,
    Serve,
    Storage,
    Symbols,
)
from crypto_lakehouse.core.config.workflow_config import config_keys, plain_value
from crypto_lakehouse.core.errors import ConfigurationError, ConfigurationWarning, Problem
from crypto_lakehouse.matrix.load import load_matrix
from crypto_lakehouse.stores.state import LAKE_FOLDER
from crypto_lakehouse.stores.user_path import absolute_path
from crypto_lakehouse.workflows.lake_rules import lake_faults

__all__ = ["LakeConfig", "LakeKeywords", "lake_keys"]


class LakeKeywords(TypedDict, total=False):
    """Keys as a program writes them; None is the default, and an empty list selects nothing."""

    output_directory: str | PathLike[str]
    storage: Mapping[str, Any] | None
    credentials: Mapping[str, str] | None
    state_directory: str | PathLike[str] | None
    ledger: str | None
    ledger_schema: str | None
    lake: str | PathLike[str] | None
    catalog: str | None
    format: str
    markets: tuple[str, ...] | list[str] | None
    data_types: tuple[str, ...] | list[str] | None
    symbols: tuple[str, ...] | list[str] | Mapping[str, Sequence[str]] | None
    intervals: tuple[str, ...] | list[str] | Mapping[str, Sequence[str]] | None
    exact: bool
    policies: Mapping[str, str]
    workers: int | None
    compression: str
    again: bool
    processes: int | str
    executor: str
    dask_scheduler: str | None
    shared_directory: bool
    serve: Mapping[str, object] | str | int | None
    metrics_textfile: str | PathLike[str] | None
    otlp_endpoint: str | None
    environment: str
    tenant: str | None


_CHOSEN = About("Restrict the archives to these; an empty list selects none.", unset="all")


@frozen(init=False, kw_only=True)
class LakeConfig:
    """The configuration of an ingestion or a validation.

    Args:
        values: A mapping of keys, as a dict or a parsed file. Keys that only a collection has are
            ignored, so that one file serves all commands.
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

    Examples:
        >>> LakeConfig({"output_directory": "data"}, exact=True, environ={}).exact
        True
    """

    output_directory: str = key(
        str,
        about=About(
            "What `collect` wrote to, or any mirror of the archive.",
            more="A directory, or a prefix in an [object store](object-stores.md).",
        ),
    )
    storage: Mapping[str, Any] | None = key(
        Storage,
        None,
        about=About(
            "Settings of the object store that the archives or the tables are in, as of `collect`.",
            unset="CRYPTO_LAKEHOUSE_STORAGE, or those of the environment and the platform",
            since="0.2.0",
        ),
    )
    credentials: Mapping[str, str] | None = key(
        Credentials,
        None,
        about=About(
            "The environment variables that have the credentials of the object store.",
            unset="those that are usual, and the platform's",
            since="0.2.0",
        ),
    )
    state_directory: str | None = key(
        str,
        None,
        about=About(
            "The local directory for the ledger of archives in an object store, as of `collect`, "
            "and for the local folder of tables in one.",
            form="path",
            unset="CRYPTO_LAKEHOUSE_STATE_DIRECTORY, or "
            "`$XDG_STATE_HOME/crypto-lakehouse/<hash of URL, endpoint and account>`",
            since="0.2.0",
        ),
    )
    ledger: str | None = key(
        str,
        None,
        about=About(
            "The PostgreSQL database with the ledger of the archives, as of `collect`.",
            form="URL",
            unset="CRYPTO_LAKEHOUSE_LEDGER, or none",
            since="0.2.0",
        ),
    )
    ledger_schema: str | None = key(
        str,
        None,
        about=About(
            "The schema in it, as of `collect`.",
            form="name",
            unset="CRYPTO_LAKEHOUSE_LEDGER_SCHEMA, or `crypto_lakehouse`",
            since="0.2.0",
        ),
    )
    lake: str | None = key(
        str,
        None,
        about=About(
            "The tables.",
            unset="`<output_directory>/.lakehouse/lake`",
            more="A directory, or a prefix in an [object store](object-stores.md#tables).",
        ),
    )
    catalog: str | None = key(
        str,
        None,
        about=About(
            "A pyiceberg catalog to use instead of the embedded one; or a PostgreSQL database, as "
            "postgresql://host/database."
        ),
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
    symbols: tuple[str, ...] | Mapping[Market, tuple[str, ...]] | None = key(
        Symbols,
        None,
        about=About(
            "Restrict the archives to these symbols or globs; an empty list selects none.",
            unset="all",
        ),
        may_be_empty=True,
    )
    intervals: tuple[str, ...] | Mapping[DataType, tuple[str, ...]] | None = key(
        Intervals,
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
        bool,
        False,
        about=About("Ingest again the archives that are already in the tables, or were refused."),
    )
    processes: int | str = key(
        Processes,
        1,
        about=About(
            "The number of worker processes of an ingestion.",
            more="`auto` starts one for each core; with 1 the threads write, as "
            "they do with plain Parquet files.",
            since="0.2.0",
        ),
    )
    executor: str = key(
        Choice("processes", "dask"),
        "processes",
        about=About(
            "Who ingests: worker processes of this machine, or workers of a Dask cluster.",
            more="See [scale-out](scale-out.md).",
            since="0.2.0",
        ),
    )
    dask_scheduler: str | None = key(
        str,
        None,
        about=About(
            "The address of a Dask scheduler, such as tcp://10.0.0.1:8786.",
            form="address",
            unset="a cluster of `processes` workers on this machine",
            since="0.2.0",
        ),
    )
    shared_directory: bool = key(
        bool,
        False,
        about=About(
            "The workers of the Dask cluster see the output directory and the lake under the same "
            "paths.",
            since="0.2.0",
        ),
    )
    serve: Mapping[str, Any] | None = key(
        Serve,
        None,
        about=attrs.evolve(SERVED, more="See [monitoring](monitoring.md).", metavar=""),
    )
    metrics_textfile: str | None = key(
        str,
        None,
        about=attrs.evolve(IN_TEXTFILE, more="", metavar=""),
    )
    otlp_endpoint: str | None = key(
        str,
        None,
        about=attrs.evolve(SENT, more="See [monitoring](monitoring.md).", metavar=""),
    )
    environment: str = key(
        Profile, "development", about=About("The profile of the file to use.", since="0.2.0")
    )
    tenant: str | None = key(
        Profile,
        None,
        about=About(
            "The tenant of the file.", more="See [tenants](tenants.md).", form="name", since="0.2.0"
        ),
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
            others=(config_keys().keys() | OLDER_KEYS.keys()) - lake_keys().keys(),
        )  # fmt: skip
        chosen = {name: value for name, value in layers.values.items() if value is not None}
        fields, invalid = structured_values(chosen, lake_keys())
        problems = [*layers.problems, *invalid, *lake_faults(fields)]
        problems = name_origins(problems, layers.origins | layers.edges)
        if problems and validate:
            raise ConfigurationError(problems)
        # a key whose value cannot be read has its default
        origins = dict.fromkeys(lake_keys(), DEFAULT)
        origins |= {name: layers.origins.get(name, DEFAULT) for name in fields}
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
    def lake_url(self) -> StoreUrl | None:
        """The lake's URL; None if it is in a directory."""
        if self.lake is not None:
            return StoreUrl.parse(self.lake) if is_url(self.lake) else None
        if is_url(self.output_directory):
            return StoreUrl.parse(f"{StoreUrl.parse(self.output_directory)}/{LAKE_FOLDER}")
        return None

    @property
    def lake_folder(self) -> Path:
        """The lake's directory.

        Raises:
            ConfigurationError: The lake is in an object store.
        """
        if (url := self.lake_url) is not None:
            raise ConfigurationError([Problem("$.lake", f"`{url}` is not a directory")])
        if self.lake is not None:
            return absolute_path(self.lake)
        return absolute_path(self.output_directory) / LAKE_FOLDER

    @property
    def process_count(self) -> int:
        """Worker processes; with 1 the threads of this process read and write."""
        if self.format == "parquet":
            return 1
        return (os.cpu_count() or 1) if self.processes == AUTO else int(self.processes)

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
            and self._selects_symbol(series)
            and self._selects_interval(series)
        )

    def _selects_symbol(self, series: Series) -> bool:
        wanted = self.symbols
        if isinstance(wanted, Mapping):
            wanted = wanted.get(series.market, ())
        return (
            wanted is None
            or any(fnmatchcase(series.symbol, each) for each in wanted)
            or _is_of_pair(series, wanted)
        )

    def _selects_interval(self, series: Series) -> bool:
        wanted = self.intervals
        if isinstance(wanted, Mapping):
            wanted = wanted.get(series.data_type)
        return series.interval is None or wanted is None or series.interval in wanted


@lru_cache(maxsize=4096)
def _is_of_pair(series: Series, symbols: tuple[str, ...]) -> bool:
    """Whether a series is stored under the pair of contracts that are named."""
    row = load_matrix().row(series.market, series.data_type)
    return row is not None and row.files_under_pair(series.symbol, symbols)


def lake_keys() -> dict[str, attrs.Attribute[Any]]:
    """Every key of a lake's configuration with its attrs field."""
    return {item.name: item for item in attrs.fields(LakeConfig) if "about" in item.metadata}
