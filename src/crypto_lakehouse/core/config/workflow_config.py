"""What a run is asked to do: `WorkflowConfig`, checked as a whole before anything runs.

Values come from a mapping (a dict, or a parsed JSON, TOML or YAML file), then from environment
variables `CRYPTO_LAKEHOUSE_*`, then from overrides (command-line options); later wins. Every
fault is reported at once, with its place.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from datetime import date
from typing import Any

import attrs
from attrs import field, frozen

from crypto_lakehouse.core.archive import DataType, Market, Partition
from crypto_lakehouse.core.config.proxy_settings import ENVIRONMENT
from crypto_lakehouse.core.config.rules import check_combinations, check_unknown_keys
from crypto_lakehouse.core.config.sources import environment_values
from crypto_lakehouse.core.config.values import (
    AUTO,
    Choice,
    DateRange,
    Intervals,
    Parallelism,
    Partitions,
    Processes,
    ProxySetting,
    Symbols,
    structure_value,
)
from crypto_lakehouse.core.errors import ConfigurationError, ConfigurationWarning, Problem
from crypto_lakehouse.core.redaction import redact
from crypto_lakehouse.core.symbols import ContractType, SymbolFilter

__all__ = ["DateRange", "WorkflowConfig"]

DEFAULT_SOURCE_URL = "https://data.binance.vision"
DEFAULT_LISTING_URL = "https://s3-ap-northeast-1.amazonaws.com/data.binance.vision"


def _shown(value: object) -> str:
    return redact(repr(value))


def _key(
    kind: Any,
    default: Any = attrs.NOTHING,
    **metadata: Any,
) -> Any:
    """One configuration key: how its value is read, its default, and what bounds it."""
    return field(default=default, repr=_shown, metadata={"kind": kind, **metadata})


@frozen(init=False, kw_only=True)
class WorkflowConfig:
    """The configuration of one run; immutable, and free of faults once it exists.

    Args:
        values: The mapping to read. Relative paths stay relative to the working directory.
        environ: Environment variables; the process's own by default, `{}` for none.
        overrides: Values that win over both.

    Attributes:
        workflow_type: Always `archive_collection`.
        matrix_path: The matrix file; the shipped one by default.
        output_directory: Where archives go, `<output_directory>/<object key>`.
        markets: Markets to collect; all in the matrix by default.
        symbols: Symbols or globs, for all markets or per market.
        data_types: Data types to collect; all of each market by default.
        intervals: Intervals for all data types or per data type; all by default.
        partitions: `auto`, or the partitions to take.
        date_range: First and last UTC day, inclusive.
        default_date: One day, where no `date_range` is given.
        max_parallel_downloads: How many requests are under way at once, 1 to 256, or `auto`.
        download_checksum: Whether the sidecar is kept beside the zip.
        integrity: What verifies an archive: `sidecar` (SHA-256), `listing` (the object's MD5
            ETag), or `both`.
        force_redownload: Fetch again what is already verified.
        timeout_seconds: How long the source may be silent, in seconds.
        max_retries: How often a failed request is tried again.
        max_bytes_per_second: A cap for the whole run, in bytes per second.
        max_requests_per_second: Another, in requests per second.
        processes: How many processes share the work, 1 to 64, or `auto`: one for each core.
        segmented_downloads: Whether one very large archive may come over several connections:
            `auto` where that is faster, or `off`.
        discovery: Where symbols, dates and sizes come from: the source's `listing`, or the
            matrix's `calendar`. None is the listing where one is known, else the calendar.
        quote_assets: Only symbols quoted in these, as `USDT`.
        contracts: Only these kinds of futures contracts.
        leveraged_tokens, stable_pairs: Whether to `include` or `exclude` them, or take them
            `only`.
        only: `failed` takes from the plan what the ledger says failed, is missing or corrupt;
            `quarantined` what is corrupt or disagrees with its sidecar. Neither needs symbols
            or dates.
        accept_upstream_mismatch: Let in readable archives that disagree with their sidecar.
        replaced_retention_days: For how many days replaced versions are kept; None for ever.
        source_url: Where archives are fetched from.
        second_source_url: Where an archive is looked at again that the first source serves
            wrong or stale; the S3 endpoint behind the default source.
        listing_url: The source's S3 listing endpoint; known for the default source.
        redirect_hosts: Further hosts that the source may redirect to.
        allow_http: Whether hosts other than this machine may be talked to without TLS.
        proxy: Through which proxy requests go: `environment` for those that `HTTPS_PROXY`,
            `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` name, `none`, or a proxy's URL.
        ca_bundle: A PEM file of the certificate authorities that are trusted, and no others; the
            system's, or those of `SSL_CERT_FILE`, by default.
        environment: `development` or `production`.
        warnings: What was accepted, but deserves a word; one sentence each.

    Raises:
        ConfigurationError: With every fault found, each with its place.

    Example:
        >>> config = WorkflowConfig(
        ...     {"output_directory": "o", "symbols": ["BTCUSDT"], "default_date": "2025-07-15"},
        ...     environ={},
        ... )
        >>> config.partitions, config.max_parallel_downloads
        ('auto', 16)
    """

    workflow_type: str = _key(Choice("archive_collection"), "archive_collection")
    matrix_path: str | None = _key(str, None)
    output_directory: str = _key(str)
    markets: tuple[Market, ...] | None = _key(tuple[Market, ...], None)
    symbols: tuple[str, ...] | Mapping[Market, tuple[str, ...]] | None = _key(Symbols, None)
    data_types: tuple[DataType, ...] | None = _key(tuple[DataType, ...], None)
    intervals: tuple[str, ...] | Mapping[DataType, tuple[str, ...]] | None = _key(Intervals, None)
    partitions: str | tuple[Partition, ...] = _key(Partitions, AUTO)
    date_range: DateRange | None = _key(DateRange, None)
    default_date: date | None = _key(date, None)
    max_parallel_downloads: int | str = _key(Parallelism, 16)
    download_checksum: bool = _key(bool, True)
    integrity: str = _key(Choice("sidecar", "listing", "both"), "sidecar")
    force_redownload: bool = _key(bool, False)
    timeout_seconds: float = _key(float, 300.0, above=0)
    max_retries: int = _key(int, 5, at_least=0, at_most=20)
    max_bytes_per_second: int | None = _key(int, None, at_least=1)
    max_requests_per_second: float | None = _key(float, None, above=0)
    processes: int | str = _key(Processes, 1)
    segmented_downloads: str = _key(Choice("auto", "off"), "auto")
    discovery: str | None = _key(Choice("listing", "calendar"), None)
    quote_assets: tuple[str, ...] | None = _key(tuple[str, ...], None)
    contracts: tuple[ContractType, ...] | None = _key(tuple[ContractType, ...], None)
    leveraged_tokens: str = _key(Choice("include", "exclude", "only"), "include")
    stable_pairs: str = _key(Choice("include", "exclude", "only"), "include")
    only: str | None = _key(Choice("failed", "quarantined"), None)
    accept_upstream_mismatch: bool = _key(bool, False)
    replaced_retention_days: int | None = _key(int, None, at_least=0)
    source_url: str = _key(str, DEFAULT_SOURCE_URL)
    second_source_url: str | None = _key(str, None)
    listing_url: str | None = _key(str, None)
    redirect_hosts: tuple[str, ...] = _key(tuple[str, ...], ())
    allow_http: bool = _key(bool, False)
    proxy: str = _key(ProxySetting, ENVIRONMENT)
    ca_bundle: str | None = _key(str, None)
    environment: str = _key(Choice("development", "production"), "development")
    warnings: tuple[str, ...] = field(default=(), eq=False, repr=False)

    def __init__(
        self,
        values: Mapping[str, Any] | None = None,
        /,
        *,
        environ: Mapping[str, str] | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> None:
        given, problems = _merged(values, os.environ if environ is None else environ, overrides)
        given, notes, unknown = check_unknown_keys(given, config_keys())
        fields, invalid = _structured(given)
        problems += unknown + invalid
        problems += check_combinations(fields)
        if problems:
            raise ConfigurationError(problems)
        if fields["source_url"] == DEFAULT_SOURCE_URL:  # its endpoints are no other source's
            for name in ("listing_url", "second_source_url"):
                fields[name] = fields[name] or DEFAULT_LISTING_URL
        self.__attrs_init__(**fields, warnings=tuple(notes))
        for note in notes:
            warnings.warn(note, ConfigurationWarning, stacklevel=2)

    @property
    def symbol_filter(self) -> SymbolFilter:
        """What symbols must be like, beside their names."""
        return SymbolFilter(
            quote_assets=self.quote_assets,
            contracts=self.contracts,
            leveraged_tokens=self.leveraged_tokens,
            stable_pairs=self.stable_pairs,
        )

    @property
    def wants_listing(self) -> bool:
        """Whether the plan is to come from a listing, where there turns out to be one."""
        if self.only is not None:
            return False
        return self.discovery == "listing" or (self.discovery is None and bool(self.listing_url))

    def to_mapping(self) -> dict[str, Any]:
        """Every key with its value in plain JSON types, secrets masked."""
        plain = {name: _plain(getattr(self, name)) for name in config_keys()}
        return {name: value for name, value in plain.items() if value is not None}


def config_keys() -> dict[str, attrs.Attribute[Any]]:
    """Every configuration key with its attrs field, in the order of the documentation."""
    return {item.name: item for item in attrs.fields(WorkflowConfig) if "kind" in item.metadata}


def _merged(
    values: Mapping[str, Any] | object | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, Any] | None,
) -> tuple[dict[str, Any], list[Problem]]:
    base = {} if values is None else values
    if not isinstance(base, Mapping):
        kind = type(values).__name__
        raise ConfigurationError([Problem("$", f"must be a mapping of keys, not {kind}")])
    kinds = {name: item.metadata["kind"] for name, item in config_keys().items()}
    from_environment, problems = environment_values(environ, kinds)
    merged: dict[str, Any] = {}
    for layer in (base, from_environment, overrides or {}):
        _overlay(merged, layer)
    return merged, problems


def _overlay(merged: dict[str, Any], layer: Mapping[str, Any]) -> None:
    """Put a later layer over earlier ones; it may give one edge of a range, or replace it."""
    below = merged.get("date_range")
    if layer.get("default_date") is not None and "date_range" not in layer:
        merged.pop("date_range", None)
    merged.update(layer)
    above = layer.get("date_range")
    if isinstance(below, Mapping) and isinstance(above, Mapping):
        merged["date_range"] = {**below, **above}


def _structured(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """Turn raw values into fields; a faulty or absent key is left out of the result."""
    fields: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, item in config_keys().items():
        value = given.get(name)
        if value is None:
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


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case tuple():
            return [_plain(item) for item in value]
        case DateRange():
            return {"start": value.start.isoformat(), "end": value.end.isoformat()}
        case _:
            return redact(str(value))
