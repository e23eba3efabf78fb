"""The keys of `WorkflowConfig`, each described once, beside its type and its default."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import attrs
from attrs import frozen

from crypto_lakehouse.core.archive import DataType, Market, Partition
from crypto_lakehouse.core.config.keys import About, key
from crypto_lakehouse.core.config.proxy_settings import ENVIRONMENT
from crypto_lakehouse.core.config.values import (
    AUTO,
    Choice,
    DateRange,
    Intervals,
    Parallelism,
    Partitions,
    Processes,
    Profile,
    ProxySetting,
    Symbols,
)
from crypto_lakehouse.core.symbols import ContractType

__all__ = ["DEFAULT_LISTING_URL", "DEFAULT_SOURCE_URL", "WorkflowKeys", "config_keys"]

DEFAULT_SOURCE_URL = "https://data.binance.vision"
DEFAULT_LISTING_URL = "https://s3-ap-northeast-1.amazonaws.com/data.binance.vision"


@frozen(init=False, kw_only=True)
class WorkflowKeys:
    """A value for each key; `WorkflowConfig` reads them."""

    workflow_type: str = key(
        Choice("archive_collection"),
        "archive_collection",
        about=About("Which workflow is configured.", metavar="NAME"),
    )
    matrix_path: str | None = key(
        str,
        None,
        about=About(
            "The matrix: what the publisher offers.",
            more="Either older format loads too.",
            form="path",
            unset="the shipped one",
            options=("--matrix",),
            metavar="FILE",
        ),
    )
    output_directory: str = key(
        str,
        about=About(
            "Where archives go, each under its object key.",
            more="Relative paths stay relative to the working directory.",
            form="path",
            options=("--output", "-o"),
            metavar="DIR",
        ),
    )
    markets: tuple[Market, ...] | None = key(
        tuple[Market, ...],
        None,
        about=About("Markets to collect.", unset="all in the matrix", metavar="LIST"),
    )
    symbols: tuple[str, ...] | Mapping[Market, tuple[str, ...]] | None = key(
        Symbols,
        None,
        about=About(
            'Symbols or globs, as BTCUSDT,ETHUSDT or {"spot": ["BTC*"]}.',
            more="Globs need a listing or a matrix that names the symbols.",
            unset="required, but not with `discovery: listing`",
            options=("-s",),
            metavar="LIST",
        ),
    )
    data_types: tuple[DataType, ...] | None = key(
        tuple[DataType, ...],
        None,
        about=About(
            "What is collected, as klines,trades.",
            form="list of data types",
            unset="all of the market",
            options=("-t",),
            metavar="LIST",
        ),
    )
    intervals: tuple[str, ...] | Mapping[DataType, tuple[str, ...]] | None = key(
        Intervals,
        None,
        about=About(
            "Intervals of bars, as 1m,1h,1d.",
            more="`1M` means `1mo`.",
            unset="all of the type",
            options=("-i",),
            metavar="LIST",
        ),
    )
    partitions: str | tuple[Partition, ...] = key(
        Partitions,
        AUTO,
        about=About(
            "What is taken: with auto months where they are closed, else days.", metavar="LIST"
        ),
    )
    date_range: DateRange | None = key(
        DateRange,
        None,
        about=About(
            "First and last UTC day.",
            unset="this or `default_date` is required, but not with `discovery: listing`",
            options=("--start", "--end"),
            metavar="DAY",
        ),
    )
    default_date: date | None = key(
        date,
        None,
        about=About(
            "One day, YYYY-MM-DD, if there is no range.", options=("--date",), metavar="DAY"
        ),
    )
    max_parallel_downloads: int | str = key(
        Parallelism,
        16,
        about=About(
            "How many requests are under way at once.",
            more="`auto` finds out what the source and the line bear.",
            options=("-j",),
            metavar="N",
        ),
    )
    download_checksum: bool = key(bool, True, about=About("Keep the .CHECKSUM beside each zip."))
    integrity: str = key(
        Choice("sidecar", "listing", "both"),
        "sidecar",
        about=About(
            "What verifies an archive.",
            more="`listing`: the listed MD5 ETag in place of the sidecar's request.",
            metavar="HOW",
        ),
    )
    force_redownload: bool = key(bool, False, about=About("Fetch again what is already verified."))
    timeout_seconds: float = key(
        float,
        300.0,
        above=0,
        about=About(
            "How long the source may be silent.",
            more="The whole body may take longer.",
            metavar="SECONDS",
        ),
    )
    max_retries: int = key(
        int,
        5,
        at_least=0,
        at_most=20,
        about=About(
            "How often a failed request is tried again, with growing waits.",
            more="The back-off is exponential and jittered; Retry-After is obeyed.",
            metavar="N",
        ),
    )
    max_bytes_per_second: int | None = key(
        int,
        None,
        at_least=1,
        about=About("A cap for the whole run, all processes together.", metavar="N"),
    )
    max_requests_per_second: float | None = key(
        float,
        None,
        above=0,
        about=About("A cap on requests; 0.5 is one in two seconds.", metavar="N"),
    )
    processes: int | str = key(
        Processes,
        1,
        about=About(
            "How many processes share the work.",
            more="`auto` is one for each core; pays for small archives on a fast line.",
            metavar="N",
        ),
    )
    segmented_downloads: str = key(
        Choice("auto", "off"),
        "auto",
        about=About(
            "Very large archives over several connections.",
            more="Archives of 32 MiB and more come over up to 8 connections if the source caps "
            "each and places of `max_parallel_downloads` are free; needs ranges and strong ETags; "
            "up to 36 MiB of memory for each such archive.",
            metavar="HOW",
        ),
    )
    discovery: str | None = key(
        Choice("listing", "calendar"),
        None,
        about=About(
            "Where symbols, dates and sizes come from.",
            more="See below.",
            unset="`listing` if a `listing_url` is known, else `calendar`",
            metavar="HOW",
        ),
    )
    quote_assets: tuple[str, ...] | None = key(
        tuple[str, ...],
        None,
        about=About("Only symbols quoted in these, as USDT,USDC.", unset="all", metavar="LIST"),
    )
    contracts: tuple[ContractType, ...] | None = key(
        tuple[ContractType, ...],
        None,
        about=About("Only these kinds of futures.", unset="all", metavar="LIST"),
    )
    leveraged_tokens: str = key(
        Choice("include", "exclude", "only"),
        "include",
        about=About("Symbols such as BTCUPUSDT.", metavar="HOW"),
    )
    stable_pairs: str = key(
        Choice("include", "exclude", "only"),
        "include",
        about=About("Symbols such as USDCUSDT.", metavar="HOW"),
    )
    only: str | None = key(
        Choice("failed", "quarantined"),
        None,
        about=About(
            "Of the archives only those that the ledger says are so.",
            more="`failed`: failed, missing or corrupt. `quarantined`: corrupt, or in disagreement "
            "with the sidecar. Needs no symbols and no dates.",
            metavar="WHAT",
        ),
    )
    accept_upstream_mismatch: bool = key(
        bool,
        False,
        about=About(
            "Let in readable archives that disagree with their sidecar.",
            more="The ledger says so for ever.",
        ),
    )
    replaced_retention_days: int | None = key(
        int,
        None,
        at_least=0,
        about=About("For how many days replaced versions are kept.", unset="for ever", metavar="N"),
    )
    source_url: str = key(
        str,
        DEFAULT_SOURCE_URL,
        about=About("Where archives are fetched from; any mirror.", form="URL", metavar="URL"),
    )
    second_source_url: str | None = key(
        str,
        None,
        about=About(
            "Asked if the first source serves wrong or stale bytes.",
            form="URL",
            unset="the publisher's S3 endpoint, for the default source",
            metavar="URL",
        ),
    )
    listing_url: str | None = key(
        str,
        None,
        about=About(
            "The source's S3 listing.",
            more="ListObjects, version 1; its host may be redirected to.",
            form="URL",
            unset="the publisher's S3 endpoint, for the default source",
            metavar="URL",
        ),
    )
    redirect_hosts: tuple[str, ...] = key(
        tuple[str, ...],
        (),
        about=About(
            "Further hosts that the source may redirect to, as host or host:port.",
            form="list of hosts",
            metavar="LIST",
        ),
    )
    allow_http: bool = key(
        bool,
        False,
        about=About(
            "Ask hosts other than this machine without TLS, too.",
            more="Without it, `http://` is for this machine alone; see below.",
        ),
    )
    proxy: str = key(
        ProxySetting,
        ENVIRONMENT,
        about=About(
            "Through which proxy requests go.",
            more="Schemes: `http`, `https`, `socks5`, `socks5h`, `socks4`, `socks4a`; see below.",
            metavar="URL",
            since="0.2.0",
        ),
    )
    ca_bundle: str | None = key(
        str,
        None,
        about=About(
            "Trust the certificate authorities of this PEM file, and no others.",
            form="path",
            unset="the system's",
            metavar="FILE",
            since="0.2.0",
        ),
    )
    environment: str = key(
        Profile,
        "development",
        about=About(
            "Which profile of the file holds; production logs JSON.",
            more="See below.",
            metavar="NAME",
        ),
    )


def config_keys() -> dict[str, attrs.Attribute[Any]]:
    """Every configuration key with its attrs field, in the order of the documentation."""
    return {item.name: item for item in attrs.fields(WorkflowKeys)}
