"""Keys as keywords, and configurations that keep their faults."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.config.key_values import ONE_VALUE
from tests.core.conftest import ENVIRONMENT, MINIMAL

from crypto_lakehouse.core.config.keywords import ConfigKeywords
from crypto_lakehouse.core.config.workflow_config import WorkflowConfig, config_keys
from crypto_lakehouse.core.errors import ConfigurationError, ConfigurationWarning


def test_the_keywords_are_the_keys() -> None:
    assert list(ConfigKeywords.__annotations__) == list(config_keys())


def test_a_configuration_is_made_of_keywords_alone() -> None:
    config = WorkflowConfig(
        output_directory="out", symbols=["BTCUSDT"], default_date="2025-07-15", environ={}
    )
    assert config == WorkflowConfig(MINIMAL, environ={})
    assert config.origins["symbols"] == "keyword"


def test_every_key_can_be_a_keyword() -> None:
    values: Any = {key: plain for key, (plain, _, _) in ONE_VALUE.items()}
    assert WorkflowConfig(**values, environ={}) == WorkflowConfig(values, environ={})


def test_keywords_win_over_mapping_and_variables_overrides_over_keywords() -> None:
    variables = {f"{ENVIRONMENT}MAX_RETRIES": "7"}
    config = WorkflowConfig({**MINIMAL, "max_retries": 1}, max_retries=2, environ=variables)
    assert config.max_retries == 2
    over = WorkflowConfig(MINIMAL, max_retries=2, environ={}, overrides={"max_retries": 3})
    assert over.max_retries == 3


def test_a_keyword_chooses_the_profile() -> None:
    profiles = {"environments": {"staging": {"max_retries": 9}}}
    config = WorkflowConfig({**MINIMAL, **profiles}, environment="staging", environ={})
    assert config.max_retries == 9


def test_an_unknown_keyword_is_a_fault() -> None:
    with pytest.raises(ConfigurationError, match="did you mean `max_retries`"):
        WorkflowConfig(MINIMAL, max_retry=3, environ={})  # type: ignore[call-arg]


def test_a_faulty_configuration_is_held_with_all_its_problems() -> None:
    faulty = {"max_retries": 21, "markets": ["spto"], "timeout_seconds": 20}
    with pytest.raises(ConfigurationError) as refused:
        WorkflowConfig(faulty, environ={})
    config = WorkflowConfig(faulty, environ={}, validate=False)
    assert config.problems == refused.value.problems
    assert (config.max_retries, config.markets, config.timeout_seconds) == (5, None, 20.0)
    assert "output_directory" not in config.to_mapping()
    assert config.to_mapping()["timeout_seconds"] == 20.0
    assert "timeout_seconds=20.0" in repr(config)


def test_a_good_configuration_has_no_problems() -> None:
    config = WorkflowConfig(MINIMAL, environ={}, validate=False)
    assert config.problems == ()
    assert config == WorkflowConfig(MINIMAL, environ={})


def test_a_faulty_configuration_warns_where_it_is_held() -> None:
    with pytest.warns(ConfigurationWarning):
        config = WorkflowConfig({"batch_size": 1}, environ={}, validate=False)
    assert len(config.warnings) == 1
