"""A Dask cluster in processes of its own, which a test may kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
from attrs import define, field
from distributed import Client

from crypto_lakehouse.executors.dask import places

__all__ = ["Cluster", "agents_of_worker", "cluster", "places_of_worker"]

_ROOT = Path(__file__).parents[3]

_SCHEDULER = "distributed.cli.dask_scheduler"
_WORKER = "distributed.cli.dask_worker"


def places_of_worker() -> list[tuple[str, int]]:
    """What a worker knows of its runs."""
    return [(place.job.output, place.share.parallel) for place in places._PLACES.values()]


def agents_of_worker() -> list[str]:
    """The agents of its runs."""
    return [place.agent.name for place in places._PLACES.values()]


@define
class Cluster:
    """A scheduler and its workers.

    Args:
        folder: Has the scheduler's file, and what the processes write.
        settings: Environment variables of all processes.
        host: The address that the scheduler listens on.
        within: What runs a command on the scheduler's host.
    """

    folder: Path
    settings: dict[str, str]
    host: str = "127.0.0.1"
    within: Sequence[str] = ()
    _scheduler: subprocess.Popen[bytes] = field(init=False)
    _started: list[subprocess.Popen[bytes]] = field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        options = ["--host", self.host, "--port", "0", "--no-dashboard", "--no-jupyter"]
        self._scheduler = self._start(
            _SCHEDULER, *options, "--scheduler-file", self._file, within=self.within
        )
        while not self.address:
            assert self._scheduler.poll() is None, self.log()

    @property
    def _file(self) -> str:
        return str(self.folder / "scheduler.json")

    @property
    def address(self) -> str:
        """The address of the scheduler."""
        try:
            address: str = json.loads(Path(self._file).read_text())["address"]
        except (OSError, ValueError):  # it is about to be written
            return ""
        return address

    def _start(
        self, module: str, *options: str, within: Sequence[str] = (), **variables: str
    ) -> subprocess.Popen[bytes]:
        log = (self.folder / "log").open("ab")
        process = subprocess.Popen(
            [*within, sys.executable, "-m", module, *options],
            env={
                **os.environ,
                "PYTHONPATH": f"{_ROOT / 'src'}{os.pathsep}{_ROOT}",
                **self.settings,
                **variables,
            },
            cwd=self.folder,
            stdout=log,
            stderr=log,
        )
        log.close()
        self._started.append(process)
        return process

    def add(
        self,
        *options: str,
        threads: int = 1,
        nanny: bool = True,
        host: str = "",
        within: Sequence[str] = (),
        **variables: str,
    ) -> subprocess.Popen[bytes]:
        """Start a worker; with a nanny, that is the process returned.

        Args:
            options: Of `dask worker`.
            threads: Of the worker.
            nanny: Whether a nanny watches it.
            host: Its address; by default that of the scheduler.
            within: What runs a command on its host.
            variables: Of its environment.
        """
        return self._start(
            _WORKER, "--scheduler-file", self._file, "--nthreads", str(threads), "--no-dashboard",
            "--host", host or self.host, "--nanny" if nanny else "--no-nanny", *options,
            within=within, **variables,
        )  # fmt: skip

    async def workers(self, count: int) -> dict[str, int]:
        """Wait until there are so many workers; return the process of each."""
        async with Client(self.address, asynchronous=True, set_as_default=False) as client:
            with anyio.fail_after(100):
                while len(found := await client.run(os.getpid, on_error="ignore")) != count:  # noqa: ASYNC110
                    await anyio.sleep(0.05)
        return dict(found)

    async def hosts(self, *wanted: str) -> None:
        """Wait until the scheduler has workers on these addresses, and on no others."""
        async with Client(self.address, asynchronous=True, set_as_default=False) as client:
            with anyio.fail_after(100):
                while True:
                    found = {urlsplit(name).hostname for name in await client.scheduler.ncores()}
                    if found == {*wanted}:
                        return
                    await anyio.sleep(0.05)

    async def shares(self, count: int) -> list[int]:
        """Wait until so many workers take part in a run; return the requests of each at once."""
        with anyio.fail_after(100):
            while True:
                told = await self.asked(places_of_worker)
                found = sorted(parallel for places in told for _, parallel in places)
                if len(found) == count:
                    return found
                await anyio.sleep(0.05)

    async def asked(self, function: Any, *arguments: Any) -> list[Any]:
        """Call a function in each worker."""
        async with Client(self.address, asynchronous=True, set_as_default=False) as client:
            return [*(await client.run(function, *arguments)).values()]

    def stop_scheduler(self) -> None:
        """Freeze the scheduler; its connections stay open."""
        self._scheduler.send_signal(signal.SIGSTOP)

    def kill_scheduler(self) -> None:
        """End the scheduler without a warning."""
        self._scheduler.kill()
        self._scheduler.wait()

    def log(self) -> str:
        """What the processes have written."""
        return (self.folder / "log").read_text()

    def end(self) -> None:
        """End all processes."""
        for process in reversed(self._started):
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in reversed(self._started):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def cluster(
    folder: Path,
    workers: int,
    host: str = "127.0.0.1",
    *,
    within: Sequence[str] = (),
    **settings: str,
) -> Iterator[Cluster]:
    """Run a cluster."""
    folder.mkdir(parents=True, exist_ok=True)
    usual = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    made = Cluster(folder, {**usual, **settings}, host, within)
    try:
        for _ in range(workers):
            made.add()
        yield made
    finally:
        made.end()
