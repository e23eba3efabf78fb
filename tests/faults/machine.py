"""A machine that is short of something, and a run of the real command on it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from tests.workflows.conftest import make_zip, member_of

from crypto_lakehouse import run_collection
from crypto_lakehouse.core.report import CollectionReport
from crypto_lakehouse.http.retry import RetryPolicy
from crypto_lakehouse.testing import ArchiveServer

__all__ = ["NOBODY", "Ended", "Machine", "make_machine", "small_disk"]

#: Starts a command as somebody who may read everything, as our own files may lie in a home, and
#: writes only where anybody may.
NOBODY = (
    "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
    "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search",
)  # fmt: skip

#: No test waits longer for a child, in seconds.
PATIENCE_S = 40

_FIRST = date(2025, 1, 1)


def key(number: int) -> str:
    """The archive of one of the days that are collected; the first is number 1."""
    day = _FIRST + timedelta(days=number - 1)
    return f"data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-{day}.zip"


@define
class Ended:
    """How a process ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> Any:
        """What `--json` prints."""
        return json.loads(self.out)

    @property
    def totals(self) -> dict[str, int]:
        """The counts that are not zero, but for the plan's."""
        totals: Mapping[str, int] = self.report["totals"]
        return {name: count for name, count in totals.items() if count and name != "planned"}

    @property
    def said(self) -> str:
        """Everything that a user sees."""
        return self.out + self.err


@define
class Machine:
    """A source, an output directory, and the command as a process of its own."""

    server: ArchiveServer
    root: Path
    folder: Path
    children: ExitStack
    archives: dict[str, bytes] = field(factory=dict)

    def publish(self, count: int = 8, size: int = 2_000) -> None:
        """Publish so many more days, of about so many bytes each."""
        for number in range(len(self.archives) + 1, len(self.archives) + 1 + count):
            name = key(number)
            self.archives[name] = make_zip(member_of(name), os.urandom(size), compression=0)
            self.server.publish(name, self.archives[name])

    @property
    def config(self) -> dict[str, str]:
        """Collect everything that is published."""
        return {
            "output_directory": str(self.root),
            "source_url": self.server.url,
            "markets": "spot",
            "symbols": "BTCUSDT",
            "data_types": "klines",
            "intervals": "1h",
            "partitions": "daily",
            "discovery": "calendar",
            "max_retries": "1",
        }

    @property
    def span(self) -> dict[str, str]:
        """The days that are published."""
        days = sorted(name[-14:-4] for name in self.archives)
        return {"start": days[0], "end": days[-1]}

    def command(self, *more: str) -> list[str]:
        """The command that collects everything; options in `more` win."""
        options = {**self.config, **self.span}
        texts = [f"--{name.replace('_', '-')}={text}" for name, text in options.items()]
        return [sys.executable, "-m", "crypto_lakehouse", "collect", *texts, *more]

    def start(
        self,
        *more: str,
        before: Sequence[str] = (),
        **options: Any,
    ) -> subprocess.Popen[str]:
        """Start the command; `before` is what starts it in its turn, as `nice` does."""
        process = subprocess.Popen(
            [*before, *self.command(*more)],
            **{
                "cwd": self.folder,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                "text": True,
                "env": {**os.environ, "NO_COLOR": "1"},
                **options,
            },
        )
        self.children.enter_context(process)
        self.children.callback(process.kill)
        return process

    def end(self, process: subprocess.Popen[str]) -> Ended:
        """Wait for a process; no fault is answered with a traceback, or with unproven bytes."""
        out, err = process.communicate(timeout=PATIENCE_S)
        ended = Ended(process.returncode, out or "", err or "")
        assert "Traceback" not in ended.said, ended.said
        assert "fault in crypto-lakehouse" not in ended.said
        self.check_files()
        return ended

    def run(self, *more: str, before: Sequence[str] = (), **options: Any) -> Ended:
        """Run the command to its end, with its report as JSON."""
        return self.end(self.start("--json", *more, before=before, **options))

    def good(self, root: Path | None = None) -> set[str]:
        """The archives that stand at their final names, all of them as published."""
        found = set()
        for path in ((root or self.root) / "data").rglob("*.zip"):
            if path.is_file() and not path.is_symlink():
                name = str(path.relative_to(root or self.root))
                assert path.read_bytes() == self.archives[name], f"{name} is not what was published"
                found.add(name)
        return found

    def check_files(self) -> None:
        """Nothing stands at a final name but what is good, with the proof of that beside it."""
        for name in self.good():
            sidecar = self.root / f"{name}.CHECKSUM"
            assert sidecar.read_text().split()[0] == sha256(self.archives[name]).hexdigest()

    def once_more(self, **changes: Any) -> CollectionReport:
        """Run again in this process, when the fault is gone."""
        config = {**self.config, "date_range": self.span, "max_retries": 1, **changes}
        return asyncio.run(run_collection(config, retry=RetryPolicy(max_retries=2, sleep=_at_once)))

    def completes(self) -> CollectionReport:
        """The next run has all that was missing, and leaves nothing unfinished."""
        report = self.once_more()
        done = report.totals["verified"] + report.totals["unchanged"]
        assert (done, report.exit_code) == (len(self.archives), 0), report
        assert self.good() == set(self.archives)
        assert not list((self.root / "data").rglob("*.part"))
        return report


async def _at_once(_seconds: float) -> None:
    """Back-off that takes no time."""


@contextmanager
def make_machine(folder: Path) -> Iterator[Machine]:
    """A machine on which all is well so far."""
    with ArchiveServer(generate=False) as server, ExitStack() as children:
        yield Machine(server, folder / "out", folder, children)


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """A file system of its own, or none, where this process may not have one."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a small disk of its own is mounted by root only")
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
