"""A configuration is read from anywhere, and the later source wins."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.config.key_values import JULY, KLINES, ONE_VALUE, TRADES, TWO_VALUES, WRITERS
from tests.core.conftest import ENVIRONMENT, MINIMAL, faults, read

from crypto_lakehouse.core.archive import DataType, Market
from crypto_lakehouse.core.config.sources import parse_config
from crypto_lakehouse.core.config.workflow_config import (
    DEFAULT_LISTING_URL,
    DEFAULT_SOURCE_URL,
    DateRange,
    WorkflowConfig,
    config_keys,
)
from crypto_lakehouse.core.errors import ConfigurationWarning


def test_every_key_of_the_contract_is_tried() -> None:
    others = {"tenant", "credentials"}  # they need `tenants`, and variables
    assert list(TWO_VALUES) == [key for key in config_keys() if key not in others]


def test_defaults_are_those_of_the_contract() -> None:
    config = WorkflowConfig(MINIMAL, environ={})
    assert {name: getattr(config, name) for name in config_keys()} == {
        "workflow_type": "archive_collection",
        "matrix_path": None,
        "output_directory": "out",
        "storage": None,
        "credentials": None,
        "state_directory": None,
        "ledger": None,
        "ledger_schema": "crypto_lakehouse",
        "markets": None,
        "symbols": ("BTCUSDT",),
        "data_types": None,
        "intervals": None,
        "partitions": "auto",
        "date_range": None,
        "default_date": date(2025, 7, 15),
        "max_parallel_downloads": 16,
        "download_checksum": True,
        "integrity": "sidecar",
        "force_redownload": False,
        "timeout_seconds": 300.0,
        "max_retries": 5,
        "max_bytes_per_second": None,
        "max_bytes": None,
        "max_requests_per_second": None,
        "processes": 1,
        "executor": "processes",
        "dask_scheduler": None,
        "shared_directory": False,
        "segmented_downloads": "auto",
        "serve": None,
        "metrics_textfile": None,
        "freshness": None,
        "metrics_by_symbol": False,
        "otlp_endpoint": None,
        "discovery": None,
        "quote_assets": None,
        "contracts": None,
        "leveraged_tokens": "include",
        "stable_pairs": "include",
        "only": None,
        "acknowledge": (),
        "holes_path": None,
        "accept_upstream_mismatch": False,
        "replaced_retention_days": None,
        "source_url": DEFAULT_SOURCE_URL,
        "second_source_url": DEFAULT_LISTING_URL,
        "listing_url": DEFAULT_LISTING_URL,
        "redirect_hosts": (),
        "allow_http": False,
        "proxy": "environment",
        "ca_bundle": None,
        "fill": None,
        "record": None,
        "environment": "development",
        "tenant": None,
    }
    assert config.warnings == ()


def test_the_short_example_of_the_contract_is_understood() -> None:
    config = WorkflowConfig(
        {
            "workflow_type": "archive_collection",
            "matrix_path": "path/to/matrix.json",
            "output_directory": "output",
            "markets": ["spot"],
            "symbols": ["BTCUSDT"],
            "data_types": ["klines"],
            "default_date": "2025-07-15",
        }
    )
    assert config.matrix_path == "path/to/matrix.json"
    assert (config.markets, config.data_types) == ((Market.SPOT,), (KLINES,))
    assert config.default_date == date(2025, 7, 15)
    assert config.warnings == ()


def test_the_long_example_of_the_contract_is_understood() -> None:
    config = WorkflowConfig(
        {
            "workflow_type": "archive_collection",
            "matrix_path": "matrix.json",
            "output_directory": "production-data",
            "markets": ["spot", "futures_um"],
            "symbols": ["BTCUSDT", "ETHUSDT", "BNBUSDT"],
            "data_types": ["klines", "trades", "fundingRate"],
            "date_range": {"start": "2025-07-01", "end": "2025-07-15"},
            "max_parallel_downloads": 8,
            "download_checksum": True,
            "timeout_seconds": 300,
        }
    )
    assert config.markets == (Market.SPOT, Market.FUTURES_UM)
    assert config.data_types == (KLINES, TRADES, DataType.FUNDING_RATE)
    assert config.date_range == DateRange(date(2025, 7, 1), date(2025, 7, 15))
    assert (config.max_parallel_downloads, config.timeout_seconds) == (8, 300.0)
    assert config.warnings == ()


@pytest.mark.parametrize("key", TWO_VALUES)
def test_a_key_is_read_from_a_mapping(key: str) -> None:
    for plain, _, expected in TWO_VALUES[key]:
        value = getattr(read({key: plain}), key)
        assert value == expected
        assert type(value) is type(expected)


@pytest.mark.parametrize("ending", WRITERS)
def test_every_key_is_read_from_a_file(ending: str) -> None:
    for key, values in TWO_VALUES.items():
        for plain, _, expected in values:
            text = WRITERS[ending]({**MINIMAL, key: plain})
            assert getattr(read(parse_config(text, f"config.{ending}")), key) == expected, key


def variables(key: str, text: str) -> dict[str, str]:
    """The variable of a key; that of `storage` counts only for a URL."""
    url = {f"{ENVIRONMENT}OUTPUT_DIRECTORY": "s3://bucket/prefix"} if key == "storage" else {}
    return url | {f"{ENVIRONMENT}{key.upper()}": text}


@pytest.mark.parametrize("key", TWO_VALUES)
def test_a_key_is_read_from_the_environment(key: str) -> None:
    for _, text, expected in TWO_VALUES[key]:
        environ = variables(key, text)
        assert getattr(read(environ=environ), key) == expected


@pytest.mark.parametrize("key", TWO_VALUES)
def test_the_later_of_two_sources_wins(key: str) -> None:
    (plain, _, first), (other, text, second) = TWO_VALUES[key]
    environ = variables(key, text)
    assert getattr(read({key: plain}, environ), key) == second
    assert getattr(read({key: plain}, overrides={key: other}), key) == second
    assert getattr(read({key: other}, environ, overrides={key: plain}), key) == first


def test_all_keys_can_be_given_together() -> None:
    given = {**ONE_VALUE, "output_directory": ("s3://bucket/prefix",) * 3}
    values = {key: plain for key, (plain, _, _) in given.items()}
    environ = {f"{ENVIRONMENT}{key.upper()}": text for key, (_, text, _) in given.items()}
    config = WorkflowConfig(values, environ={})
    assert config == WorkflowConfig(None, environ=environ)
    assert config == WorkflowConfig({}, environ={}, overrides=values)
    for key, (_, _, expected) in given.items():
        assert getattr(config, key) == expected


def test_the_process_environment_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{ENVIRONMENT}MAX_RETRIES", "7")
    assert WorkflowConfig(MINIMAL).max_retries == 7
    assert WorkflowConfig(MINIMAL, environ={}).max_retries == 5


RANGE = {"start": "2025-07-01", "end": "2025-07-31"}


@pytest.mark.parametrize(
    ("environ", "overrides", "expected"),
    [
        ({"DATE_RANGE_END": "2025-07-10"}, {}, ("2025-07-01", "2025-07-10")),
        ({"DATE_RANGE_START": "2025-07-05"}, {}, ("2025-07-05", "2025-07-31")),
        ({}, {"date_range": {"start": "2025-07-02"}}, ("2025-07-02", "2025-07-31")),
        (
            {"DATE_RANGE_START": "2025-07-05"},
            {"date_range": {"end": "2025-07-06"}},
            ("2025-07-05", "2025-07-06"),
        ),
        (
            {"DATE_RANGE_START": "2025-07-05", "DATE_RANGE_END": "2025-07-07"},
            {"date_range": {"end": "2025-07-06"}},
            ("2025-07-05", "2025-07-06"),
        ),
        (
            {"DATE_RANGE": '{"start": "2025-07-03"}', "DATE_RANGE_END": "2025-07-04"},
            {},
            ("2025-07-03", "2025-07-04"),
        ),
        (
            {"DATE_RANGE_END": "2025-07-04", "DATE_RANGE": '{"end": "2025-07-09"}'},
            {},
            ("2025-07-01", "2025-07-04"),
        ),
    ],
)
def test_one_edge_of_the_range_can_be_overridden(
    environ: dict[str, str], overrides: dict[str, Any], expected: tuple[str, str]
) -> None:
    named = {f"{ENVIRONMENT}{name}": text for name, text in environ.items()}
    config = read({"date_range": RANGE}, named, overrides)
    assert config.date_range == DateRange(*map(date.fromisoformat, expected))


def test_a_later_day_replaces_an_earlier_range() -> None:
    config = read(date_range=RANGE, overrides={"default_date": "2025-01-01"})
    assert (config.date_range, config.default_date) == (None, date(2025, 1, 1))


def test_a_later_range_stands_over_an_earlier_day() -> None:
    assert read(overrides={"date_range": RANGE}).date_range == JULY
    both = {"date_range": RANGE, "default_date": "2025-01-01"}
    assert read(overrides=both).date_range == JULY


def test_a_later_day_that_is_not_given_leaves_the_range() -> None:
    assert read(date_range=RANGE, overrides={"default_date": None}).date_range == JULY


def test_paths_may_be_path_objects() -> None:
    config = read(output_directory=Path("a/b"), matrix_path=Path("m.json"))
    assert (config.output_directory, config.matrix_path) == (str(Path("a/b")), "m.json")


def test_null_means_the_default() -> None:
    nulls = dict.fromkeys(("matrix_path", "markets", "discovery", "max_bytes_per_second"))
    assert read(nulls) == read()


@pytest.mark.parametrize("key", ["max_retries", "integrity", "partitions", "download_checksum"])
def test_a_key_that_always_has_a_value_refuses_null(key: str) -> None:
    assert faults({key: None}) == {f"$.{key}": "must not be null"}


def test_a_configuration_does_not_change() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        read().max_retries = 3  # type: ignore[misc]


def test_what_was_given_is_not_changed() -> None:
    values: dict[str, Any] = {**MINIMAL, "date_range": dict(RANGE), "batch_size": 5}
    given_range = {"start": "2025-07-02"}
    with pytest.warns(ConfigurationWarning):
        WorkflowConfig(values, environ={}, overrides={"date_range": given_range})
    assert values == {**MINIMAL, "date_range": RANGE, "batch_size": 5}
    assert given_range == {"start": "2025-07-02"}


@st.composite
def good_values(draw: st.DrawFn) -> dict[str, Any]:
    """A configuration without faults, each key one of its two values or absent."""
    keys = draw(st.sets(st.sampled_from(list(TWO_VALUES))))
    return {**MINIMAL, **{key: draw(st.sampled_from(TWO_VALUES[key]))[0] for key in keys}}


def is_runnable(values: Mapping[str, Any]) -> bool:
    """Whether symbols and intervals name only what is collected, and a cluster sees the output."""
    is_elsewhere = values.get("executor") == "dask" and "dask_scheduler" in values
    if is_elsewhere and not values.get("shared_directory"):
        return False
    pairs = (("symbols", "markets"), ("intervals", "data_types"))
    return not any(
        isinstance(values.get(name), dict) and not set(values[name]) <= set(values[selector])
        for name, selector in pairs
        if selector in values
    )


@given(good_values().filter(is_runnable))
def test_a_configuration_is_found_again_in_its_mapping(values: dict[str, Any]) -> None:
    config = WorkflowConfig(values, environ={})
    mapping = config.to_mapping()
    assert json.loads(json.dumps(mapping)) == mapping
    for ending, write in WRITERS.items():
        assert WorkflowConfig(parse_config(write(mapping), f"c.{ending}"), environ={}) == config


LISTS = ("markets", "symbols", "data_types", "intervals", "quote_assets", "contracts", "partitions")


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("ending", WRITERS)
def test_an_empty_list_is_refused_wherever_it_comes_from(name: str, ending: str) -> None:
    values = {**MINIMAL, name: []}
    message = "must not be empty; leave the key out for the default"
    assert faults(values) == {f"$.{name}": message}
    assert faults(parse_config(WRITERS[ending](values), f"c.{ending}")) == {f"$.{name}": message}
    for text in ("[]", "," if name != "partitions" else "[]"):
        variable = f"{ENVIRONMENT}{name.upper()}"
        assert faults(environ={variable: text}) == {variable: message}


def test_an_empty_list_of_hosts_allows_none() -> None:
    assert WorkflowConfig({**MINIMAL, "redirect_hosts": []}, environ={}).redirect_hosts == ()
