"""Two values for each key of a configuration, and writers of its files."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from typing import Any

import yaml

from crypto_lakehouse.core.archive import DataType, Market, Partition
from crypto_lakehouse.core.config.workflow_config import (
    DateRange,
)
from crypto_lakehouse.core.symbols import ContractType

KLINES, TRADES, AGG_TRADES = list(DataType)[:3]
JULY = DateRange(date(2025, 7, 1), date(2025, 7, 31))
JUNE = DateRange(date(2025, 6, 1), date(2025, 6, 30))
#: For each key two values: as files and dicts write it, as the environment writes it, as read.
TWO_VALUES: dict[str, list[tuple[Any, str, Any]]] = {
    "workflow_type": [("archive_collection",) * 3] * 2,
    "matrix_path": [("m.json",) * 3, ("dir/other.json",) * 3],
    "output_directory": [("o",) * 3, ("/srv/archive 1",) * 3],
    "storage": [
        ({"region": "auto"}, '{"region": "auto"}', {"region": "auto"}),
        (
            {"region": "eu-west-1", "virtual_hosted_style": True},
            '{"region": "eu-west-1", "virtual_hosted_style": true}',
            {"region": "eu-west-1", "virtual_hosted_style": True},
        ),
    ],
    "state_directory": [("state",) * 3, ("/var/lib/states/a b",) * 3],
    "ledger": [
        ("postgresql://host/db",) * 3,
        ("postgres://[::1]:5433/db?user=me&sslmode=verify-full",) * 3,
    ],
    "ledger_schema": [("mine",) * 3, ("_a1",) * 3],
    "markets": [
        (["spot"], "spot", (Market.SPOT,)),
        (["futures_um", "spot"], "futures_um, spot", (Market.FUTURES_UM, Market.SPOT)),
    ],
    "symbols": [
        (["ETHUSDT", "BTC*"], "ETHUSDT,BTC*", ("ETHUSDT", "BTC*")),
        (
            {"spot": ["币安人生USDT"], "futures_cm": "BTCUSD_PERP"},
            '{"spot": ["币安人生USDT"], "futures_cm": "BTCUSD_PERP"}',
            {Market.SPOT: ("币安人生USDT",), Market.FUTURES_CM: ("BTCUSD_PERP",)},
        ),
    ],
    "data_types": [
        (["klines"], "klines", (KLINES,)),
        (["aggTrades", "trades"], '["aggTrades", "trades"]', (AGG_TRADES, TRADES)),
    ],
    "intervals": [
        (["1h", "1M"], "1h,1M", ("1h", "1mo")),
        ({"klines": ["1s", "1d"]}, '{"klines": ["1s", "1d"]}', {KLINES: ("1s", "1d")}),
    ],
    "partitions": [
        (["daily"], "daily", (Partition.DAILY,)),
        ("auto", "auto", "auto"),
    ],
    "date_range": [
        (
            {"start": "2025-07-01", "end": "2025-07-31"},
            '{"start": "2025-07-01", "end": "2025-07-31"}',
            JULY,
        ),
        (
            {"start": "2025-06-01", "end": "2025-06-30"},
            '{"start": "2025-06-01", "end": "2025-06-30"}',
            JUNE,
        ),
    ],
    "default_date": [
        ("2025-07-14", "2025-07-14", date(2025, 7, 14)),
        ("2024-02-29", " 2024-02-29 ", date(2024, 2, 29)),
    ],
    "max_parallel_downloads": [(256, "256", 256), ("auto", "auto", "auto")],
    "download_checksum": [(False, "no", False), (True, "TRUE", True)],
    "integrity": [("listing",) * 3, ("both",) * 3],
    "force_redownload": [(True, "on", True), (False, "0", False)],
    "timeout_seconds": [(12.5, "12.5", 12.5), (600, "600", 600.0)],
    "max_retries": [(0, "0", 0), (20, "20", 20)],
    "max_bytes_per_second": [(1, "1", 1), (5_000_000, "5000000", 5_000_000)],
    "max_bytes": [(1, "1", 1), (2_000_000_000, "2GB", 2_000_000_000)],
    "max_requests_per_second": [(0.5, "0.5", 0.5), (50, "50", 50.0)],
    "processes": [(64, "64", 64), ("auto", "auto", "auto")],
    "executor": [("dask",) * 3, ("processes",) * 3],
    "dask_scheduler": [("tcp://h:8786",) * 3, ("tls://10.0.0.1:1",) * 3],
    "shared_directory": [(True, "true", True), (False, "false", False)],
    "segmented_downloads": [("off",) * 3, ("auto",) * 3],
    "serve": [
        (9108, "9108", {"address": "127.0.0.1", "port": 9108}),
        ("[::1]:0", "[::1]:0", {"address": "::1", "port": 0}),
    ],
    "metrics_textfile": [("a.prom",) * 3, ("b/c.prom",) * 3],
    "freshness": [
        ({"spot/klines": "36h"}, '{"spot/klines": "36h"}', {"spot/klines": 129_600.0}),
        ({"*": 60}, '{"*": 60}', {"*": 60.0}),
    ],
    "metrics_by_symbol": [(True, "true", True), (False, "false", False)],
    "otlp_endpoint": [("http://127.0.0.1:4318",) * 3, ("environment",) * 3],
    "discovery": [("calendar",) * 3, ("listing",) * 3],
    "quote_assets": [
        (["USDT"], "USDT", ("USDT",)),
        (["USDT", "BTC"], "USDT,BTC", ("USDT", "BTC")),
    ],
    "contracts": [
        (["perpetual"], "perpetual", (ContractType.PERPETUAL,)),
        (
            ["delivery", "settled"],
            "delivery,settled",
            (ContractType.DELIVERY, ContractType.SETTLED),
        ),
    ],
    "leveraged_tokens": [("exclude",) * 3, ("only",) * 3],
    "stable_pairs": [("only",) * 3, ("exclude",) * 3],
    "only": [("failed",) * 3, ("quarantined",) * 3],
    "acknowledge": [
        (["data/spot/*.zip"], "data/spot/*.zip", ("data/spot/*.zip",)),
        (
            ["data/*-2024-03-05.zip", "data/option/*.zip"],
            "data/*-2024-03-05.zip,data/option/*.zip",
            ("data/*-2024-03-05.zip", "data/option/*.zip"),
        ),
    ],
    "holes_path": [("holes.txt",) * 3, ("/srv/known holes.txt",) * 3],
    "accept_upstream_mismatch": [(True, "yes", True), (False, "0", False)],
    "replaced_retention_days": [(0, "0", 0), (365, "365", 365)],
    "source_url": [("http://127.0.0.1:8000",) * 3, ("https://mirror.example/binance/",) * 3],
    "second_source_url": [("https://s3.example/bucket",) * 3, ("http://localhost:1",) * 3],
    "listing_url": [("https://s3.example/bucket",) * 3, ("http://localhost",) * 3],
    "redirect_hosts": [
        (["cdn.example"], "cdn.example", ("cdn.example",)),
        (["a.example", "b.example"], "a.example,b.example", ("a.example", "b.example")),
    ],
    "allow_http": [(True, "yes", True), (False, "off", False)],
    "proxy": [("none",) * 3, ("socks5h://proxy.example:1080",) * 3],
    "ca_bundle": [("ca.pem",) * 3, ("/etc/ssl/other 1.pem",) * 3],
    "fill": [
        ({"until": "now"}, '{"until": "now"}', {"until": "now"}),
        (
            {"only_holes": True, "urls": {"spot": "https://api.binance.com"}},
            '{"only_holes": true, "urls": {"spot": "https://api.binance.com"}}',
            {"only_holes": True, "urls": {"spot": "https://api.binance.com"}},
        ),
    ],
    "record": [
        ({"rotate": "5m"}, '{"rotate": "5m"}', {"rotate": "5m"}),
        (
            {"streams": ["trade", "depth"], "urls": {"spot": "wss://stream.binance.com:9443"}},
            '{"streams": ["trade", "depth"], "urls": {"spot": "wss://stream.binance.com:9443"}}',
            {"streams": ["trade", "depth"], "urls": {"spot": "wss://stream.binance.com:9443"}},
        ),
    ],
    "environment": [("production",) * 3, ("development",) * 3],
}  # fmt: skip
ONE_VALUE = {key: values[0] for key, values in TWO_VALUES.items()}


def toml(value: Any) -> str:
    """A plain value as TOML writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(item)}" for key, item in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


WRITERS: dict[str, Callable[[dict[str, Any]], str]] = {
    "json": json.dumps,
    "toml": lambda values: "\n".join(f"{key} = {toml(item)}" for key, item in values.items()),
    "yaml": lambda values: yaml.safe_dump(values, allow_unicode=True),
}
