"""A configuration for another machine has no credentials; that machine has its own."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from crypto_lakehouse.core import WorkflowConfig
from crypto_lakehouse.core.errors import ConfigurationError
from crypto_lakehouse.workflows.wiring.own_credentials import (
    strip_credentials,
    with_own_credentials,
)

URLS = {
    "source_url": "https://me:s3cret@mirror.example/data",
    "listing_url": "https://mirror.example",
    "proxy": "http://me:s3cret@proxy.example:3128",
}


def config_of(**values: Any) -> WorkflowConfig:
    usual = {"output_directory": "o", "symbols": ["BTCUSDT"], "default_date": "2025-07-15"}
    return WorkflowConfig({**usual, **values}, environ={})


def test_what_is_sent_has_no_credentials() -> None:
    config = config_of(**URLS)
    sent, keys = strip_credentials(config)
    assert b"s3cret" not in pickle.dumps(sent)
    assert (sent.source_url, sent.proxy) == (
        "https://mirror.example/data",
        "http://proxy.example:3128",
    )
    assert keys == ("source_url", "proxy")
    assert config.source_url == URLS["source_url"]


def test_a_machine_adds_its_own() -> None:
    sent, keys = strip_credentials(config_of(**URLS))
    variables = {
        "CRYPTO_LAKEHOUSE_SOURCE_URL": "https://you:other@mirror.example/data",
        "CRYPTO_LAKEHOUSE_PROXY": URLS["proxy"],
    }
    own = with_own_credentials(sent, keys, variables)
    assert own.source_url == "https://you:other@mirror.example/data"
    assert own.proxy == URLS["proxy"]
    assert own.listing_url == URLS["listing_url"]


def test_every_variable_that_is_missing_is_named() -> None:
    sent, keys = strip_credentials(config_of(**URLS))
    variables = {"CRYPTO_LAKEHOUSE_PROXY": "http://me:s3cret@another.example:3128"}
    with pytest.raises(ConfigurationError) as raised:
        with_own_credentials(sent, keys, variables)
    assert [problem.path for problem in raised.value.problems] == ["$.source_url", "$.proxy"]
    assert "set `CRYPTO_LAKEHOUSE_PROXY` to the URL" in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_an_endpoint_with_credentials_is_refused() -> None:
    storage = {"endpoint": "https://me:s3cret@store.example"}
    config = config_of(output_directory="s3://bucket/prefix", storage=storage)
    with pytest.raises(ConfigurationError, match="must not have a user name") as raised:
        strip_credentials(config)
    assert "s3cret" not in str(raised.value)
