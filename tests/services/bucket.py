"""A bucket of an object store that runs on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
from attrs import define, field, frozen

from crypto_lakehouse.core.config.storage import StoreUrl
from crypto_lakehouse.stores.objects.opening import open_objects
from crypto_lakehouse.stores.objects.store import ObjectStore

__all__ = ["Bucket"]

#: Variables of the machine that would change how a store is opened.
_FOREIGN = (
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_CONNECTION_STRING",
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
)


@frozen
class _Numbers:
    """Numbers prefixes, so that tests that share a bucket do not share objects."""

    _next: Iterator[int] = field(factory=lambda: count(1))

    def fresh(self) -> str:
        return f"run-{next(self._next)}"


@define
class Bucket:
    """An empty bucket, and what a configuration needs to use it.

    Attributes:
        url: Its URL: `output_directory` is this, or a prefix below it.
        storage: The `storage` of the configuration.
        environment: The variables with the credentials.
    """

    url: str
    storage: Mapping[str, Any]
    environment: Mapping[str, str]
    _numbers: _Numbers = field(init=False, factory=_Numbers)

    def fresh_prefix(self) -> str:
        """Return the URL of a prefix that nothing else uses."""
        return f"{self.url}/{self._numbers.fresh()}"

    def give_credentials(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Set the variables with the credentials, and no others, until the test ends."""
        for name in _FOREIGN:
            monkeypatch.delenv(name, raising=False)
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)

    @contextmanager
    def credentials(self) -> Iterator[None]:
        """Do the same for the length of a context."""
        with pytest.MonkeyPatch.context() as monkeypatch:
            self.give_credentials(monkeypatch)
            yield

    def open(self, url: str | None = None, **storage: Any) -> ObjectStore:
        """Open a fresh prefix, or the one that is named."""
        with self.credentials():
            place = StoreUrl.parse(url or self.fresh_prefix())
            return open_objects(place, {**self.storage, **storage})
