"""The servers as fixtures: each runs from its first use to the end of the tests.

Tests that use one bucket take `fresh_prefix()` of it. A test that stops or breaks a server runs
its own by the context manager of the same name.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.services.azurite import azurite
from tests.services.bucket import Bucket
from tests.services.gcs import gcs
from tests.services.ministack import ministack
from tests.services.postgres import PostgresServer, postgres
from tests.services.rclone import rclone

__all__ = [
    "azurite_bucket",
    "gcs_bucket",
    "ministack_bucket",
    "postgres_server",
    "rclone_bucket",
]


@pytest.fixture(scope="session")
def ministack_bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """A bucket of ministack."""
    with ministack(tmp_path_factory.mktemp("ministack")) as bucket:
        yield bucket


@pytest.fixture(scope="session")
def rclone_bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """A bucket of rclone's S3 server."""
    with rclone(tmp_path_factory.mktemp("rclone")) as bucket:
        yield bucket


@pytest.fixture(scope="session")
def azurite_bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """A container of Azurite."""
    with azurite(tmp_path_factory.mktemp("azurite")) as bucket:
        yield bucket


@pytest.fixture(scope="session")
def gcs_bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """A bucket of the double of Google Cloud Storage."""
    with gcs(tmp_path_factory.mktemp("gcs")) as bucket:
        yield bucket


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL server."""
    with postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server
