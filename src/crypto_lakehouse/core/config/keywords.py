"""The keywords of `WorkflowConfig`: each key, with the types that it takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from os import PathLike
from typing import TypedDict

from crypto_lakehouse.core.config.values import DateRange

__all__ = ["ConfigKeywords"]


class ConfigKeywords(TypedDict, total=False):
    """Keys as a program writes them; None is the default."""

    workflow_type: str
    matrix_path: str | PathLike[str] | None
    output_directory: str | PathLike[str]
    storage: Mapping[str, str | bool] | None
    credentials: Mapping[str, str] | None
    state_directory: str | PathLike[str] | None
    ledger: str | None
    ledger_schema: str
    markets: Iterable[str] | None
    symbols: Iterable[str] | Mapping[str, Iterable[str]] | None
    data_types: Iterable[str] | None
    intervals: Iterable[str] | Mapping[str, Iterable[str]] | None
    partitions: str | Iterable[str]
    date_range: DateRange | Mapping[str, str | date | None] | None
    default_date: str | date | None
    max_parallel_downloads: int | str
    download_checksum: bool
    integrity: str
    force_redownload: bool
    timeout_seconds: float | str
    max_retries: int
    max_bytes_per_second: int | str | None
    max_bytes: int | str | None
    max_requests_per_second: float | None
    processes: int | str
    executor: str
    dask_scheduler: str | None
    shared_directory: bool
    segmented_downloads: str
    serve: Mapping[str, object] | str | int | None
    metrics_textfile: str | PathLike[str] | None
    freshness: Mapping[str, float | str] | None
    metrics_by_symbol: bool
    otlp_endpoint: str | None
    discovery: str | None
    quote_assets: Iterable[str] | None
    contracts: Iterable[str] | None
    leveraged_tokens: str
    stable_pairs: str
    only: str | None
    acknowledge: Iterable[str]
    holes_path: str | PathLike[str] | None
    accept_upstream_mismatch: bool
    replaced_retention_days: int | str | None
    source_url: str
    second_source_url: str | None
    listing_url: str | None
    redirect_hosts: Iterable[str]
    allow_http: bool
    proxy: str
    ca_bundle: str | PathLike[str] | None
    fill: Mapping[str, object] | None
    record: Mapping[str, object] | None
    environment: str
    tenant: str | None
