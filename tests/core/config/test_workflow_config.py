"""A configuration is read from anywhere, checked as a whole, and shows no secrets."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.core.conftest import ENVIRONMENT, MINIMAL, faults, read

from crypto_lakehouse.core.archive import DataType, Market, Partition
from crypto_lakehouse.core.config.rules import OLDER_KEYS
from crypto_lakehouse.core.config.sources import parse_config
from crypto_lakehouse.core.config.workflow_config import (
    DEFAULT_LISTING_URL,
    DEFAULT_SOURCE_URL,
    DateRange,
    WorkflowConfig,
    config_keys,
)
from crypto_lakehouse.core.errors import ConfigurationError, ConfigurationWarning
from crypto_lakehouse.core.symbols import ContractType

KLINES, TRADES, AGG_TRADES = list(DataType)[:3]
JULY = DateRange(date(2025, 7, 1), date(2025, 7, 31))
JUNE = DateRange(date(2025, 6, 1), date(2025, 6, 30))

#: For each key two values: as files and dicts write it, as the environment writes it, as read.
TWO_VALUES: dict[str, list[tuple[Any, str, Any]]] = {
    "workflow_type": [("archive_collection",) * 3] * 2,
    "matrix_path": [("m.json",) * 3, ("dir/other.json",) * 3],
    "output_directory": [("o",) * 3, ("/srv/archive 1",) * 3],
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
    "max_requests_per_second": [(0.5, "0.5", 0.5), (50, "50", 50.0)],
    "processes": [(64, "64", 64), ("auto", "auto", "auto")],
    "segmented_downloads": [("off",) * 3, ("auto",) * 3],
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
    "environment": [("production",) * 3, ("development",) * 3],
}  # fmt: skip
ONE_VALUE = {key: values[0] for key, values in TWO_VALUES.items()}


def toml(value: Any) -> str:
    """A plain value as TOML writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


WRITERS: dict[str, Callable[[dict[str, Any]], str]] = {
    "json": json.dumps,
    "toml": lambda values: "\n".join(f"{key} = {toml(item)}" for key, item in values.items()),
    "yaml": lambda values: yaml.safe_dump(values, allow_unicode=True),
}


def test_every_key_of_the_contract_is_tried() -> None:
    assert list(TWO_VALUES) == list(config_keys())


def test_defaults_are_those_of_the_contract() -> None:
    config = WorkflowConfig(MINIMAL, environ={})
    assert {name: getattr(config, name) for name in config_keys()} == {
        "workflow_type": "archive_collection",
        "matrix_path": None,
        "output_directory": "out",
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
        "max_requests_per_second": None,
        "processes": 1,
        "segmented_downloads": "auto",
        "discovery": None,
        "quote_assets": None,
        "contracts": None,
        "leveraged_tokens": "include",
        "stable_pairs": "include",
        "only": None,
        "accept_upstream_mismatch": False,
        "replaced_retention_days": None,
        "source_url": DEFAULT_SOURCE_URL,
        "second_source_url": DEFAULT_LISTING_URL,
        "listing_url": DEFAULT_LISTING_URL,
        "redirect_hosts": (),
        "allow_http": False,
        "proxy": "environment",
        "ca_bundle": None,
        "environment": "development",
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
@pytest.mark.parametrize("key", TWO_VALUES)
def test_a_key_is_read_from_a_file(key: str, ending: str) -> None:
    for plain, _, expected in TWO_VALUES[key]:
        text = WRITERS[ending]({**MINIMAL, key: plain})
        assert getattr(read(parse_config(text, f"config.{ending}")), key) == expected


@pytest.mark.parametrize("key", TWO_VALUES)
def test_a_key_is_read_from_the_environment(key: str) -> None:
    for _, text, expected in TWO_VALUES[key]:
        environ = {f"{ENVIRONMENT}{key.upper()}": text}
        assert getattr(read(environ=environ), key) == expected


@pytest.mark.parametrize("key", TWO_VALUES)
def test_the_later_of_two_sources_wins(key: str) -> None:
    (plain, _, first), (other, text, second) = TWO_VALUES[key]
    environ = {f"{ENVIRONMENT}{key.upper()}": text}
    assert getattr(read({key: plain}, environ), key) == second
    assert getattr(read({key: plain}, overrides={key: other}), key) == second
    assert getattr(read({key: other}, environ, overrides={key: plain}), key) == first


def test_all_keys_can_be_given_together() -> None:
    values = {key: plain for key, (plain, _, _) in ONE_VALUE.items()}
    environ = {f"{ENVIRONMENT}{key.upper()}": text for key, (_, text, _) in ONE_VALUE.items()}
    config = WorkflowConfig(values, environ={})
    assert config == WorkflowConfig(None, environ=environ)
    assert config == WorkflowConfig({}, environ={}, overrides=values)
    for key, (_, _, expected) in ONE_VALUE.items():
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


@pytest.mark.parametrize("values", [[], "a", 7, [("output_directory", "o")]])
def test_only_a_mapping_is_a_configuration(values: Any) -> None:
    with pytest.raises(ConfigurationError) as refused:
        WorkflowConfig(values, environ={})
    (problem,) = refused.value.problems
    assert problem.path == "$"
    assert problem.message == f"must be a mapping of keys, not {type(values).__name__}"


def test_an_empty_configuration_names_all_that_is_missing() -> None:
    empty: dict[str, Any] = {}
    for values in (None, empty):
        with pytest.raises(ConfigurationError) as refused:
            WorkflowConfig(values, environ={})
        assert [problem.path for problem in refused.value.problems] == [
            "$.output_directory",
            "$.symbols",
            "$.date_range",
        ]


def test_every_problem_is_listed_at_once_with_its_path() -> None:
    found = faults(
        {
            "output_directory": "",
            "markets": ["spto"],
            "symbols": {"spot": ["BTC-USDT", 7]},
            "intervals": {"klines": ["1x"], "klins": ["1h"]},
            "date_range": {"start": "2025-02-29", "stop": "2025-03-01"},
            "max_retries": 21,
            "timeout_seconds": True,
            "integrity": "md5",
            "source_url": "ftp://mirror.example",
            "max_retry": 3,
        },
        environ={f"{ENVIRONMENT}SYMBOL": "BTCUSDT", f"{ENVIRONMENT}FORCE_REDOWNLOAD": "perhaps"},
    )
    assert set(found) == {
        f"{ENVIRONMENT}SYMBOL",
        f"{ENVIRONMENT}FORCE_REDOWNLOAD",
        "$.max_retry",
        "$.output_directory",
        "$.markets[0]",
        "$.symbols['spot'][0]",
        "$.symbols['spot'][1]",
        "$.intervals['klines'][0]",
        "$.intervals['klins']",
        "$.date_range.start",
        "$.date_range.end",
        "$.date_range",
        "$.max_retries",
        "$.timeout_seconds",
        "$.integrity",
        "$.source_url",
    }


def test_the_error_is_readable_as_it_stands() -> None:
    with pytest.raises(ConfigurationError) as refused:
        read(max_retries=21, markets=["spto"])
    assert str(refused.value) == (
        "invalid configuration, 2 problems:\n"
        "  $.markets[0]: unknown market `spto`; allowed: spot, futures_um, futures_cm, options; "
        "did you mean `spot`?\n"
        "  $.max_retries: must be at most 20, not 21"
    )


@pytest.mark.parametrize("key", OLDER_KEYS)
def test_an_older_key_is_accepted_with_a_warning_that_never_shows_its_value(key: str) -> None:
    with pytest.warns(ConfigurationWarning, match=f"`{key}`") as caught:
        config = read({key: {"level": "hunter2", "token": "hunter2"}})
    assert [str(warning.message) for warning in caught] == list(config.warnings)
    assert Path(caught[0].filename) == Path(read.__code__.co_filename)
    assert config == read()
    for shown in (*config.warnings, repr(config), str(config.to_mapping())):
        assert "hunter2" not in shown


def test_all_older_keys_together_give_one_warning_each() -> None:
    with pytest.warns(ConfigurationWarning) as caught:
        config = read(dict.fromkeys(OLDER_KEYS, 1))
    assert len(caught) == len(config.warnings) == len(OLDER_KEYS)


def test_an_invalid_configuration_warns_of_nothing() -> None:
    assert faults(batch_size=50, max_retries=-1) == {"$.max_retries": "must be at least 0, not -1"}


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
    """Whether symbols and intervals name only what is collected."""
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
