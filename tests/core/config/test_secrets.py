"""Secrets are kept for the run, and shown nowhere."""

from __future__ import annotations

import json
import warnings
from itertools import product
from typing import Any

import pytest
from tests.core.config.key_values import TWO_VALUES
from tests.core.conftest import ENVIRONMENT, faults, read

from crypto_lakehouse.core.config.rules import OLDER_KEYS
from crypto_lakehouse.core.errors import ConfigurationError, ConfigurationWarning

SECRET = "hunter2"
SECRETIVE: dict[str, Any] = {
    "source_url": "https://me:hunter2@mirror.example/data",
    "listing_url": "https://hunter2@s3.example/bucket",
    "output_directory": "out?token=hunter2",
    "matrix_path": "https://mirror.example/m.json?X-Amz-Signature=hunter2&v=1",
}


@pytest.mark.parametrize("key", SECRETIVE)
def test_secrets_are_kept_and_never_shown(key: str) -> None:
    config = read({key: SECRETIVE[key]})
    assert getattr(config, key) == SECRETIVE[key]
    for shown in (repr(config), str(config), json.dumps(config.to_mapping())):
        assert SECRET not in shown
        assert "***" in shown


@pytest.mark.parametrize(
    "secret",
    [
        "https://me:hunter2@mirror.example/x?y=1#z",
        "https://me:hunter2\u2100@mirror.example",
        "https://me:hunter2@[mirror.example",
        "https://me:hunter2@mirror.example:port",
        "https://me:" + "hunter2" * 50 + "@mirror.example",
        "token=hunter2",
        "Authorization: Bearer hunter2",
        "AWS_SECRET_ACCESS_KEY=hunter2\x1b",
    ],
)
def test_a_secret_in_any_value_is_never_shown(secret: str) -> None:
    values = (secret, [secret], {"start": secret, "spot": secret}, {secret: secret})
    for key, value in product([*TWO_VALUES, "unknown_key", *OLDER_KEYS], values):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConfigurationWarning)
            try:
                config = read({key: value})
            except ConfigurationError as error:
                assert SECRET not in str(error)
                assert SECRET not in repr(error)
                assert error.__cause__ is None
            else:
                assert SECRET not in repr(config)
                assert SECRET not in str(config.to_mapping())
                assert SECRET not in str(config.warnings)


@pytest.mark.parametrize("key", ["source_url", "listing_url"])
@pytest.mark.parametrize(
    "url",
    [
        "https://me:hunter2/x@mirror.example",
        "https://me: hunter2@mirror.example",
        "https://me:hunter2#@mirror.example",
        "https://me:hunter2?@mirror.example",
    ],
)
def test_a_url_whose_secret_breaks_it_is_not_quoted(key: str, url: str) -> None:
    assert SECRET not in str(faults({key: url}))


def test_a_secret_in_the_environment_is_never_shown() -> None:
    environ = {f"{ENVIRONMENT}{key.upper()}": SECRETIVE["source_url"] for key in TWO_VALUES}
    environ |= {f"{ENVIRONMENT}TOKEN": SECRET, f"{ENVIRONMENT}SYMBOLS": '["token=hunter2'}
    assert SECRET not in str(faults(environ=environ))
