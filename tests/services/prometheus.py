"""Prometheus, as Debian has it: it scrapes one target, and answers queries about it."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import aiohttp
import pytest
from attrs import frozen
from tests.services.running import free_port, running

__all__ = ["Prometheus", "prometheus", "system_program"]

#: The pause between two questions, in seconds: what is asked about needs the processor, too.
_ASK_AGAIN_S = 0.05


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

    async def alert(self, name: str) -> tuple[str, str]:
        """Return the state of an alerting rule, and when it was evaluated; both empty before."""
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"{self.url}/api/v1/rules") as answer,
        ):
            found: dict[str, Any] = await answer.json()
        rules = [rule for group in found["data"]["groups"] for rule in group["rules"]]
        (rule,) = [each for each in rules if each["name"] == name]
        assert not rule.get("lastError"), rule
        return rule.get("state", ""), rule.get("lastEvaluation", "")

    async def evaluated(self, name: str) -> str:
        """Return the state of a rule after two evaluations: the last has seen what is so now."""
        seen: set[str] = set()
        while True:
            state, at = await self.alert(name)
            seen.add(at)
            if len(seen) > 2:
                return state
            await asyncio.sleep(_ASK_AGAIN_S)

    async def until_alert(self, name: str, wanted: str) -> None:
        """Wait until a rule has a state; the time limit of tests ends it otherwise."""
        while True:
            state, _ = await self.alert(name)
            if state == wanted:
                return
            await asyncio.sleep(_ASK_AGAIN_S)

    async def changes(self, query: str) -> AsyncIterator[list[float]]:
        """Yield the values of a query again and again, each time that others are found."""
        before: list[float] | None = None
        while True:
            if (now := await self.values(query)) != before:
                before = now
                yield now
            else:
                await asyncio.sleep(_ASK_AGAIN_S)

    async def until(self, query: str, wanted: list[float]) -> None:
        """Wait until a query has these values; the time limit of tests ends it otherwise."""
        async for values in self.changes(query):
            if values == wanted:
                return


@contextmanager
def prometheus(folder: Path, target_port: int, rules: Path | None = None) -> Iterator[Prometheus]:
    """Run a server that scrapes a port of 127.0.0.1, four times a second.

    Args:
        folder: An empty folder for its configuration and its data.
        target_port: The port.
        rules: A file of rules, which are evaluated as often.
    """
    job = {"job_name": "test", "static_configs": [{"targets": [f"127.0.0.1:{target_port}"]}]}
    times = {"scrape_interval": "250ms", "scrape_timeout": "250ms", "evaluation_interval": "250ms"}
    configuration = folder / "prometheus.json"  # JSON is YAML
    files = [] if rules is None else [str(rules)]
    written = {"global": times, "scrape_configs": [job], "rule_files": files}
    configuration.write_text(json.dumps(written))
    port = free_port()
    command = [
        system_program("prometheus"), f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with running(command, port, folder / "prometheus.log") as process:
        _wait_for(f"http://127.0.0.1:{port}/-/ready", process)
        yield Prometheus(f"http://127.0.0.1:{port}")


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until a server that listens is ready; it says 503 until then."""
    while process.poll() is None:
        try:
            urlopen(url).close()  # noqa: S310 - of this machine
        except HTTPError:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.02)
        else:
            return
