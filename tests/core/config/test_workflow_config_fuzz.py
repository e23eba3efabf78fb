"""Whatever is given, it is a configuration or a configuration error."""

from __future__ import annotations

import json
import warnings
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.core.config.key_values import TWO_VALUES
from tests.core.conftest import ENVIRONMENT, MINIMAL, read

from crypto_lakehouse.core.config.rules import OLDER_KEYS
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError, ConfigurationWarning

HUGE = 10**5000
words = st.sampled_from(
    ["", " ", "auto", "spot", "klines", "1h", "1M", "daily", "BTCUSDT", "*", "[", "[a-]", "..",
     "2025-07-15", "2025-02-30", "0000-00-00", "//[x", "s3://b", "https://h", "http://[::1]:99999",
     "https://me:pw@h", "\0", "\n", "\ud800", "e\u0301", "9" * 5000, " @ ", "\x1b[2J"]
)  # fmt: skip
leaves: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([float("nan"), float("inf"), 1e308, 10**400, -(10**400)])
    | st.floats()
    | words
    | st.text(max_size=20)
    | st.binary(max_size=4)
    | st.dates()
    | st.datetimes()
    | st.just(datetime(2025, 7, 15, tzinfo=UTC))
)
names = words | st.text(max_size=9) | st.none() | st.integers() | st.dates()
names |= st.sampled_from(["start", "end", "spot", "futures_um", "klines", "trades"])
garbage = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(names, inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.sets(st.integers() | words, max_size=3)
    ),
    max_leaves=8,
)
garbage_values = st.dictionaries(
    st.sampled_from([*TWO_VALUES, *list(OLDER_KEYS)[:2]]) | names, garbage, max_size=6
)


def nested(depth: int) -> list[Any]:
    lists: list[Any] = []
    for _ in range(depth):
        lists = [lists]
    return lists


def endless() -> dict[str, Any]:
    """A mapping and a list that hold themselves, as YAML aliases can make them."""
    mapping: dict[str, Any] = {"spot": []}
    mapping["futures_um"] = mapping
    mapping["spot"].append(mapping["spot"])
    return mapping


def laughs() -> list[Any]:
    """A small list that is beyond any memory once it is written out."""
    level: list[Any] = ["BTCUSDT"]
    for _ in range(60):
        level = [level] * 10
    return level


@given(garbage_values)
@example({"timeout_seconds": float("nan"), "max_bytes_per_second": float("inf")})
@example({None: 2, 7: 3, ("a",): 4, b"b": 5, date(2025, 1, 1): 6, "\x1b[2J\n": 7})
@example({"date_range": {7: 1, None: 2}})
@example({"symbols": {7: ["BTCUSDT"], " @ ": [7], None: []}})
@example({"intervals": {7: ["1h"], " @ ": [7], None: []}})
@example({"output_directory": "//[x"})
@example({"default_date": datetime(2025, 7, 15, tzinfo=UTC)})
@example({"environment": "a\nb", "integrity": "\x1b[2J"})
def test_any_garbage_is_a_configuration_or_refused_line_by_line(values: dict[Any, Any]) -> None:
    check_outcome(values)


@pytest.mark.parametrize(
    "value",
    [HUGE, -HUGE, nested(100_000), endless(), laughs(), "x" * 100_000],
    ids=["huge", "huge below zero", "nested deep", "without end", "beyond memory", "long"],
)
def test_a_value_too_large_to_show_is_a_configuration_or_refused(value: Any) -> None:
    check_outcome(dict.fromkeys(TWO_VALUES, value))
    check_outcome({"symbols": {"spot": value, "options": [value]}, "unknown": value})
    check_outcome({"date_range": {"start": value, "stop": value}, "intervals": {"klines": value}})
    if isinstance(value, str | int):
        check_outcome({value: 1, "date_range": {value: 1}, "intervals": 7})
    if isinstance(value, int):
        check_outcome({"symbols": {value: ["A"]}, "intervals": {value: ["1h"]}})


def check_outcome(values: dict[Any, Any]) -> None:
    """A configuration, or an error of one short line for each problem."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigurationWarning)
        for given_values in (values, {**MINIMAL, **values}):
            try:
                config = WorkflowConfig(given_values, environ={})
            except ConfigurationError as error:
                lines = str(error).split("\n")
                assert len(lines) == 1 + len(error.problems)
                assert all(line.startswith("  $.") for line in lines[1:])
                assert str(error).replace("\n", "").isprintable()
                assert max(map(len, lines)) < 1000
            else:
                assert repr(config).startswith("WorkflowConfig(")
                mapping = config.to_mapping()
                assert WorkflowConfig(mapping, environ={}).to_mapping() == mapping


environment_names = st.sampled_from([*TWO_VALUES, "date_range_start", "date_range_end", "x", ""])


@given(
    st.dictionaries(
        environment_names.map(lambda name: f"{ENVIRONMENT}{name.upper()}"),
        words
        | st.text(max_size=20)
        | st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | words,
            lambda inner: st.lists(inner) | st.dictionaries(words, inner),
            max_leaves=5,
        ).map(json.dumps),
        max_size=5,
    )
)
@example({f"{ENVIRONMENT}DATE_RANGE": "5", f"{ENVIRONMENT}DATE_RANGE_START": "2025-07-01"})
@example({f"{ENVIRONMENT}SYMBOLS": "[" * 100_000})
@example({f"{ENVIRONMENT}MAX_RETRIES": "9" * 5000})
@example({f"{ENVIRONMENT}TIMEOUT_SECONDS": "nan"})
@example({f"{ENVIRONMENT}DOWNLOAD_CHECKSUM": "\x1b[2J\n" + "x" * 5000})
@example({f"{ENVIRONMENT}\x1b[2J\n": "x"})
def test_any_environment_gives_a_configuration_or_is_refused(environ: dict[str, str]) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConfigurationWarning)
            config = read(environ=environ)
    except ConfigurationError as error:
        assert len(str(error).split("\n")) == 1 + len(error.problems)
        assert str(error).replace("\n", "").isprintable()
    else:
        assert config.output_directory
