"""`environment` chooses a profile of the file, between the file's own keys and the variables."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.config.schema_check import is_valid
from tests.core.conftest import ENVIRONMENT, MINIMAL, faults, read

from crypto_lakehouse.core.config.schema import config_schema
from crypto_lakehouse.core.config.sources import parse_config
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig, config_keys
from crypto_lakehouse.core.errors import ConfigurationWarning

PROFILES = {
    "production": {"max_retries": 9, "processes": "auto"},
    "staging": {"max_retries": 1, "output_directory": "staged"},
}
FILE: dict[str, Any] = {"max_retries": 3, "environments": PROFILES}
VARIABLE = f"{ENVIRONMENT}ENVIRONMENT"


def test_without_a_profile_of_its_name_the_file_holds() -> None:
    assert (read(FILE).environment, read(FILE).max_retries) == ("development", 3)


def test_the_file_the_variable_and_the_option_choose_the_later_wins() -> None:
    assert read(FILE, environment="production").max_retries == 9
    staged = read(FILE, {VARIABLE: "staging"}, environment="production")
    assert (staged.environment, staged.max_retries) == ("staging", 1)
    chosen = read(FILE, {VARIABLE: "staging"}, {"environment": "production"})
    assert (chosen.environment, chosen.max_retries, chosen.processes) == ("production", 9, "auto")


def test_variables_and_options_win_over_the_profile() -> None:
    variables = {f"{ENVIRONMENT}MAX_RETRIES": "7"}
    assert read(FILE, variables, environment="staging").max_retries == 7
    assert read(FILE, variables, {"max_retries": 8}, environment="staging").max_retries == 8


def test_a_profile_gives_one_edge_of_the_range() -> None:
    config = read(
        date_range={"start": "2025-07-01", "end": "2025-07-31"},
        environments={"staging": {"date_range": {"end": "2025-07-02"}}},
        environment="staging",
    )
    assert str(config.to_mapping()["date_range"]["end"]) == "2025-07-02"


def test_an_unknown_name_is_a_fault_that_lists_the_names() -> None:
    assert faults(FILE, environment="stagin") == {
        "$.environment": "unknown value `stagin`; allowed: development, production, staging; "
        "did you mean `staging`?"
    }
    assert set(faults(environ={VARIABLE: "staging"})) == {VARIABLE}


@pytest.mark.parametrize("name", [7, ["staging"], "", None])
def test_what_is_no_name_is_one_fault(name: object) -> None:
    assert set(faults(FILE, environment=name)) == {"$.environment"}


@pytest.mark.parametrize(
    ("profiles", "path", "word"),
    [
        (None, "$.environments", "not NoneType"),
        ([1], "$.environments", "not list"),
        ({"staging": None}, "$.environments.staging", "write {} if it has no keys"),
        ({"staging": {"max_retry": 1}}, "$.environments.staging.max_retry", "did you mean"),
        ({"staging": {"environment": "x"}}, "$.environments.staging.environment", "unknown key"),
        ({"staging": {"environments": {}}}, "$.environments.staging.environments", "unknown key"),
        ({7: {}}, "$.environments.7", "must be text"),
        ({" ": {}}, "$.environments. ", "must be text"),
    ],
)
def test_a_faulty_profile_is_named_chosen_or_not(profiles: Any, path: str, word: str) -> None:
    found = faults(environments=profiles)
    assert list(found) == [path]
    assert word in found[path]


def test_a_faulty_value_of_the_chosen_profile_is_a_fault() -> None:
    profiles = {"staging": {"max_retries": 99}}
    assert set(faults(environments=profiles, environment="staging")) == {
        "$.environments.staging.max_retries"
    }


def test_an_older_key_of_a_profile_is_ignored_with_a_warning() -> None:
    with pytest.warns(ConfigurationWarning, match="`batch_size`"):
        config = read(environments={"staging": {"batch_size": 1}})
    assert len(config.warnings) == 1


def test_a_mapping_with_a_profiles_name_can_be_read_again() -> None:
    config = read(FILE, environment="staging")
    assert WorkflowConfig(config.to_mapping(), environ={}) == config


def test_profiles_stand_in_files_and_in_the_schema() -> None:
    text = "[environments.staging]\nmax_retries = 1\n"
    assert read(parse_config(text, "c.toml"), environment="staging").max_retries == 1
    assert is_valid({**MINIMAL, **FILE}, config_schema())
    assert not is_valid({"environments": {"staging": {"max_retries": 99}}}, config_schema())
    assert not is_valid({"environments": {"staging": {"environment": "x"}}}, config_schema())


def test_each_value_knows_its_origin() -> None:
    variables = {
        f"{ENVIRONMENT}DATE_RANGE_START": "2025-07-02",
        f"{ENVIRONMENT}DATE_RANGE_END": "2025-07-03",
        f"{ENVIRONMENT}INTEGRITY": "",
    }
    config = read(
        {**FILE, "date_range": {"start": "2025-07-01", "end": "2025-07-31"}},
        variables,
        {"processes": 2},
        environment="staging",
    )
    assert list(config.origins) == list(config_keys())
    assert {key: origin for key, origin in config.origins.items() if origin != "default"} == {
        "output_directory": "profile `staging`",
        "symbols": "mapping",
        "date_range": f"variable {ENVIRONMENT}DATE_RANGE_START, {ENVIRONMENT}DATE_RANGE_END",
        "default_date": "mapping",
        "max_retries": "profile `staging`",
        "processes": "override",
        "environment": "mapping",
    }


def test_a_later_day_takes_the_ranges_origin_away() -> None:
    given = {"start": "2025-07-01", "end": "2025-07-31"}
    config = read(date_range=given, overrides={"default_date": "2025-01-01"})
    assert (config.origins["date_range"], config.origins["default_date"]) == (
        "default",
        "override",
    )
