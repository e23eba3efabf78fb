"""A faulty configuration is refused with all its problems; an older key is warned of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.core.conftest import ENVIRONMENT, faults, read

from crypto_lakehouse.core.config.rules import OLDER_KEYS
from crypto_lakehouse.core.config.workflow_config import (
    WorkflowConfig,
)
from crypto_lakehouse.core.errors import ConfigurationError, ConfigurationWarning


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
        environ={f"{ENVIRONMENT}FORCE_REDOWNLOAD": "perhaps"},
    )
    assert set(found) == {
        f"{ENVIRONMENT}FORCE_REDOWNLOAD",
        "$.max_retry",
        "$.output_directory",
        "$.markets[0]",
        "$.symbols['spot'][0]",
        "$.symbols['spot'][1]",
        "$.intervals['klines'][0]",
        "$.intervals['klins']",
        "$.date_range.start",
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
