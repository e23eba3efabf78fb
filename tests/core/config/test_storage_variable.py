"""The variable for object stores is not for directories; a file or an option is of one output."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from crypto_lakehouse.core.config.workflow_config import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError

MINIMAL: dict[str, Any] = {"symbols": ["BTCUSDT"], "default_date": "2025-07-15"}
STORAGE = {"endpoint": "https://one.example", "region": "auto"}
VARIABLE = "CRYPTO_LAKEHOUSE_STORAGE"
URL = "s3://bucket/prefix"


@pytest.mark.parametrize("text", [json.dumps(STORAGE), "{no JSON", '{"secret": "x"}'])
@pytest.mark.parametrize("output", ["out", Path("out")])
def test_for_a_directory_it_is_ignored(output: str | Path, text: str) -> None:
    config = WorkflowConfig({**MINIMAL, "output_directory": output}, environ={VARIABLE: text})
    assert config.storage is None
    assert config.origins["storage"] == "default"


def test_for_a_url_it_counts_wherever_the_url_is_given() -> None:
    environ = {VARIABLE: json.dumps(STORAGE)}
    profile = {"environments": {"production": {"output_directory": URL}}}
    for values, variables, overrides in (
        ({"output_directory": URL}, {}, {}),
        ({"output_directory": "out"}, {}, {"output_directory": URL}),
        ({"output_directory": "out"}, {"CRYPTO_LAKEHOUSE_OUTPUT_DIRECTORY": URL}, {}),
        ({"output_directory": "out", "environment": "production", **profile}, {}, {}),
    ):
        config = WorkflowConfig(
            {**MINIMAL, **values}, environ={**environ, **variables}, overrides=overrides
        )
        assert (config.output_directory, config.storage) == (URL, STORAGE)
    with pytest.raises(ConfigurationError, match=VARIABLE):
        WorkflowConfig({**MINIMAL, "output_directory": URL}, environ={VARIABLE: "{no JSON"})


def test_a_value_of_a_file_or_an_option_is_refused_for_a_directory() -> None:
    values = {**MINIMAL, "output_directory": "out"}
    environ = {VARIABLE: json.dumps({"region": "auto"})}
    for mapping, overrides in (({"storage": STORAGE}, {}), ({}, {"storage": STORAGE})):
        with pytest.raises(ConfigurationError, match="only for an output in an object store"):
            WorkflowConfig({**values, **mapping}, environ=environ, overrides=overrides)
