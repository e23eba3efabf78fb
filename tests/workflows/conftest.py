"""Collections against a real server on loopback."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from tests.conftest import SleepRecorder

from crypto_lakehouse import run_collection
from crypto_lakehouse.core.report import CollectionReport
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.testing import ArchiveServer

KEY = "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2025-07-15.zip"
SIDECAR = KEY + ".CHECKSUM"
BIG_KEY = "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2025-07-15.zip"


def make_zip(member: str, content: bytes, *, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip with one member."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr(member, content)
    return buffer.getvalue()


def sidecar_of(data: bytes, name: str) -> bytes:
    """The sidecar that the publisher would put beside `data`."""
    return f"{hashlib.sha256(data).hexdigest()}  {name}\n".encode()


def member_of(key: str) -> str:
    """The one member of the archive with this key."""
    return key.rpartition("/")[2].removesuffix(".zip") + ".csv"


def big_zip(size: int = 3_500_000) -> bytes:
    """A readable archive of `BIG_KEY` that is too large for memory bodies."""
    return make_zip(member_of(BIG_KEY), os.urandom(size), compression=zipfile.ZIP_STORED)


@define
class Collection:
    """One output directory, and runs that collect into it."""

    root: Path
    server: ArchiveServer
    retry: RetryPolicy
    sleeps: SleepRecorder
    config: dict[str, Any] = field(factory=dict)

    async def run(self, **changes: Any) -> CollectionReport:
        """Collect; a configuration key given here wins."""
        options = {name: changes.pop(name) for name in _OPTIONS & set(changes)}
        config = {**self.config, **changes}
        return await run_collection(config, **{"retry": self.retry, **options})

    def path(self, key: str) -> Path:
        """Where an archive lies."""
        return self.root / key

    def quarantined(self, key: str) -> Path:
        """Where an archive lies that is not good."""
        return self.root / ".lakehouse" / "quarantine" / key

    def publish(self, key: str, data: bytes, sidecar: bytes | None = None) -> None:
        """Put an archive and its sidecar on the server."""
        self.server.put(key, data)
        self.server.put(key + ".CHECKSUM", sidecar or sidecar_of(data, key.rpartition("/")[2]))

    def requested(self) -> list[str]:
        """The keys asked for, in order."""
        return [request.path for request in self.server.requests]

    def stray_files(self) -> list[str]:
        """Files below `data` that are neither archives nor sidecars."""
        files = [path for path in (self.root / "data").rglob("*") if path.is_file()]
        return [str(path) for path in files if path.suffix not in {".zip", ".CHECKSUM"}]


_OPTIONS = {"retry", "sinks", "metrics_collector", "session", "store", "delivery"}

Collect = Callable[..., Awaitable[CollectionReport]]


@pytest.fixture
def collection(
    tmp_path: Path, archive_server: ArchiveServer, retry: RetryPolicy, sleeps: SleepRecorder
) -> Collection:
    """Collect one day of 1h klines of one symbol, unless told otherwise."""
    root = tmp_path / "out"
    config = {
        "output_directory": str(root),
        "source_url": archive_server.url,
        "markets": ["spot"],
        "symbols": ["BTCUSDT"],
        "data_types": ["klines"],
        "intervals": ["1h"],
        "default_date": "2025-07-15",
    }
    return Collection(root, archive_server, retry, sleeps, config)


@pytest.fixture
def with_pipelines(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    """Returns the mapping of a file with these pipelines, which collect one day."""
    monkeypatch.setattr("os.environ", {})
    return lambda **pipelines: {**collection.config, "max_retries": 0, "pipelines": pipelines}


@pytest.fixture
async def synced(collection: Collection) -> Collection:
    """One archive, collected with its listing."""
    collection.config["listing_url"] = collection.server.url
    await collection.run()
    collection.server.clear()
    return collection
