"""Text becomes values, or an error that names the file, the line, and what is wrong."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.core.conftest import ENVIRONMENT, MINIMAL, faults, read

from crypto_lakehouse.core.config.rules import SEE_KEYS
from crypto_lakehouse.core.config.sources import (
    ENVIRONMENT_PREFIX,
    LAKE_PREFIX,
    environment_values,
    parse_config,
    parse_text_value,
)
from crypto_lakehouse.core.config.workflow_config import config_keys
from crypto_lakehouse.core.errors import ConfigurationError, ConfigurationWarning, Problem

KINDS = {name: item.metadata["kind"] for name, item in config_keys().items()}


def refusal(text: str, name: str) -> str:
    """What is said of a file that must be refused; its name is the place."""
    with pytest.raises(ConfigurationError) as refused:
        parse_config(text, name)
    (problem,) = refused.value.problems
    assert problem.path == name
    return problem.message


@pytest.mark.parametrize("name", ["c.json", "a.b/c.JSON", "c.yaml", "c.yml", "c.YML", "c.toml"])
def test_the_ending_says_the_format(name: str) -> None:
    toml = name.endswith("toml")
    text = 'symbols = ["币安人生USDT"]' if toml else '{"symbols": ["币安人生USDT"]}'
    assert parse_config(text, name) == {"symbols": ["币安人生USDT"]}


@pytest.mark.parametrize(
    ("name", "hint"),
    [("c.jsn", "did you mean `.json`?"), ("c.ini", ".yml"), ("c", ".yml"), ("", ".yml")],
)
def test_another_ending_is_refused(name: str, hint: str) -> None:
    message = refusal("{}", name)
    assert message.startswith("unknown kind of configuration file; allowed: .json, .toml, .yaml")
    assert message.endswith(hint)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("c.json", '{\n"a": 1,\n}', 3),
        ("c.json", "", 1),
        ("c.json", '{"a": 1}\n{', 2),
        ("c.toml", "a = 1\nb = \n", 2),
        ("c.toml", "a = 1\na = 2\nb = 3", 2),
        ("c.toml", "a = 1\n[a]\nb = 1", 2),
        ("c.yaml", "a: 1\nb: [1\n", 3),
        ("c.yaml", "a: 1\n\tb: 2", 2),
        ("c.yaml", "a: 1\n b: 2\n", 2),
        ("c.yaml", "a: *b", 1),
        ("c.yaml", "a: 1\n? [1]\n: 2", 2),
        ("c.yaml", "a: !!python/object:os.system 1", 1),
        ("c.yaml", "a: 1\nb: !!timestamp soon", 2),
        ("c.yaml", "a: 1\nb: !!bool perhaps", 2),
        ("c.yaml", "a: 1\nb: !!int ''", 2),
        ("c.yaml", "a: 1\nb: !!float ''", 2),
        ("c.yaml", "a: 1\n\ndefault_date: 2025-02-30", 3),
        ("c.yaml", "a: 1\nb: !!int 0b2", 2),
        ("c.yaml", "a: " + "9" * 5000, 1),
        ("c.yaml", "a: 1\n--- \nb: 2", 2),
        ("c.yaml", "a: 1\n<<: 2", 2),
        ("c.yml", "a: 1\nb: 2\na: 3", 3),
        ("c.yml", "a: 1\n'a': 3", 2),
        ("c.yml", "date_range:\n  start: 1\n  end: 2\n  start: 3\n", 4),
        ("c.yml", "a:\n- b: 1\n  b: 2\n", 3),
        ("c.yml", '{"a": 1,\n "a": 1}', 2),
    ],
)
def test_a_syntax_error_names_its_file_and_line(name: str, text: str, line: int) -> None:
    message = refusal(text, name)
    assert message.startswith(f"not valid {name[2:]}: ")
    assert f"line {line}" in message


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.json", '{"symbols": [], "symbols": []}'),
        ("c.json", '{"a": {"symbols": 1, "symbols": 1}}'),
        ("c.yaml", "symbols: []\nsymbols: []"),
        ("c.yaml", "a: {symbols: 1, symbols: 1}"),
    ],
)
def test_a_key_that_stands_twice_is_refused_by_name(name: str, text: str) -> None:
    assert "key `symbols` is repeated" in refusal(text, name)


def test_yaml_may_merge_mappings() -> None:
    text = "date_range: &a {start: 1, end: 2}\nother: {<<: *a, end: 3}"
    assert parse_config(text, "c.yaml")["other"] == {"start": 1, "end": 3}


@pytest.mark.parametrize(
    ("name", "text"),
    [("c.yaml", "default_date: 2025-07-15"), ("c.toml", "default_date = 2025-07-15")],
)
def test_a_bare_day_is_a_day(name: str, text: str) -> None:
    assert read(parse_config(text, name)).default_date == date(2025, 7, 15)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.yaml", "default_date: 2025-07-15 00:00:00"),
        ("c.yaml", "default_date: 2025-07-15T00:00:00Z"),
        ("c.toml", "default_date = 2025-07-15T00:00:00Z"),
    ],
)
def test_a_bare_time_is_no_day(name: str, text: str) -> None:
    found = faults(parse_config(text, name))
    assert found == {"$.default_date": "must be a day, YYYY-MM-DD, without a time"}


@pytest.mark.parametrize("name", ["c.json", "c.yaml", "c.toml"])
def test_a_file_nested_without_end_is_refused(name: str) -> None:
    text = ("a = " if name == "c.toml" else "") + "[" * 5000
    assert refusal(text, name).startswith(f"not valid {name[2:]}: ")


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("c.json", "[]", "list"),
        ("c.json", "null", "NoneType"),
        ("c.yaml", "", "NoneType"),
        ("c.yaml", "# only a comment", "NoneType"),
        ("c.yaml", "- a", "list"),
        ("c.yaml", "a", "str"),
    ],
)
def test_a_file_must_hold_a_mapping(name: str, text: str, kind: str) -> None:
    assert refusal(text, name) == f"must contain a mapping of keys, not {kind}"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.yaml", "source_url: https://me:hunter2@h: [\n"),
        ("c.yaml", f"source_url: https://me:{'hunter2' * 20}@h: [\n"),
        ("c.json", '{"source_url": "https://me:hunter2@h}'),
        ("c.toml", "source_url = https://me:hunter2@h"),
        ("https://me:hunter2@h.json", "{"),
    ],
)
def test_a_syntax_error_shows_no_secret(name: str, text: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse_config(text, name)
    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None


@given(
    st.text("{}[]:,-#&*!|>'\"% \n\tabc012.?<@`~=", max_size=40) | st.text(max_size=40),
    st.sampled_from(["c.json", "c.yaml", "c.toml"]),
)
@example("a: &a {b: *a}", "c.yaml")
@example("!!set [1]", "c.yaml")
@example("!!omap 3", "c.yaml")
@example("!!pairs [3]", "c.yaml")
@example("!!binary é", "c.yaml")
@example("=", "c.yaml")
@example("? !!timestamp x", "c.yaml")
@example("a: 9999-99-99 99:99:99", "c.yaml")
@example("a: 0x", "c.yaml")
@example("a: 1:99999", "c.yaml")
def test_any_text_is_a_mapping_or_refused(text: str, name: str) -> None:
    try:
        values = parse_config(text, name)
    except ConfigurationError as error:
        assert [problem.path for problem in error.problems] == [name]
    else:
        assert isinstance(values, dict)


@given(
    st.dictionaries(
        st.text("abc", min_size=1),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text("aé\n'\" :#", max_size=9),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3)
            ),
            max_leaves=5,
        ),
        max_size=4,
    )
)
def test_json_reads_the_same_from_a_json_and_a_yaml_file(values: dict[str, Any]) -> None:
    text = json.dumps(values)
    assert parse_config(text, "c.json") == values
    assert parse_config(text, "c.yaml") == values


def test_other_variables_and_empty_ones_do_not_count() -> None:
    environ = {"PATH": "/bin", "crypto_lakehouse_markets": "x", f"{ENVIRONMENT}MARKETS": ""}
    assert environment_values(environ, KINDS) == ({}, [], [])


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("MARKET", f"did you mean `{ENVIRONMENT}MARKETS`?"),
        ("COLOUR", SEE_KEYS),
        ("PORT", SEE_KEYS),  # no address, so no link
        ("SHAPE", SEE_KEYS),
    ],
)
def test_a_variable_that_names_no_key_is_ignored_with_a_warning(name: str, hint: str) -> None:
    assert environment_values({f"{ENVIRONMENT}{name}": "spot"}, KINDS) == (
        {},
        [f"the variable `{ENVIRONMENT}{name}` names no configuration key and is ignored; {hint}"],
        [],
    )


def test_a_warning_of_a_variable_reaches_the_configuration() -> None:
    with pytest.warns(ConfigurationWarning, match="did you mean `CRYPTO_LAKEHOUSE_MAX_RETRIES`"):
        config = read(environ={f"{ENVIRONMENT}MAX_RETRY": "1"})
    assert len(config.warnings) == 1
    assert config.max_retries == 5


#: What Kubernetes sets for a service `crypto-lakehouse`, or one whose name begins so.
SERVICE = {
    "SERVICE_HOST": "10.0.0.11",
    "SERVICE_PORT": "443",
    "SERVICE_PORT_HTTP": "443",
    "SERVICE_PORT_METRICS_V2": "9100",
    "PORT": "tcp://10.0.0.11:443",
    "PORT_443_TCP": "tcp://10.0.0.11:443",
    "PORT_443_TCP_PROTO": "tcp",
    "PORT_443_TCP_PORT": "443",
    "PORT_443_TCP_ADDR": "10.0.0.11",
    "PORT_53_UDP": "udp://10.0.0.11:53",
}


@pytest.mark.parametrize("service", ["", "API_", "LAKE_", "LAKE_UI_"])
@pytest.mark.parametrize("prefix", [ENVIRONMENT_PREFIX, LAKE_PREFIX])
def test_the_variables_of_a_service_of_this_name_are_ignored(prefix: str, service: str) -> None:
    environ = {f"{ENVIRONMENT}{service}{name}": text for name, text in SERVICE.items()}
    assert environment_values(environ, KINDS, prefix) == ({}, [], [])


def test_a_wrong_value_names_its_variable() -> None:
    environ = {
        f"{ENVIRONMENT}MAX_RETRIES": "99",
        f"{ENVIRONMENT}DATE_RANGE_END": "2025-02-30",
        f"{ENVIRONMENT}SYMBOLS": '{"spot": ["BTC-USDT"]}',
    }
    assert set(faults(date_range={"start": "2025-02-29"}, environ=environ)) == {
        f"{ENVIRONMENT}MAX_RETRIES",
        f"{ENVIRONMENT}DATE_RANGE_END",
        f"{ENVIRONMENT}SYMBOLS['spot'][0]",
        "$.date_range.start",
    }


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("replaced_retention_days", "none"),
        ("max_bytes_per_second", "none"),
        ("max_requests_per_second", "none"),
        ("discovery", "none"),
    ],
)
def test_none_unsets_an_optional_key(key: str, text: str) -> None:
    variable = f"{ENVIRONMENT}{key.upper()}"
    value: Any = "calendar" if key == "discovery" else 7
    assert getattr(read({**MINIMAL, key: value}, environ={variable: text}), key) is None
    assert getattr(read({**MINIMAL, key: text}), key) is None


@pytest.mark.parametrize("key", ["max_retries", "timeout_seconds"])
def test_none_is_no_value_of_a_key_with_a_default(key: str) -> None:
    assert list(faults({**MINIMAL, key: "none"})) == [f"$.{key}"]


@pytest.mark.parametrize("name", ["DATE_RANGE_MIDDLE", "DEFAULT_DATE_START", "START", "_END"])
def test_only_the_range_has_edges(name: str) -> None:
    values, (note,), problems = environment_values({f"{ENVIRONMENT}{name}": "2025-07-15"}, KINDS)
    assert (values, problems) == ({}, [])
    assert f"`{ENVIRONMENT}{name}`" in note


@pytest.mark.parametrize("turn", [1, -1])
def test_edges_stand_over_the_whole_range_in_any_order(turn: int) -> None:
    environ = {
        f"{ENVIRONMENT}DATE_RANGE": '{"start": "2025-07-01", "end": "2025-07-31"}',
        f"{ENVIRONMENT}DATE_RANGE_END": "2025-07-10",
    }
    ordered = dict(list(environ.items())[::turn])
    assert environment_values(ordered, KINDS) == (
        {"date_range": {"start": "2025-07-01", "end": "2025-07-10"}},
        [],
        [],
    )


def test_a_range_that_is_no_mapping_stays_to_be_refused() -> None:
    environ = {f"{ENVIRONMENT}DATE_RANGE": "5", f"{ENVIRONMENT}DATE_RANGE_END": "2025-07-10"}
    assert list(faults(environ=environ)) == [", ".join(environ)]


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("FORCE_REDOWNLOAD", "perhaps", "`perhaps` must be true or false"),
        ("SYMBOLS", "[BTCUSDT]", "not valid JSON: "),
        ("SYMBOLS", '{"spot": ["A"], "spot": ["B"]}', "not valid JSON: key `spot` is repeated"),
        ("SYMBOLS", "[" * 100_000, "not valid JSON: "),
        ("DATE_RANGE", "2025-07-01", "not valid JSON: "),
    ],
)
def test_a_variable_that_cannot_be_read_is_named(key: str, text: str, message: str) -> None:
    found = faults(environ={f"{ENVIRONMENT}{key}": text})
    assert list(found) == [f"{ENVIRONMENT}{key}"]
    assert found[f"{ENVIRONMENT}{key}"].startswith(message)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("symbols", "BTCUSDT", ["BTCUSDT"]),
        ("symbols", " BTCUSDT , ETH* ,", ["BTCUSDT", "ETH*"]),
        ("symbols", '["BTCUSDT"]', ["BTCUSDT"]),
        ("symbols", '{"spot": ["BTCUSDT"]}', {"spot": ["BTCUSDT"]}),
        ("markets", "spot,options", ["spot", "options"]),
        ("intervals", "1h,1M", ["1h", "1M"]),
        ("partitions", "auto", "auto"),
        ("partitions", "daily,monthly", ["daily", "monthly"]),
        ("max_parallel_downloads", "auto", "auto"),
        ("max_parallel_downloads", "8", 8),
        ("timeout_seconds", "1e2", 100.0),
        ("max_retries", "many", "many"),
        ("download_checksum", "YES", True),
        ("download_checksum", "off", False),
        ("output_directory", " a,b ", "a,b"),
        ("output_directory", "[a]", "[a]"),
        ("integrity", "both", "both"),
        ("default_date", "2025-07-15", "2025-07-15"),
        ("date_range", '{"start": "2025-07-15"}', {"start": "2025-07-15"}),
    ],
)
def test_text_is_read_as_the_kind_of_its_key(key: str, text: str, value: object) -> None:
    assert parse_text_value(text, KINDS[key]) == value


def test_a_number_that_is_none_is_refused_by_its_key() -> None:
    assert faults(environ={f"{ENVIRONMENT}MAX_RETRIES": "many"}) == {
        f"{ENVIRONMENT}MAX_RETRIES": "must be a whole number, not text (`many`)"
    }


def test_problems_of_the_environment_are_values() -> None:
    _, _, problems = environment_values({f"{ENVIRONMENT}FORCE_REDOWNLOAD": "x"}, KINDS)
    assert problems == [Problem(f"{ENVIRONMENT}FORCE_REDOWNLOAD", "`x` must be true or false")]
