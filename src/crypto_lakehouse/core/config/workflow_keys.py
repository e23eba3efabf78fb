"""The keys of `WorkflowConfig`: type, default and description of each."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import attrs
from attrs import frozen

from crypto_lakehouse.core.archive import DataType, Market, Partition
from crypto_lakehouse.core.config.days import DAY_FORMS
from crypto_lakehouse.core.config.keys import About, key
from crypto_lakehouse.core.config.proxy_settings import ENVIRONMENT
from crypto_lakehouse.core.config.values import (
    AUTO,
    Choice,
    DateRange,
    DayOrPeriod,
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
    """The values of all keys; `WorkflowConfig` reads and checks them."""

    workflow_type: str = key(
        Choice("archive_collection"),
        "archive_collection",
        about=About("The workflow to run.", metavar="NAME"),
    )
    matrix_path: str | None = key(
        str,
        None,
        about=About(
            "The matrix: a file that describes what the publisher offers.",
            more="Both older formats can be read, too.",
            form="path",
            unset="the built-in one",
            options=("--matrix",),
            metavar="FILE",
        ),
    )
    output_directory: str = key(
        str,
        about=About(
            "The directory for archives, each under its object key.",
            more="A relative path is relative to the working directory.",
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
            'Symbols or globs, such as BTCUSDT,ETHUSDT or {"spot": ["BTC*"]}.',
            more="Globs need a listing or a matrix with symbols. A symbol that the source does not "
            "list at all is an error; see below.",
            unset="required, except with `discovery: listing`, `quote_assets` or `contracts`",
            options=("-s",),
            metavar="LIST",
        ),
    )
    data_types: tuple[DataType, ...] | None = key(
        tuple[DataType, ...],
        None,
        about=About(
            "Data types to collect, such as klines,trades.",
            form="list of data types",
            unset="all types of the market",
            options=("-t",),
            metavar="LIST",
        ),
    )
    intervals: tuple[str, ...] | Mapping[DataType, tuple[str, ...]] | None = key(
        Intervals,
        None,
        about=About(
            "Intervals of bars, such as 1m,1h,1d.",
            more="`1M` means `1mo`.",
            unset="all intervals of the type",
            options=("-i",),
            metavar="LIST",
        ),
    )
    partitions: str | tuple[Partition, ...] = key(
        Partitions,
        AUTO,
        about=About(
            "Daily or monthly archives; auto uses months that are complete, and days otherwise.",
            metavar="LIST",
        ),
    )
    date_range: DateRange | None = key(
        DateRange,
        None,
        about=About(
            "First and last UTC day.",
            more=f"As {DAY_FORMS}. Words mean the UTC day on which the configuration is read. "
            "Without an end the range goes up to the newest day that is listed or, without a "
            "listing, to yesterday.",
            unset="this or `default_date` is required, except with `discovery: listing`",
            options=("--start", "--end"),
            metavar="DAY",
        ),
    )
    default_date: date | None = key(
        DayOrPeriod,
        None,
        about=About(
            "A UTC day, or all days of a month (2024-01), a year (2024), or until yesterday (7d).",
            more="Several days become the `date_range`, if there is none.",
            options=("--date",),
            metavar="DAY",
        ),
    )
    max_parallel_downloads: int | str = key(
        Parallelism,
        16,
        about=About(
            "The maximum number of parallel requests.",
            more="`auto` adapts to what the source and the connection can handle.",
            options=("-j",),
            metavar="N",
        ),
    )
    download_checksum: bool = key(bool, True, about=About("Keep the .CHECKSUM beside each zip."))
    integrity: str = key(
        Choice("sidecar", "listing", "both"),
        "sidecar",
        about=About(
            "How an archive is verified.",
            more="`listing` uses the listed MD5 ETag instead of a request for the sidecar.",
            metavar="HOW",
        ),
    )
    force_redownload: bool = key(
        bool, False, about=About("Fetch archives again even if they are verified.")
    )
    timeout_seconds: float = key(
        float,
        300.0,
        above=0,
        unit="seconds",
        about=About(
            "How long the source may send nothing before a request times out.",
            more="A whole body may take longer.",
            metavar="SECONDS",
        ),
    )
    max_retries: int = key(
        int,
        5,
        at_least=0,
        at_most=20,
        about=About(
            "How often a failed request is retried, with increasing delays.",
            more="The back-off is exponential with jitter; Retry-After is respected.",
            metavar="N",
        ),
    )
    max_bytes_per_second: int | None = key(
        int,
        None,
        at_least=1,
        unit="bytes",
        about=About("A rate limit for the whole run, over all processes.", metavar="SIZE"),
    )
    max_bytes: int | None = key(
        int,
        None,
        at_least=1,
        unit="bytes",
        about=About(
            "How much one run may receive; then no further archive begins, and it exits with 6.",
            more="The next run goes on. See below.",
            unset="no limit",
            metavar="SIZE",
            since="0.2.0",
        ),
    )
    max_requests_per_second: float | None = key(
        float,
        None,
        above=0,
        about=About(
            "A rate limit for requests; 0.5 is one request every two seconds.", metavar="N"
        ),
    )
    processes: int | str = key(
        Processes,
        1,
        about=About(
            "The number of worker processes.",
            more="`auto` starts one for each core. Useful for small archives on a fast connection.",
            metavar="N",
        ),
    )
    segmented_downloads: str = key(
        Choice("auto", "off"),
        "auto",
        about=About(
            "Fetch very large archives over several connections.",
            more="Archives of 32 MiB or more use up to 8 connections if the source limits the "
            "speed of each, and `max_parallel_downloads` allows more requests. Needs range "
            "requests and strong ETags, and up to 36 MiB of memory for each such archive.",
            metavar="HOW",
        ),
    )
    discovery: str | None = key(
        Choice("listing", "calendar"),
        None,
        about=About(
            "The source of symbols, dates and sizes.",
            more="See below.",
            unset="`listing` if a `listing_url` is known or the symbols are not all named, else "
            "`calendar`",
            metavar="HOW",
        ),
    )
    quote_assets: tuple[str, ...] | None = key(
        tuple[str, ...],
        None,
        about=About(
            "Only symbols with these quote assets, such as USDT,USDC.", unset="all", metavar="LIST"
        ),
    )
    contracts: tuple[ContractType, ...] | None = key(
        tuple[ContractType, ...],
        None,
        about=About("Only these kinds of futures contracts.", unset="all", metavar="LIST"),
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
            "Collect only archives that the ledger lists as failed or quarantined.",
            more="`failed`: failed, missing or corrupt. `quarantined`: corrupt, or different from "
            "the sidecar. Symbols and dates are optional. If the archives came from another source "
            "than the default, `source_url` must name one.",
            metavar="WHAT",
        ),
    )
    acknowledge: tuple[str, ...] = key(
        tuple[str, ...],
        (),
        may_be_empty=True,
        about=About(
            "Archives, as keys or globs of keys, that you know the source to lack.",
            more="See below.",
            form="list of keys",
            metavar="LIST",
            since="0.2.0",
        ),
    )
    holes_path: str | None = key(
        str,
        None,
        about=About(
            "A file of such archives, one in a line.",
            more="See below. `status --format keys` prints one.",
            form="path",
            metavar="FILE",
            since="0.2.0",
        ),
    )
    accept_upstream_mismatch: bool = key(
        bool,
        False,
        about=About(
            "Accept readable archives that do not match their sidecar.",
            more="The ledger records the mismatch permanently.",
        ),
    )
    replaced_retention_days: int | None = key(
        int,
        None,
        at_least=0,
        unit="days",
        about=About("How many days replaced versions are kept.", unset="no limit", metavar="N"),
    )
    source_url: str = key(
        str,
        DEFAULT_SOURCE_URL,
        about=About(
            "The host to fetch archives from; any mirror works.", form="URL", metavar="URL"
        ),
    )
    second_source_url: str | None = key(
        str,
        None,
        about=About(
            "A second source, used if the first one serves wrong or stale bytes.",
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
            more="ListObjects, version 1. Redirects to its host are allowed.",
            form="URL",
            unset="the publisher's S3 endpoint, for the default source",
            metavar="URL",
        ),
    )
    redirect_hosts: tuple[str, ...] = key(
        tuple[str, ...],
        (),
        about=About(
            "Further hosts that redirects may lead to, as host or host:port.",
            form="list of hosts",
            metavar="LIST",
        ),
        may_be_empty=True,
    )
    allow_http: bool = key(
        bool,
        False,
        about=About(
            "Allow plain http:// to other hosts.",
            more="Without it `http://` is allowed for this machine only; see below.",
        ),
    )
    proxy: str = key(
        ProxySetting,
        ENVIRONMENT,
        about=About(
            "The proxy for all requests.",
            more="Schemes: `http`, `https`, `socks5`, `socks5h`, `socks4`, `socks4a`; see below.",
            metavar="URL",
            since="0.2.0",
        ),
    )
    ca_bundle: str | None = key(
        str,
        None,
        about=About(
            "Trust only the certificate authorities in this PEM file.",
            form="path",
            unset="the system's authorities",
            metavar="FILE",
            since="0.2.0",
        ),
    )
    environment: str = key(
        Profile,
        "development",
        about=About(
            "The profile of the file to use; production logs JSON.",
            more="See below.",
            metavar="NAME",
        ),
    )


def config_keys() -> dict[str, attrs.Attribute[Any]]:
    """Return the attrs field of every configuration key, in the order of the documentation."""
    return {item.name: item for item in attrs.fields(WorkflowKeys)}
