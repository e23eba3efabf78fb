"""What tells the prefixes of several object stores apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from crypto_lakehouse.core.config.storage import StoreUrl, store_identity

URL = StoreUrl.parse("s3://bucket/prefix")


@pytest.mark.parametrize(
    ("storage", "expected"),
    [
        (None, ""),
        ({}, ""),
        ({"region": "auto", "virtual_hosted_style": True}, ""),
        ({"endpoint": "https://a.example"}, " endpoint=https://a.example"),
        ({"endpoint": "HTTPS://A.example/", "region": "x"}, " endpoint=https://a.example"),
        ({"endpoint": "https://user:pass@a.example"}, " endpoint=https://a.example"),
        ({"endpoint": "https://a.example:9000/Path/"}, " endpoint=https://a.example:9000/Path"),
        ({"account": "one"}, " account=one"),
        ({"account": "one", "endpoint": "http://[::1]:1"}, " endpoint=http://[::1]:1 account=one"),
    ],
)
def test_endpoint_and_account_count_and_how_they_are_written_does_not(
    storage: Mapping[str, Any] | None, expected: str
) -> None:
    assert store_identity(URL, storage) == f"s3://bucket/prefix{expected}"
