"""The keys of `WorkflowConfig`: type, default and description of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from attrs import frozen

from crypto_lakehouse.core.config.keys import About, key
from crypto_lakehouse.core.config.monitoring_keys import MonitoringKeys
from crypto_lakehouse.core.config.proxy_settings import ENVIRONMENT
from crypto_lakehouse.core.config.values import (
    Choice,
    Fill,
    Profile,
    ProxySetting,
    Record,
)
from crypto_lakehouse.core.symbols import ContractType

__all__ = ["DEFAULT_LISTING_URL", "DEFAULT_SOURCE_URL", "WorkflowKeys", "config_keys"]

DEFAULT_SOURCE_URL = "https://data.binance.vision"
DEFAULT_LISTING_URL = "https://s3-ap-northeast-1.amazonaws.com/data.binance.vision"


@frozen(init=False, kw_only=True)
class WorkflowKeys(MonitoringKeys):
    """The values of all keys; `WorkflowConfig` reads and checks them."""

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
            "than the default, or the ledger does not record it, `source_url` must name one.",
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
    fill: Mapping[str, Any] | None = key(
        Fill,
        None,
        about=About(
            "Settings of `fill`, which asks the exchange for what the archive lacks.",
            more="`until` is `now` or a UTC day, `only_holes: true` leaves out the days after the "
            "archive's newest, and `urls` says where the exchange answers, for each market; see "
            "[fill](fill.md).",
            unset="up to now, all days, the exchange's own addresses",
            options=("--fill-settings",),
            metavar="JSON",
            since="0.2.0",
        ),
    )
    record: Mapping[str, Any] | None = key(
        Record,
        None,
        about=About(
            "Settings of `record`, which records the exchange's streams.",
            more="`streams` lists kinds, `rotate` is how long a segment is, `snapshots` how "
            "often an order book is fetched, `ingest: true` fills tables, and `urls` says where "
            "the streams are, for each market; see [record](record.md).",
            unset="aggTrade, 1h (5m with `ingest`), 10m, no tables, the exchange's own addresses",
            metavar="JSON",
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
    tenant: str | None = key(
        Profile,
        None,
        about=About(
            "The tenant of the file.",
            more="See [tenants](tenants.md).",
            form="name",
            unset="none; `collect` runs all tenants of a file that has some",
            metavar="NAME",
            since="0.2.0",
        ),
    )


def config_keys() -> dict[str, attrs.Attribute[Any]]:
    """Return the attrs field of every configuration key, in the order of the documentation."""
    return {item.name: item for item in attrs.fields(WorkflowKeys)}
