"""What the examples find: a source, and a directory in which a user has worked before."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.documentation.world import make_world

from crypto_lakehouse.testing import ArchiveServer, ExchangeServer


@pytest.fixture(scope="session")
def source() -> Iterator[ArchiveServer]:
    """The publisher."""
    with ArchiveServer() as server:
        yield server


@pytest.fixture(scope="session")
def exchange() -> Iterator[ExchangeServer]:
    """The exchange."""
    with ExchangeServer() as server:
        yield server


@pytest.fixture(scope="session")
def before(source: ArchiveServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory, made once for each process that runs tests."""
    folder = tmp_path_factory.mktemp("before")
    make_world(folder, source.url)
    return folder


@pytest.fixture
def world(
    before: Path,
    source: ArchiveServer,
    exchange: ExchangeServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A copy of the directory, in which the example runs; collections use the made-up source.

    Fills use the made-up exchange, up to a day before those that the directory has.
    """
    folder = tmp_path / "world"
    shutil.copytree(before, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_SOURCE_URL", source.url)
    urls = {market: exchange.url(market) for market in ("spot", "futures_um", "futures_cm")}
    fill = json.dumps({"urls": urls, "until": "2025-07-14"})
    monkeypatch.setenv("CRYPTO_LAKEHOUSE_FILL", fill)
    monkeypatch.setenv("NO_COLOR", "1")
    binaries = tmp_path / "bin"
    binaries.mkdir()
    monkeypatch.setenv("PATH", f"{binaries}{os.pathsep}{os.environ['PATH']}")
    return folder
