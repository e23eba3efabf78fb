"""Prometheus, as Debian has it: it scrapes one target, and answers queries about it."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from attrs import frozen
from tests.services.running import free_port, running

__all__ = ["Prometheus", "prometheus", "system_program"]


def system_program(name: str) -> str:
    """Return the path of a program; skip the test if it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} IS NOT INSTALLED: run `make system-packages`")
    return found


@frozen
class Prometheus:
    """A server that runs.

    Attributes:
        url: Its address.
    """

    url: str

    async def values(self, query: str) -> list[float]:
        """Return the value of each time series that a query finds now."""
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"{self.url}/api/v1/query", params={"query": query}) as answer,
        ):
            found: dict[str, Any] = await answer.json()
        assert found["status"] == "success", found
        result = found["data"]["result"]
        return [float(each["value"][1]) for each in result]

    async def changes(self, query: str) -> AsyncIterator[list[float]]:
        """Yield the values of a query again and again, each time that others are found."""
        before: list[float] | None = None
        while True:
            if (now := await self.values(query)) != before:
                before = now
                yield now

    async def until(self, query: str, wanted: list[float]) -> None:
        """Wait until a query has these values; the time limit of tests ends it otherwise."""
        async for values in self.changes(query):
            if values == wanted:
                return


@contextmanager
def prometheus(folder: Path, target_port: int) -> Iterator[Prometheus]:
    """Run a server that scrapes a port of 127.0.0.1, four times a second.

    Args:
        folder: An empty folder for its configuration and its data.
        target_port: The port.
    """
    job = {"job_name": "test", "static_configs": [{"targets": [f"127.0.0.1:{target_port}"]}]}
    times = {"scrape_interval": "250ms", "scrape_timeout": "250ms"}
    configuration = folder / "prometheus.json"  # JSON is YAML
    configuration.write_text(json.dumps({"global": times, "scrape_configs": [job]}))
    port = free_port()
    command = [
        system_program("prometheus"), f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with running(command, port, folder / "prometheus.log"):
        yield Prometheus(f"http://127.0.0.1:{port}")
