"""The pytest plugin: its fixtures are available wherever the package is installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from crypto_lakehouse.testing.exchange.exchange_server import ExchangeServer
    from crypto_lakehouse.testing.server.archive_server import ArchiveServer

__all__ = ["archive_server", "exchange_server"]


@pytest.fixture
def archive_server() -> Iterator[ArchiveServer]:
    """An `ArchiveServer` for one test, in a background thread: for sync and async tests."""
    # Not at the top: pytest loads this module in every run, and most need no server.
    from crypto_lakehouse.testing.server.archive_server import ArchiveServer

    with ArchiveServer() as server:
        yield server


@pytest.fixture
def exchange_server() -> Iterator[ExchangeServer]:
    """An `ExchangeServer` for one test, in a background thread: for sync and async tests."""
    from crypto_lakehouse.testing.exchange.exchange_server import ExchangeServer

    with ExchangeServer() as server:
        yield server
