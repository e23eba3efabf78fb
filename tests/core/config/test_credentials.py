"""`credentials` names variables, and never has what is in them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.config.schema_check import is_valid
from tests.core.conftest import MINIMAL, faults, read

from crypto_lakehouse.core.config.schema import config_schema
from crypto_lakehouse.workflows.lake_config import LakeConfig

NAMES = {"AWS_ACCESS_KEY_ID": "DESK_ID", "AWS_SECRET_ACCESS_KEY": "DESK_KEY"}
SET = {"DESK_ID": "AKIAX", "DESK_KEY": "s3cr3t/key"}
SOURCE = "CRYPTO_LAKEHOUSE_SOURCE_URL"


def test_a_configuration_has_names_and_its_copies_have_them_too() -> None:
    config = read({"credentials": NAMES}, SET)
    assert config.credentials == NAMES
    assert config.replace(max_retries=1).credentials == NAMES
    assert "s3cr3t" not in repr(config) + str(config.to_mapping())
    assert LakeConfig({"output_directory": "o", "credentials": NAMES}, environ=SET).credentials
    assert is_valid({**MINIMAL, "credentials": NAMES}, config_schema())
    assert not is_valid({**MINIMAL, "credentials": {"AWS_KEY": "X"}}, config_schema())


def test_a_variable_that_is_not_set_is_a_fault_of_the_tenant_that_names_it() -> None:
    tenants = {"a": {"output_directory": "a", "credentials": NAMES}, "b": {"output_directory": "b"}}
    assert faults({"tenants": tenants}, {"DESK_ID": "AKIAX"}, tenant="a") == {
        "$.tenants.a.credentials.AWS_SECRET_ACCESS_KEY":
        "the environment variable `DESK_KEY` is not set; set it, or name another"
    }  # fmt: skip
    assert read({"tenants": tenants}, SET, tenant="a").credentials == NAMES
    assert read({"tenants": tenants}, {"X": ""}, tenant="b").credentials is None


def test_a_url_with_credentials_comes_from_the_variable_that_is_named() -> None:
    names = {SOURCE: "DESK_SOURCE"}
    environ = {"DESK_SOURCE": "https://me:pa55word@one.example", SOURCE: "https://two.example"}
    config = read({"credentials": names, "source_url": "https://three.example"}, environ)
    assert config.source_url == "https://me:pa55word@one.example"
    assert config.origins["source_url"] == "variable DESK_SOURCE"
    assert config.replace(max_retries=1).source_url == config.source_url
    assert "pa55word" not in repr(config)
    assert faults({"credentials": names}, {"DESK_SOURCE": "ftp://h"}) == {
        "DESK_SOURCE": "must be an absolute http:// or https:// URL"
    }


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("AWS_SECRET_ACCESS_KEY", "must be a mapping"),
        ({}, "must be a mapping"),
        ({"AWS_SECRET_KEY": "X"}, "unknown variable `AWS_SECRET_KEY`; did you mean"),
        ({7: "X"}, "unknown variable `7`"),
        ({"AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG"}, "must be the name of an environment"),
        ({"AWS_SECRET_ACCESS_KEY": 7}, "must be the name of an environment variable"),
        ({"AWS_SECRET_ACCESS_KEY": "X"}, "belong together"),
        ({"AWS_SESSION_TOKEN": "X"}, "belong together"),
        ({SOURCE: "CRYPTO_LAKEHOUSE_A"}, "begins as the variables of configuration keys do"),
    ],
)
def test_what_names_no_variables_is_refused_without_its_text(value: Any, words: str) -> None:
    found = faults({"credentials": value})
    assert list(found) == ["$.credentials"]
    assert words in found["$.credentials"]
    assert "wJalr" not in found["$.credentials"]
    assert "$.credentials" in faults({"credentials": value}, {"HOME": "/root"})
