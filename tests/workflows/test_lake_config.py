"""A lake's configuration is made as a collection's is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.core.config.schema_check import is_valid

from crypto_lakehouse.core.archive import DataType, Market, Series
from crypto_lakehouse.core.config.rules import LAKE_KEYS
from crypto_lakehouse.core.config.schema import config_schema
from crypto_lakehouse.core.config.sources import parse_config
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig, config_keys
from crypto_lakehouse.core.errors import ConfigurationError, ConfigurationWarning
from crypto_lakehouse.workflows import IngestWorkflow, ValidationWorkflow
from crypto_lakehouse.workflows.lake_config import LakeConfig, LakeKeywords, lake_keys
from crypto_lakehouse.workflows.lake_docs import with_lake_table
from crypto_lakehouse.workflows.wiring.load_config import (
    load_config,
    load_lake_config,
    load_lake_of,
)

PREFIX = "CRYPTO_LAKEHOUSE_LAKE_"
VALUES: dict[str, Any] = {
    "output_directory": "out",
    "markets": ["spot"],
    "symbols": "BTC*",
    "intervals": ["1M"],
    "policies": {"order": "drop"},
    "workers": 2,
}


def test_mapping_keywords_and_variables_make_the_same() -> None:
    config = LakeConfig(VALUES, environ={})
    assert (config.markets, config.symbols, config.intervals) == (("spot",), ("BTC*",), ("1mo",))
    assert LakeConfig(**VALUES, environ={}) == config
    variables = {
        f"{PREFIX}OUTPUT_DIRECTORY": "out",
        f"{PREFIX}MARKETS": "spot",
        f"{PREFIX}SYMBOLS": "BTC*",
        f"{PREFIX}INTERVALS": "1M",
        f"{PREFIX}POLICIES": '{"order": "drop"}',
        f"{PREFIX}WORKERS": "2",
        "CRYPTO_LAKEHOUSE_MAX_RETRIES": "3",
    }
    assert LakeConfig(environ=variables) == config


def test_the_later_source_wins() -> None:
    variables = {f"{PREFIX}WORKERS": "3"}
    assert LakeConfig(VALUES, environ=variables).workers == 3
    assert LakeConfig(VALUES, environ=variables, workers=4).workers == 4
    over = LakeConfig(VALUES, environ={}, workers=4, overrides={"workers": 5})
    assert over.workers == 5


def test_the_keywords_are_the_keys() -> None:
    assert list(LakeKeywords.__annotations__) == list(lake_keys())


def series(data_type: DataType, interval: str | None = None) -> Series:
    return Series(Market.SPOT, data_type, "BTCUSDT", interval)


LISTS = ("markets", "data_types", "symbols", "intervals")
SERIES = (series(DataType.KLINES, "1h"), series(DataType.TRADES))


@pytest.mark.parametrize("given", [{}, dict.fromkeys(LISTS)])
def test_an_absent_list_selects_everything(given: dict[str, Any]) -> None:
    for config in (
        LakeConfig({"output_directory": "out", **given}, environ={}),
        LakeConfig(output_directory="out", environ={}, **given),
        LakeConfig({"output_directory": "out", **given}, environ={f"{PREFIX}SYMBOLS": ""}),
    ):
        assert [getattr(config, name) for name in LISTS] == [None] * 4
        assert all(map(config.selects_series, SERIES))
        assert not set(LISTS) & set(config.to_mapping())
        assert LakeConfig(config.to_mapping(), environ={}) == config


@pytest.mark.parametrize("empty", [[], (), set()])
@pytest.mark.parametrize("name", LISTS)
def test_an_empty_list_selects_nothing_wherever_it_comes_from(name: str, empty: Any) -> None:
    values = {"output_directory": "out"}
    for config in (
        LakeConfig({**values, name: empty}, environ={}),
        LakeConfig(values, environ={}, **{name: empty}),
        LakeConfig(values, environ={}, overrides={name: empty}),
        LakeConfig(values, environ={f"{PREFIX}{name.upper()}": "[]"}),
        LakeConfig({**values, "environments": {"production": {name: empty}}},
                   environ={}, environment="production"),
    ):  # fmt: skip
        assert getattr(config, name) == ()
        # Intervals restrict the archives of bars alone.
        wanted = [False, name == "intervals"]
        assert [config.selects_series(each) for each in SERIES] == wanted
        assert config.to_mapping()[name] == []
        assert LakeConfig({**config.to_mapping(), "environment": "development"}, environ={}
                          ).selects_series(SERIES[0]) is False  # fmt: skip
    assert is_valid({**values, name: list(empty)}, config_schema(lake_keys()))


def test_symbols_are_checked_and_compared_as_those_of_a_collection() -> None:
    with pytest.raises(ConfigurationError) as refused:
        LakeConfig(output_directory="out", symbols=["BTC/USDT", "A" * 300], environ={})
    assert [problem.path for problem in refused.value.problems] == ["$.symbols[0]", "$.symbols[1]"]
    config = LakeConfig(output_directory="out", symbols=["E\u0301USDT", "e*"], environ={})
    assert config.symbols == ("\u00c9USDT", "e*")


def test_every_fault_is_named_at_once() -> None:
    environ = {f"{PREFIX}WORKERS": "many"}
    with pytest.raises(ConfigurationError) as refused:
        LakeConfig({"marktes": 1, "policies": 7, "intervals": ["1x"]}, environ=environ)
    assert {problem.path for problem in refused.value.problems} == {
        f"{PREFIX}WORKERS", "$.marktes", "$.policies", "$.intervals[0]", "$.output_directory",
    }  # fmt: skip


def test_a_variable_that_names_no_key_is_ignored_with_a_warning() -> None:
    with pytest.warns(ConfigurationWarning, match=f"did you mean `{PREFIX}WORKERS`"):
        config = LakeConfig(VALUES, environ={f"{PREFIX}WORKER": "3"})
    assert len(config.warnings) == 1


def test_none_unsets_a_number() -> None:
    config = LakeConfig({**VALUES, "workers": 3}, environ={f"{PREFIX}WORKERS": "none"})
    assert config.workers is None


def test_a_collection_leaves_a_lakes_variables_alone() -> None:
    values = {"output_directory": "o", "symbols": ["BTCUSDT"], "default_date": "2025-07-15"}
    assert WorkflowConfig(values, environ={f"{PREFIX}WORKERS": "3"}).processes == 1


FILE = {
    "output_directory": "out",
    "workers": 1,
    "environments": {"production": {"workers": 4, "exact": True}},
}


def test_a_profile_overrides_the_keys_of_its_file() -> None:
    variables = {f"{PREFIX}EXACT": "no"}
    config = LakeConfig(FILE, environ=variables, environment="production")
    assert (config.workers, config.exact) == (4, False)
    assert LakeConfig(FILE, environ={}).workers == 1
    assert {key: origin for key, origin in config.origins.items() if origin != "default"} == {
        "output_directory": "mapping",
        "workers": "profile `production`",
        "exact": f"variable {PREFIX}EXACT",
        "environment": "keyword",
    }
    assert list(config.origins) == list(lake_keys())
    assert LakeConfig(config.to_mapping(), environ={}) == config


def test_every_profile_is_checked() -> None:
    values = {"output_directory": "o", "environments": {"x": {"wokers": 1}}, "environment": "y"}
    with pytest.raises(ConfigurationError) as refused:
        LakeConfig(values, environ={})
    assert {problem.path for problem in refused.value.problems} == {
        "$.environments.x.wokers", "$.environment",
    }  # fmt: skip


async def test_a_faulty_one_can_be_shown_and_not_run(tmp_path: Path) -> None:
    config = LakeConfig({"workers": 0}, environ={}, validate=False)
    assert config.workers is None
    assert "output_directory" not in config.to_mapping()
    assert {problem.path for problem in config.problems} == {"$.workers", "$.output_directory"}
    with pytest.raises(ConfigurationError, match="workers"):
        await load_lake_config(config)
    with pytest.raises(ConfigurationError, match="workers"):
        IngestWorkflow(config)
    with pytest.raises(ConfigurationError, match="workers"):
        ValidationWorkflow(config)


def test_the_page_has_the_table_of_the_keys() -> None:
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert with_lake_table(page) == page, "run `python -m crypto_lakehouse.workflows.lake_docs`"


def test_the_schema_has_the_keys() -> None:
    schema = config_schema(lake_keys())
    assert list(schema["properties"]) == [
        *lake_keys(), "environments", "tenants", "pipelines"
    ]  # fmt: skip
    assert is_valid({**VALUES, **FILE, "symbols": ["BTC*"]}, schema)
    for wrong in ({"workers": 65}, {"intervals": ["1x"]}, {"format": "csv"}, {"batch_size": 1}):
        assert not is_valid(wrong, schema)


SHARED = """
output_directory: out
symbols: {spot: [BTCUSDT], futures_um: ["ETH*"]}
intervals: {klines: [1m]}
data_types: [klines, trades]
date_range: {start: 2025-07-01, end: 2025-07-02}
max_retries: 1
batch_size: 5
format: parquet
workers: 2
environments: {production: {max_retries: 3, workers: 4, compression: zstd}}
environment: production
"""


def test_the_keys_of_tables_are_those_that_a_collection_ignores() -> None:
    assert {*LAKE_KEYS} == lake_keys().keys() - config_keys().keys()


@pytest.mark.filterwarnings("ignore:.*batch_size")
@pytest.mark.parametrize("ending", ["yaml", "json", "toml"])
async def test_one_file_serves_collections_and_tables(ending: str, tmp_path: Path) -> None:
    values = parse_config(SHARED, "c.yaml")
    text = json.dumps(values, default=str)
    if ending == "toml":
        text = "".join(f"{key} = {toml(value)}\n" for key, value in values.items())
    file = tmp_path / f"shared.{ending}"
    file.write_text(SHARED if ending == "yaml" else text)
    collected = await load_config(file)
    assert (collected.max_retries, collected.environment) == (3, "production")
    lake = await load_lake_config(file)
    assert (lake.format, lake.workers, lake.compression) == ("parquet", 4, "zstd")
    wanted = [
        Series(Market.SPOT, DataType.KLINES, "BTCUSDT", "1m"),
        Series(Market.FUTURES_UM, DataType.TRADES, "ETHUSDT"),
    ]
    others = [
        Series(Market.SPOT, DataType.KLINES, "BTCUSDT", "1h"),
        Series(Market.SPOT, DataType.TRADES, "ETHUSDT"),
        Series(Market.FUTURES_CM, DataType.TRADES, "ETHUSD_PERP"),
    ]
    assert all(map(lake.selects_series, wanted))
    assert not any(map(lake.selects_series, others))
    assert not lake.warnings
    for keys, more in ((None, lake_keys()), (lake_keys(), config_keys())):
        plain = {**json.loads(json.dumps(values, default=str))}
        if keys is not None:
            del plain["batch_size"]
        assert is_valid(plain, config_schema(keys, more))


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(each)}" for key, each in value.items()) + "}"
    return json.dumps(value, default=str)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"polices": {}}, "$.polices: unknown key; did you mean `policies`?"),
        ({"max_retrys": 1}, "$.max_retrys: unknown key; did you mean `max_retries`?"),
        ({"environments": {"production": {"colour": 1}}}, "$.environments.production.colour: un"),
    ],
)
def test_what_is_a_key_of_neither_is_refused_by_both(values: Any, message: str) -> None:
    for kind in (LakeConfig, WorkflowConfig):
        config = kind({"output_directory": "out", **values}, environ={}, validate=False)
        assert any(str(problem).startswith(message) for problem in config.problems)


def test_only_a_mapping_may_have_keys_of_the_others() -> None:
    given: Any = {"max_retries": 3}
    for source in ({"overrides": given}, given):
        config = LakeConfig(VALUES, environ={}, validate=False, **source)
        assert [each.path for each in config.problems] == ["$.max_retries"]


@pytest.mark.parametrize(
    ("kind", "variable", "meant"),
    [
        (WorkflowConfig, "CRYPTO_LAKEHOUSE_POLICIES", "CRYPTO_LAKEHOUSE_LAKE_POLICIES"),
        (WorkflowConfig, "CRYPTO_LAKEHOUSE_LAKE", "CRYPTO_LAKEHOUSE_LAKE_LAKE"),
        (LakeConfig, "CRYPTO_LAKEHOUSE_LAKE_MAX_RETRIES", "CRYPTO_LAKEHOUSE_MAX_RETRIES"),
    ],
)
def test_a_variable_with_the_others_prefix_is_told(kind: Any, variable: str, meant: str) -> None:
    with pytest.warns(ConfigurationWarning, match=f"ignored; did you mean `{meant}`"):
        kind({"output_directory": "out"}, environ={variable: "x"}, validate=False)


@pytest.mark.parametrize("values", [None, {}, {"workers": 3}, {"markets": ["options"]}])
async def test_what_follows_a_collection_takes_only_the_keys_of_tables(values: Any) -> None:
    config = WorkflowConfig(
        output_directory="out", symbols=["BTCUSDT"], default_date="2025-07-01", environ={}
    )
    lake = await load_lake_of(values, config)
    assert lake.output_directory == "out"
    assert lake.workers == (values or {}).get("workers")
    assert (lake.markets, lake.symbols) == (None, None)


async def test_what_follows_a_collection_reaches_the_same_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    storage = {"endpoint": "http://127.0.0.1:9000", "region": "eu-central-1"}
    config = WorkflowConfig(
        output_directory="s3://bucket/prefix", storage=storage, state_directory="state",
        ledger="postgresql://host/database", ledger_schema="mine", symbols=["BTCUSDT"],
        default_date="2025-07-01", environ={},
    )  # fmt: skip
    lake = await load_lake_of({"workers": 3}, config)
    assert (lake.storage, lake.state_directory) == (storage, "state")
    assert (lake.ledger, lake.ledger_schema) == ("postgresql://host/database", "mine")
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_LAKE_STORAGE", '{"region": "us-east-1"}')
    assert (await load_lake_of(None, config)).storage == {"region": "us-east-1"}


async def test_what_follows_a_collection_takes_its_profile() -> None:
    values = parse_config(SHARED, "c.yaml")
    with pytest.warns(ConfigurationWarning, match="batch_size"):
        config = await load_config(values, {"output_directory": "other"})
    lake = await load_lake_of(values, config)
    assert (lake.output_directory, lake.workers, lake.format) == ("other", 4, "parquet")
    assert lake.symbols is None


async def test_it_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "lake.toml"
    file.write_text('output_directory = "out"\nworkers = 2\n')
    config = await load_lake_config(file, {"workers": 3})
    assert config == LakeConfig(output_directory="out", workers=3, environ={})
    assert await load_lake_config(config) is config
    assert await load_lake_config({"output_directory": "out"}, {"workers": 3}) == config
    with pytest.raises(ConfigurationError, match="cannot be read"):
        await load_lake_config(tmp_path / "none.toml")


def test_the_number_of_processes() -> None:
    def count(**keys: Any) -> int:
        return LakeConfig({"output_directory": "data", **keys}, environ={}).process_count

    assert (count(), count(processes=3), count(processes="auto")) == (1, 3, os.cpu_count())
    assert count(processes=3, format="parquet") == 1
